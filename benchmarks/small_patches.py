"""Target and weight of small patches and of a batch, in two versions of the package in one run.

    python benchmarks/small_patches.py --before PYTHON [--rounds 20] [--threads 2] [--only WORDS]

PYTHON is an interpreter whose environment has the other version. A call is that of one `InnerDistanceTransform` on a
tensor of blobs, 99 % foreground in a patch (none in 16³) and about half in the batch. Before it the process may have
slept for a while, since cores and threads take time to wake. The ratio is that of the medians, after over before, with
a 95 % interval from resampled rounds. Writes benchmarks/results/small_patches/<date>-<commit>.json.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from cases import speed
from engine_versions import compare

from inner_distance_gpu import InnerDistanceTransform
from inner_distance_gpu.cli.comparison import blobs

PAUSES = {0: 60, 10: 3, 100: 1}  # milliseconds -> calls of a round
BATCH = (4, 4, 64, 64, 64)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="PYTHON", help="an interpreter that has the other version")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only", default="", metavar="WORDS", help="rows whose name holds these words")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def answering(options: argparse.Namespace) -> Callable[[str], Any]:
    """What a process of one version does: seconds of a row's call, the median of a round."""
    several = np.stack([blobs(64, seed) for seed in range(16)]).reshape(BATCH)
    mask = torch.from_numpy((np.arange(several.size, dtype=np.int32) % 7 != 0).reshape(BATCH))
    batch = torch.from_numpy(several)
    kept: list[Any] = [None] * 3
    rows: dict[str, tuple[Callable[[int], Any], int, int]] = {}

    def transform() -> InnerDistanceTransform:
        return InnerDistanceTransform((8, 8, 8), 50, engine="cpu", threads=options.threads)

    for edge in (1, 16, 32, 64):
        case = np.ones((1, 1, 1), np.uint8) if edge == 1 else next(iter(speed(sizes=(edge,)))).labels
        labels = torch.from_numpy(case)
        for pause, calls in PAUSES.items():
            one = transform()
            rows[f"{edge}³ after {pause} ms"] = lambda i, one=one, labels=labels: one(labels), pause, calls
    of_batch = transform()

    def keep(i: int) -> None:
        kept[i % 3] = of_batch(batch)

    rows["batch, results dropped"] = lambda i: of_batch(batch), 0, 3
    rows["batch, last three results kept"] = keep, 0, 3
    rows["batch with a mask"] = lambda i: of_batch(batch, mask), 0, 3

    def answer(row: str) -> Any:
        if not row:
            return [name for name in rows if options.only in name]
        call, pause, calls = rows[row]
        taken = []
        if not pause:
            call(0)  # another row, or the other version, has used the caches
        for i in range(calls):
            time.sleep(pause / 1e3)
            start = time.perf_counter()
            call(i)
            taken.append(time.perf_counter() - start)
        return float(np.median(taken))

    return answer


if __name__ == "__main__":
    compare("small_patches", arguments(), answering)
