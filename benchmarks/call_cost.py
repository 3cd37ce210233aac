"""What a call costs besides its work, in two versions of the package in one run.

    python benchmarks/call_cost.py --before PYTHON [--rounds 40] [--only engine] [--batch]

Small volumes, with `threads=1`. Engine `cuda` runs with a launcher that does nothing, on host labels in place of those
on a device: what is left is Python. Each version runs in a process of its own, and each round times every row in both,
one after the other. The ratio is that of the medians, after over before, with a 95 % interval from resampled rounds.
`--batch` adds a whole batch. Writes benchmarks/results/call_cost/<date>-<commit>.json.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import speed
from engine_versions import ratio
from records import RESULTS, machine, write
from versions import Version, commit_of, serve

from inner_distance_gpu import InnerDistanceTransform, arrays, inner_distance

VOXEL_SIZE, SCALE = (8, 8, 8), 50
Calls = dict[str, tuple[Callable[[], Any], int]]  # by row, with how many a round makes


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="PYTHON", help="an interpreter that has the other version")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--only", default="", metavar="WORDS", help="rows whose name holds these words")
    parser.add_argument("--batch", action="store_true", help="also labels of shape (4, 4, 64, 64, 64)")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def calls(batch: bool) -> Calls:
    found: Calls = {}
    for what, side, count in (("one voxel", 1, 400), ("16³", 16, 100)):
        labels = np.ones((1,) * 3, np.uint8) if side == 1 else next(iter(speed(None, sizes=(side,)))).labels
        for name, call in of_labels("cpu", labels):
            found[f"cpu, {what}: {name}"] = call, count
    start_nothing()
    for name, call in of_labels("cuda", np.eye(8, dtype=np.uint8)[None]):
        found[f"cuda without kernels: {name}"] = call, 200
    if batch:
        labels = np.stack([case.labels for case in speed(None, sizes=(64,))][:1] * 16).reshape(4, 4, 64, 64, 64)
        for name, call in of_labels("cpu", labels):
            if name.startswith("transform with weights"):
                found[f"cpu, (4, 4, 64, 64, 64): {name}"] = call, 1
    return found


def of_labels(engine: str, labels: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The same labels as a NumPy array and as a tensor."""
    for kind, given in (("NumPy", labels), ("torch", torch.from_numpy(labels))):
        keywords: dict[str, Any] = {"engine": engine, "threads": 1}
        out = torch.empty(labels.shape) if kind == "torch" else np.empty(labels.shape, np.float32)
        alone = InnerDistanceTransform(VOXEL_SIZE, SCALE, weights=False, **keywords)
        both = InnerDistanceTransform(VOXEL_SIZE, SCALE, **keywords)
        mask = given != 5
        yield (
            f"inner_distance, {kind}",
            lambda given=given, keywords=keywords: inner_distance(given, VOXEL_SIZE, scale=SCALE, **keywords),
        )
        yield (
            f"inner_distance into out, {kind}",
            lambda given=given, keywords=keywords, out=out: inner_distance(
                given, VOXEL_SIZE, scale=SCALE, out=out, **keywords
            ),
        )
        yield f"transform, {kind}", lambda given=given, alone=alone: alone(given)
        yield f"transform with weights, {kind}", lambda given=given, both=both: both(given)
        yield f"transform with weights and mask, {kind}", lambda given=given, both=both, mask=mask: both(given, mask)


def start_nothing() -> None:
    """From now on engine `cuda` takes host labels and starts no kernel; under the names of either version."""
    for folder in ("engines.cuda", "device"):
        try:
            driver, launching = (
                importlib.import_module(f"inner_distance_gpu.{folder}.{name}") for name in ("driver", "launcher")
            )
        except ModuleNotFoundError:
            continue

        class Nothing:
            found = launching.Limits(multiprocessors=132, shared_bytes=48 << 10)

            def limits(self, device: torch.device) -> Any:
                return self.found

            def run(self, *launches: Any) -> None:
                pass

        stand_ins: Any = (driver, launching, arrays)
        driver, launching, home = stand_ins
        driver.why_not = lambda: None
        launching.launcher = Nothing()
        home.default_device = lambda: torch.device("cpu")


def answering(options: argparse.Namespace) -> Callable[[str], Any]:
    """What a process of one version does: seconds of a row's call."""
    timed = calls(options.batch)

    def answer(row: str) -> Any:
        if not row:
            return [name for name in timed if options.only in name]
        call, count = timed[row]
        start = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - start) / count

    return answer


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    if options.serve:
        serve(answering(options))
        return
    words = [Path(word).name for word in sys.argv[1:]]
    record: dict[str, Any] = {"suite": "call cost", "machine": machine(1)}
    record["command"] = " ".join(["python benchmarks/call_cost.py", *words])
    pythons = {"before": options.before, "after": sys.executable}
    record["commits"] = {name: commit_of(python) for name, python in pythons.items()}
    seen: dict[str, dict[str, list[float]]] = {}
    with (
        Version(options.before, Path(__file__), *sys.argv[1:]) as before,
        Version(sys.executable, Path(__file__), *sys.argv[1:]) as after,
    ):
        versions = {"before": before, "after": after}
        names = after.ask(row="")
        for i in range(-3, options.rounds):
            for name in names:
                for version in ("before", "after") if i % 2 else ("after", "before"):
                    seconds = versions[version].ask(row=name)
                    if i >= 0:
                        seen.setdefault(name, {}).setdefault(version, []).append(seconds)
    record["rows"] = []
    for name, times in seen.items():
        middle, low, high = ratio(**times)
        micro = {version: [round(s * 1e6, 3) for s in seconds] for version, seconds in times.items()}
        record["rows"].append({"row": name, "after over before": middle, "95 %": [low, high], "µs": micro})
        quartiles = [np.quantile(micro[version], (0.25, 0.5, 0.75)) for version in ("before", "after")]
        shown = ["/".join(f"{value:.4g}" for value in each) for each in quartiles]
        print(f"{name}: {shown[0]} → {shown[1]} µs, {middle:.3f} × ({low:.3f}–{high:.3f})", flush=True)
    print(f"written: {write(record, RESULTS / 'call_cost').name}")


if __name__ == "__main__":
    main()
