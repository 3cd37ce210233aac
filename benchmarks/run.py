"""Time the engines side by side: interleaved rounds in one process, checked against the reference first.

    python benchmarks/run.py [--em FILE.npz] [--prototype FILE.cpp] [--rounds 10] [--only TEXT]

Writes benchmarks/results/<date>-<commit>.json; benchmarks/report.py makes the table and the figure from it.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import Case, growth, speed
from frozen_reference import inner_distance as frozen_reference
from memory import copy_bandwidth, peak_bytes

from inner_distance_gpu import InnerDistanceTransform, inner_distance

HERE = Path(__file__).parent
Run = Callable[[], Any]


def machine(threads: int) -> dict[str, Any]:
    cpu = platform.processor()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    from inner_distance_gpu.engines.cpu import _host

    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "threads": threads,
        "simd": _host.levels()[0] if _host else None,
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("numpy", "scipy", "torch", "inner_distance_gpu")},
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "copy GB/s": copy_bandwidth(),
    }


def compiled_prototype(source: str) -> Any:
    library = Path(tempfile.mkdtemp()) / "prototype.so"
    flags = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-shared", "-fPIC"]
    subprocess.run([os.environ.get("CXX", "c++"), *flags, source, "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).half_grid
    function.argtypes = [ctypes.c_void_p, *[ctypes.c_int] * 3, *[ctypes.c_double] * 5, ctypes.c_void_p]
    return function


def rows(case: Case, threads: int, prototype: Any) -> dict[str, Run]:
    """Name -> call. What they return, where it is comparable, is checked before anything is timed."""
    labels, voxel_size, scale = case.labels, case.voxel_size, case.scale
    out, other = np.empty(labels.shape, np.float32), np.empty(labels.shape, np.float32)
    transform = InnerDistanceTransform(voxel_size, scale, engine="cpu", threads=threads)
    calls: dict[str, Run] = {
        "cpu": lambda: inner_distance(labels, voxel_size, scale=scale, engine="cpu", threads=threads, out=out),
        "cpu, new memory": lambda: inner_distance(labels, voxel_size, scale=scale, engine="cpu", threads=threads),
        "cpu, target + weight": lambda: transform(labels),
    }
    if prototype is not None and labels.dtype == np.uint8:
        reach = 9.02 * scale if scale else -1.0
        sizes = (*labels.shape, *map(float, voxel_size), scale or 0.0, reach)

        def run_prototype() -> Any:
            prototype(labels.ctypes.data, *sizes, other.ctypes.data)
            return other

        calls["prototype"] = run_prototype
    if case.slow:
        calls["frozen reference"] = lambda: frozen_reference(labels, voxel_size, scale)
        calls |= peers(case, threads)
    return calls


def peers(case: Case, threads: int) -> dict[str, Run]:
    try:
        import edt
    except ImportError:
        return {}
    from inner_distance_gpu.engines.reference import sites_on_doubled_grid

    labels, voxel_size = case.labels, case.voxel_size

    def doubled() -> Any:
        sites = sites_on_doubled_grid(labels, np.ones(labels.shape, bool))
        distance = edt.edt(~sites, anisotropy=[size / 2 for size in voxel_size], parallel=threads)
        distance = distance[(slice(None, None, 2),) * 3]
        return np.where(labels != 0, np.tanh(distance / case.scale) if case.scale else distance, 0)

    def difference() -> Any:
        inside = edt.edt(labels, anisotropy=voxel_size, parallel=threads)
        outside = edt.edt(labels == 0, anisotropy=voxel_size, parallel=threads)
        return np.tanh((inside - outside) / case.scale) if case.scale else inside - outside

    return {"edt on the doubled grid": doubled, "edt(x) - edt(x == 0)": difference}


COMPARABLE = ("cpu", "cpu, new memory", "prototype", "frozen reference", "edt on the doubled grid")


def check(case: Case, calls: dict[str, Run]) -> None:
    keywords = {"scale": case.scale, "engine": "reference"}
    expected = inner_distance(case.labels, case.voxel_size, **keywords).astype(np.float64)
    for name in (name for name in COMPARABLE if name in calls):
        off = np.abs(calls[name]() - expected) / (1 if case.scale else np.maximum(expected, 1e-30))
        limit = 1e-6 if name.startswith("cpu") else 1e-5
        assert off.max() <= limit, f"{case.name}: {name} is off by {off.max()}"


PAUSE = 0.005  # seconds; OpenMP's threads spin on after a row that used them


def interleaved(calls: dict[str, Run], rounds: int, warm_up: int = 2) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for i in range(warm_up + rounds):
        # Every row follows every other: what the one before leaves in caches, or still spinning on a core, is shared.
        for name in names[i % len(names) :] + names[: i % len(names)]:
            call = calls[name]
            time.sleep(PAUSE)
            start = time.perf_counter()
            call()
            if i >= warm_up:
                times[name].append(time.perf_counter() - start)
    return times


def result(case: Case, name: str, seconds: list[float], base: list[float]) -> dict[str, Any]:
    """Ratio: how many times slower than `cpu`, of the minima, with the quartiles of the ratios within a round."""
    ratios = np.array(seconds) / np.array(base)
    voxels, moved = case.labels.size, case.labels.nbytes + 4 * case.labels.size
    return {
        "case": case.name,
        "row": name,
        "shape": case.labels.shape,
        "voxel_size": case.voxel_size,
        "scale": case.scale,
        "dtype": str(case.labels.dtype),
        "foreground": float((case.labels != 0).mean()),
        "ms": [round(s * 1e3, 4) for s in seconds],
        "ratio": min(seconds) / min(base),
        "ratio quartiles": [float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75))],
        "ns per voxel": min(seconds) / voxels * 1e9,
        "Mvoxel/s": voxels / min(seconds) / 1e6,
        "bytes": moved,
        "GB/s": moved / min(seconds) / 1e9,
    }


def time_speed(options: argparse.Namespace) -> list[dict[str, Any]]:
    prototype = compiled_prototype(options.prototype) if options.prototype else None
    found = []
    for case in speed(options.em):
        if options.only and options.only not in case.name:
            continue
        calls = rows(case, options.threads, prototype)
        check(case, calls)
        slow = {
            name: calls.pop(name) for name in list(calls) if name in ("frozen reference", "edt on the doubled grid")
        }
        times = interleaved(calls, 3 * options.rounds)
        if slow:
            again = interleaved({"cpu": calls["cpu"], **slow}, options.rounds, warm_up=1)
            base = again.pop("cpu")
            found += [result(case, name, seconds, base) for name, seconds in again.items()]
        found += [result(case, name, seconds, times["cpu"]) for name, seconds in times.items()]
        for row in found[-len(times) - len(slow) :]:
            print(f"{row['case']:30s} {row['row']:26s} {min(row['ms']):9.2f} ms  {row['ratio']:8.2f}×", flush=True)
    return found


def time_growth(options: argparse.Namespace) -> list[dict[str, Any]]:
    found = []
    for name, small, large in growth():
        if options.only and options.only not in name:
            continue
        cases = {"96³": small, "192³": large}
        calls = {size: rows(case, options.threads, None)["cpu"] for size, case in cases.items()}
        times = interleaved(calls, 2 * options.rounds)
        per_voxel = {size: min(times[size]) / case.labels.size * 1e9 for size, case in cases.items()}
        growing = per_voxel["192³"] / per_voxel["96³"]
        found.append({"case": name, "ns per voxel": per_voxel, "growth": growing})
        print(f"{name:30s} {per_voxel['96³']:.2f} -> {per_voxel['192³']:.2f} ns per voxel: {growing:.2f}", flush=True)
    return found


def time_single_voxel(options: argparse.Namespace) -> float:
    labels = np.ones((1, 1, 1), np.uint8)
    call = {"one": lambda: inner_distance(labels, (8, 8, 8), scale=50, engine="cpu", threads=options.threads)}
    return min(interleaved(call, 2000, 100)["one"]) * 1e6


def as_text(record: dict[str, Any]) -> str:
    """JSON with one line per row, so that two runs can be compared as text."""
    parts = []
    for key, value in record.items():
        if isinstance(value, list):
            rows_text = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f"{json.dumps(key)}: [\n  {rows_text}\n ]")
        else:
            parts.append(f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--em", help="an .npz with an instance segmentation as its first array, voxel size 40×32×32")
    parser.add_argument("--prototype", help="C++ source of another half-grid transform to compile and time")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", help="cases whose name holds this text")
    options = parser.parse_args()
    record: dict[str, Any] = {
        "command": " ".join(["python benchmarks/run.py", *map(Path.name.fget, map(Path, sys.argv[1:]))])
    }  # type: ignore[attr-defined]
    record["machine"] = machine(options.threads)
    record["speed"] = time_speed(options)
    record["growth"] = time_growth(options)
    record["single voxel µs"] = time_single_voxel(options)
    record["peak scratch bytes per voxel at 256³"] = peak_bytes(options.threads)
    print(f"single voxel {record['single voxel µs']:.1f} µs; scratch {record['peak scratch bytes per voxel at 256³']}")
    name = f"{record['machine']['date'][:10]}-{record['machine']['commit'].removesuffix('-dirty')}.json"
    path = HERE / "results" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(as_text(record))
    print(f"written: {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
