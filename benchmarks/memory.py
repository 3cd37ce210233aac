"""How much memory a call takes beside its arrays, and how fast this machine copies."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

MEASURE = """
import sys
from pathlib import Path

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

def growth(call):
    Path("/proc/self/clear_refs").write_text("5")
    before = peak()
    kept = call()
    return peak() - before
"""

PEAK = """
import numpy as np
from cases import blobs
from inner_distance_gpu import inner_distance

scale = None if sys.argv[1] == "None" else float(sys.argv[1])
threads, voxel_size = int(sys.argv[2]), tuple(map(float, sys.argv[3].split(",")))
labels = np.tile(blobs(128, 0), (2, 2, 2))
out = np.ones(labels.shape, np.float32)
inner_distance(labels[:4, :4, :4], voxel_size, engine="cpu", threads=threads)
call = lambda: inner_distance(labels, voxel_size, scale=scale, engine="cpu", threads=threads, out=out)
print(growth(call) / labels.size)
"""

PEAK_OF_ROW = """
import peers
from cases import against_size

name, threads = sys.argv[1], int(sys.argv[2])
calls = {}
for case in against_size((32, int(sys.argv[3]))):
    calls = {own: call for own, (call, signed) in peers.ours(case, threads, "cpu").items()}
    calls |= {peer.name: call for peer, call in peers.importable(peers.PEERS, case, threads)}
    if case.labels.shape[0] == 32:
        calls[name]()
print(growth(calls[name]) / case.labels.size)
"""


def peak_bytes(threads: int) -> dict[str, float]:
    """Growth of the resident set's peak during one call with `out=` at 256³, per voxel; Linux only."""
    cases = {"scale 50": ("50", "8,8,8"), "5.24×4×4.1": ("50", "5.24,4,4.1"), "no scale": ("None", "8,8,8")}
    found = {}
    for name, (scale, voxel_size) in cases.items():
        command = [sys.executable, "-c", MEASURE + PEAK, scale, str(threads), voxel_size]
        run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=True)
        found[name] = round(float(run.stdout), 2)
    return found


def peak_bytes_of_rows(names: list[str], threads: int, size: int = 128) -> dict[str, float]:
    """The same for rows of the section against size, what they return included; each in a process of its own."""
    found = {}
    for name in names:
        command = [sys.executable, "-c", MEASURE + PEAK_OF_ROW, name, str(threads), str(size)]
        run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent, check=True)
        found[name] = round(float(run.stdout.split()[-1]), 1)
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
