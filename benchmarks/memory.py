"""How much memory a call takes beside its arrays, and how fast this machine copies."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

PEAK = """
import sys
from pathlib import Path
import numpy as np
from cases import blobs
from inner_distance_gpu import InnerDistanceTransform, inner_distance

scale = None if sys.argv[1] == "None" else float(sys.argv[1])
threads, voxel_size = int(sys.argv[2]), tuple(map(float, sys.argv[3].split(",")))
labels = np.tile(blobs(128, 0), (2, 2, 2))
out = np.ones(labels.shape, np.float32)
inner_distance(labels[:4, :4, :4], voxel_size, engine="cpu", threads=threads)

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

Path("/proc/self/clear_refs").write_text("5")
before = peak()
inner_distance(labels, voxel_size, scale=scale, engine="cpu", threads=threads, out=out)
print((peak() - before) / labels.size)
"""


def peak_bytes(threads: int) -> dict[str, float]:
    """Growth of the resident set's peak during one call with `out=` at 256³, per voxel; Linux only."""
    cases = {"scale 50": ("50", "8,8,8"), "5.24×4×4.1": ("50", "5.24,4,4.1"), "no scale": ("None", "8,8,8")}
    found = {}
    for name, (scale, voxel_size) in cases.items():
        command = [sys.executable, "-c", PEAK, scale, str(threads), voxel_size]
        run = subprocess.run(command, capture_output=True, text=True, cwd=sys.path[0], check=True)
        found[name] = round(float(run.stdout), 2)
    return found


def copy_bandwidth(megabytes: int = 64, rounds: int = 10) -> float:
    """GB/s read plus written by one thread's copy of an array far beyond the caches."""
    source = np.ones(megabytes << 20, np.uint8)
    target, best = source.copy(), float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        np.copyto(target, source)
        best = min(best, time.perf_counter() - start)
    return 2 * source.nbytes / best / 1e9
