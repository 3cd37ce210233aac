"""One visit to a machine with a GPU: test, check agreement, time the engines side by side, write it down.

    python benchmarks/gpu_visit.py --out results.json      # everything
    python benchmarks/gpu_visit.py --quick                 # small cases, few rounds
    python benchmarks/gpu_visit.py --dry                   # the list of cases, without a device

Times are medians over interleaved rounds, by CUDA events for the device engines (around the call of the transform:
target and weight) and by the clock for `cpu`. Beside them the copy bandwidth that was measured and the floor that
follows from what has to move: the label read, 8 B of target and weight written.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import Recipe, recipes
from records import machine

from inner_distance_gpu import InnerDistanceTransform, engines
from inner_distance_gpu.cli.comparison import largest_difference
from inner_distance_gpu.cli.timing import by_events, interleaved
from inner_distance_gpu.engines.cuda import launcher as launching
from inner_distance_gpu.engines.cuda import report

ROOT = Path(__file__).parents[1]
RESULT_BYTES = 8  # target and weight; with the label read the least there is to move
TOLERANCE = 1e-6


def graph_of(call: Callable[[], Any]) -> Callable[[], Any]:
    """The call, captured; replayed it has no Python in it."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def copy_bandwidth(size: int = 1 << 30, device: str = "cuda") -> float:
    """GB/s of a device copy of 1 GiB, read and written."""
    source = torch.empty(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    target.copy_(source)
    return 2 * source.nbytes / statistics.median(by_events(lambda: target.copy_(source)) for _ in range(20)) / 1e9


class EachKernel:
    """A launcher that times every kernel by itself, on top of the one there is."""

    def __init__(self, inner: launching.Launcher) -> None:
        self.inner = inner
        self.spans: dict[str, list[float]] = {}

    def limits(self, device: torch.device) -> launching.Limits:
        return self.inner.limits(device)

    def run(self, launches: Sequence[launching.Launch], records: Any, device: torch.device) -> None:
        for launch in launches:
            name = launch.kernel.name.removeprefix("half_grid::")
            seconds = by_events(lambda launch=launch: self.inner.run((launch,), records, device))
            self.spans.setdefault(name, []).append(1e3 * seconds)


def kernel_times(call: Callable[[], Any], rounds: int) -> dict[str, float]:
    """Milliseconds of each kernel of a call, medians: what stands beside the predictions of GPU.md."""
    timing = EachKernel(launching.launcher)
    launching.launcher = timing
    try:
        for _ in range(rounds):
            call()
    finally:
        launching.launcher = timing.inner
    return {name: statistics.median(spans) for name, spans in timing.spans.items()}


def measure(case: Recipe, names: list[str], rounds: int, floor_gbs: float, labels: torch.Tensor) -> dict[str, Any]:
    """One case: agreement with `cpu`, then interleaved rounds of every engine."""
    calls: dict[str, Callable[[], Any]] = {}
    found: dict[str, Any] = {**asdict(case), "name": case.name, "voxels": labels.numel(), "engines": {}}
    results = {}
    for name in names:
        transform = InnerDistanceTransform(case.voxel_size, case.scale, moving=False, engine=name)
        here = labels if name == "cpu" else labels.cuda()
        try:
            if name != "cpu":
                torch.cuda.reset_peak_memory_stats()
            before = 0 if name == "cpu" else torch.cuda.memory_allocated()
            results[name] = transform(here)
            found["engines"][name] = {}
            if name != "cpu":
                torch.cuda.synchronize()
                peak = torch.cuda.max_memory_allocated() - before  # of torch's allocator; cuCIM's own is not in it
                found["engines"][name]["peak_bytes_per_voxel"] = peak / labels.numel()
        except Exception as error:  # out of memory, or what a library does not take: the visit goes on
            found["engines"][name] = {"failed": f"{type(error).__name__}: {error}"}
            continue
        calls[name] = lambda transform=transform, here=here: transform(here)
    for name, (target, weight) in results.items():
        base = results.get("cpu", results[next(iter(results))])
        entry = found["engines"][name]
        entry["target_difference"] = largest_difference(target, base[0].cpu().double().numpy())
        entry["weight_difference"] = largest_difference(weight, base[1].cpu().double().numpy())
        entry["agrees"] = max(entry["target_difference"], entry["weight_difference"]) <= 4 * TOLERANCE
    results.clear()
    if "cuda" in calls:
        found["kernel_ms"] = kernel_times(calls["cuda"], rounds)
        calls["cuda graph"] = graph_of(calls["cuda"])
        found["engines"]["cuda graph"] = {}
    clocks = {name: by_events for name in calls if name != "cpu"}
    for name, seconds in interleaved(calls, rounds, clocks=clocks).items():
        values = [1e3 * value for value in seconds]
        median = statistics.median(values)
        found["engines"][name] |= {"median_ms": median, "min_ms": min(values), "max_ms": max(values)}
        found["engines"][name]["mvoxels_per_s"] = labels.numel() / median / 1e3
    found["floor_ms"] = (labels.element_size() + RESULT_BYTES) * labels.numel() / floor_gbs / 1e6
    return found


def machine_and_device() -> dict[str, Any]:
    """As in every record, and the device, its driver and what goes with it."""
    described = machine(torch.get_num_threads()) | dict(report.rows())
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        described["device"] = properties.name
        described["capability"] = f"{properties.major}.{properties.minor}"
        described["multiprocessors"] = properties.multi_processor_count
    return described


def table(record: dict[str, Any]) -> str:
    """A short table: milliseconds per engine, how far `cuda` is from the floor and from cuCIM."""
    names = ["cuda graph", "cuda", "cucim", "cpu"]
    heads = " ".join(f"{name:>11}" for name in names)
    lines = [f"{'case':32} {heads} {'floor':>8} {'/floor':>7} {'cucim/':>7} agree"]
    for case in record["cases"]:
        found = case["engines"]
        medians = [found.get(name, {}).get("median_ms", math.nan) for name in names]
        cells = [f"{median:11.3f}" for median in medians]
        cuda = found.get("cuda", {}).get("median_ms", math.nan)
        cucim = found.get("cucim", {}).get("median_ms", math.nan)
        agrees = all(entry.get("agrees", True) for entry in found.values())
        lines.append(
            f"{case['name']:32} {' '.join(cells)} {case['floor_ms']:8.4f} {cuda / case['floor_ms']:7.1f} "
            f"{cucim / cuda:7.1f} {'yes' if agrees else 'NO'}  {kernels_of(case)}"
        )
    return "\n".join(lines)


def kernels_of(case: dict[str, Any]) -> str:
    """Of the kernels that take time: "scan 0.061 pairs 0.183"."""
    return " ".join(f"{name.split('<')[0]} {ms:.3f}" for name, ms in case.get("kernel_ms", {}).items())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("gpu_visit.json"))
    parser.add_argument("--quick", action="store_true", help="cases up to 128³, 3 rounds")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--engines", nargs="+", default=["cpu", "cucim", "cuda"])
    parser.add_argument("--build", action="store_true", help="install this source tree first (engine cpu)")
    parser.add_argument("--no-tests", action="store_true", help="do not run pytest -m gpu first")
    parser.add_argument("--em", type=Path, help="an .npz with labels and voxel_size, timed as well")
    parser.add_argument("--dry", action="store_true", help="list the cases and what is missing")
    arguments = parser.parse_args()
    if arguments.build:
        command = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--editable", str(ROOT)]
        subprocess.run(command, check=True)
    chosen = [case for case in recipes() if case.small or not arguments.quick]
    missing = {name: engines.available()[name] for name in arguments.engines}
    if arguments.dry or missing.get("cuda"):
        print("\n".join(case.name for case in chosen))
        for name, reason in missing.items():
            print(f"{name}: {reason or 'runs here'}")
        return 0 if arguments.dry else 1
    record: dict[str, Any] = {"machine": machine_and_device(), "cases": []}
    if not arguments.no_tests:
        command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", str(ROOT / "tests")]
        tests = subprocess.run(command, cwd=ROOT, check=False)
        record["pytest_exit"] = tests.returncode
    record["copy_gbs"] = floor = copy_bandwidth()
    names = [name for name in arguments.engines if missing[name] is None]
    rounds = 3 if arguments.quick else arguments.rounds
    todo = [(case, None) for case in chosen]
    if arguments.em:
        todo.append(em_case(arguments.em))
    for case, labels in todo:
        record["cases"].append(measure(case, names, rounds, floor, case.labels() if labels is None else labels))
        arguments.out.write_text(json.dumps(record, indent=1))  # whatever happens later
        print(case.name, flush=True)
    print(f"{record['machine'].get('device')}: copy {floor:.0f} GB/s; milliseconds, medians\n{table(record)}")
    return int(record.get("pytest_exit", 0) != 0 or "NO" in table(record))


def em_case(path: Path) -> tuple[Recipe, torch.Tensor]:
    with np.load(path) as archive:
        labels, size = archive["labels"], tuple(float(n) for n in archive["voxel_size"])
    return Recipe(labels.shape, float((labels != 0).mean()), size, 12 * min(size), False), torch.from_numpy(labels)


if __name__ == "__main__":
    sys.exit(main())
