"""Engine `cpu` of two versions of the package in one run.

    python benchmarks/engine_versions.py --before PYTHON [--rounds 40] [--threads 1] [--em FILE.npz] [--cpu-time]

PYTHON is an interpreter whose environment has the other version. Each version runs in a process of its own, and each
round times every row in both, one after the other. The ratio is that of the medians, after over before, with a 95 %
interval from resampled rounds. Writes benchmarks/results/engine_versions/<date>-<commit>.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from cases import Case, instances, speed
from records import RESULTS, machine, write
from versions import Version, commit_of, serve

from inner_distance_gpu import InnerDistanceTransform, inner_distance


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="PYTHON", help="an interpreter that has the other version")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--em", metavar="FILE", help="an instance segmentation with voxels of 40 × 32 × 32")
    parser.add_argument("--cpu-time", action="store_true", help="of the process, where other work shares the cores")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def rows(em: str | None) -> Iterator[tuple[Case, int]]:
    """What is timed, and how many calls a round makes of it."""
    for case in (*speed(sizes=(128,)), *(() if em is None else instances(em))):
        yield case, 1
    yield Case("one voxel", np.ones((1, 1, 1), np.uint8), (8, 8, 8), 50), 400
    yield Case("16³", next(iter(speed(sizes=(16,)))).labels, (8, 8, 8), 50), 200


def answering(options: argparse.Namespace) -> Callable[[str], float]:
    """What a process of one version does: seconds of a row's call, of one with weights too where the name says so."""
    calls: dict[str, tuple[Callable[[], Any], int]] = {}
    clock = time.process_time if options.cpu_time else time.perf_counter
    for case, count in rows(options.em):
        out = np.empty(case.labels.shape, np.float32)

        def call(case: Case = case, out: npt.NDArray[np.float32] = out) -> None:
            options_of = {"engine": "cpu", "threads": options.threads}
            inner_distance(case.labels, case.voxel_size, scale=case.scale, out=out, **options_of)

        calls[case.name] = call, count
        if count > 1:
            transform = InnerDistanceTransform(case.voxel_size, scale=case.scale, engine="cpu", threads=options.threads)
            labels = torch.from_numpy(case.labels)
            calls[f"{case.name}, transform"] = lambda transform=transform, labels=labels: transform(labels), count

    def answer(row: str) -> Any:
        if not row:
            return list(calls)
        call, count = calls[row]
        start = clock()
        for _ in range(count):
            call()
        return (clock() - start) / count

    return answer


def ratio(before: list[float], after: list[float]) -> list[float]:
    """Of the medians, after over before, and the ends of its 95 % interval."""
    pairs = np.asarray([before, after])
    chosen = np.random.default_rng(0).integers(pairs.shape[1], size=(4000, pairs.shape[1]))
    medians = np.median(pairs[:, chosen], axis=2)
    low, high = np.quantile(medians[1] / medians[0], (0.025, 0.975))
    return [float(np.median(after) / np.median(before)), float(low), float(high)]


def compare(
    name: str, options: argparse.Namespace, answering: Callable[[argparse.Namespace], Callable[[str], Any]]
) -> None:
    """Serve as one version, or time the rows of both and leave a record in the folder `name` of the results."""
    if options.serve:
        serve(answering(options))
        return
    program = Path(__file__).with_name(f"{name}.py")
    words = [Path(word).name for word in sys.argv[1:]]
    record: dict[str, Any] = {"suite": "engine versions", "machine": machine(options.threads)}
    record["command"] = " ".join([f"python benchmarks/{program.name}", *words])
    pythons = {"before": options.before, "after": sys.executable}
    record["commits"] = {name: commit_of(python) for name, python in pythons.items()}
    seen: dict[str, dict[str, list[float]]] = {}
    with (
        Version(options.before, program, *sys.argv[1:]) as before,
        Version(sys.executable, program, *sys.argv[1:]) as after,
    ):
        versions = {"before": before, "after": after}
        names = after.ask(row="")
        for i in range(-2, options.rounds):
            for row in names:
                for version in ("before", "after") if i % 2 else ("after", "before"):
                    seconds = versions[version].ask(row=row)
                    if i >= 0:
                        seen.setdefault(row, {}).setdefault(version, []).append(seconds)
    record["rows"] = []
    for row, times in seen.items():
        middle, low, high = ratio(**times)
        milliseconds = {version: [round(s * 1e3, 5) for s in seconds] for version, seconds in times.items()}
        record["rows"].append({"row": row, "after over before": middle, "95 %": [low, high], "ms": milliseconds})
        first, second = (
            "/".join(f"{value:.4g}" for value in np.quantile(milliseconds[version], (0.25, 0.5, 0.75)))
            for version in ("before", "after")
        )
        print(f"{row}: {first} → {second} ms, {middle:.3f} × ({low:.3f}–{high:.3f})")
    only = getattr(options, "only", "")
    print(f"written: {write(record, RESULTS / name, only and f'-{only}').name}")


if __name__ == "__main__":
    compare("engine_versions", arguments(), answering)
