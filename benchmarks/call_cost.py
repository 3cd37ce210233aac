"""What a call costs besides its work, in two versions of the package in one run.

    python benchmarks/call_cost.py --before PYTHON [--rounds 40] [--only cpu] [--batch]

Small volumes, with `threads=1`. Engine `cuda` runs with a launcher that does nothing, on host labels in place of those
on a device: what is left is Python. Each version runs in a process of its own, and each round times every row in both,
one after the other. The ratio is that of the medians, after over before, with a 95 % interval from resampled rounds.
`--batch` adds a whole batch. Writes benchmarks/results/call_cost/<date>-<commit>[-<only>].json.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from cases import speed
from engine_versions import compare

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
    parser.set_defaults(threads=1)
    return parser.parse_args()


def calls(batch: bool) -> Calls:
    found: Calls = {}
    for what, side, count in (("one voxel", 1, 50), ("16³", 16, 30)):
        labels = np.ones((1,) * 3, np.uint8) if side == 1 else next(iter(speed(sizes=(side,)))).labels
        for name, call in of_labels("cpu", labels):
            found[f"cpu, {what}: {name}"] = call, count
    start_nothing()
    for name, call in of_labels("cuda", np.eye(8, dtype=np.uint8)[None]):
        found[f"cuda without kernels: {name}"] = call, 40
    if batch:
        labels = np.stack([case.labels for case in speed(sizes=(64,))][:1] * 16).reshape(4, 4, 64, 64, 64)
        for name, call in of_labels("cpu", labels):
            if name.startswith("transform with weights"):
                found[f"cpu, (4, 4, 64, 64, 64): {name}"] = call, 1
    return found


def of_labels(engine: str, labels: Any) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The same labels as a NumPy array and as a tensor."""
    for kind, given in (("NumPy", labels), ("torch", torch.from_numpy(labels))):
        run: dict[str, Any] = {"engine": engine, "threads": 1}
        out = torch.empty(labels.shape) if kind == "torch" else np.empty(labels.shape, np.float32)
        alone = InnerDistanceTransform(VOXEL_SIZE, SCALE, weights=False, **run)
        both = InnerDistanceTransform(VOXEL_SIZE, SCALE, **run)
        function = partial(inner_distance, given, VOXEL_SIZE, scale=SCALE, **run)
        yield f"inner_distance, {kind}", function
        yield f"inner_distance into out, {kind}", partial(function, out=out)
        yield f"transform, {kind}", partial(alone, given)
        yield f"transform with weights, {kind}", partial(both, given)
        yield f"transform with weights and mask, {kind}", partial(both, given, given != 5)


class Nothing:
    """A launcher that starts no kernel."""

    def __init__(self, limits: Any) -> None:
        self.limits = lambda device: limits

    def run(self, *launches: Any) -> None:
        pass


def start_nothing() -> None:
    """From now on engine `cuda` takes host labels and starts no kernel; under the names of either version."""
    earlier = importlib.util.find_spec("inner_distance_gpu.device")
    place = f"inner_distance_gpu.{'engines.cuda' if earlier is None else 'device'}"
    driver: Any = importlib.import_module(f"{place}.driver")
    launching: Any = importlib.import_module(f"{place}.launcher")
    home: Any = arrays
    driver.why_not = lambda: None
    launching.launcher = Nothing(launching.Limits(multiprocessors=132, shared_bytes=48 << 10))
    home.default_device = lambda: torch.device("cpu")


def answering(options: argparse.Namespace) -> Callable[[str], Any]:
    """What a process of one version does: seconds of a row's call."""
    timed = calls(options.batch)

    def answer(row: str) -> Any:
        if not row:
            return [name for name in timed if options.only in name]
        call, count = timed[row]
        for _ in range(count // 2):  # the other version ran meanwhile
            call()
        start = time.perf_counter()
        for _ in range(count):
            call()
        return (time.perf_counter() - start) / count

    return answer


if __name__ == "__main__":
    torch.set_num_threads(1)
    compare("call_cost", arguments(), answering)
