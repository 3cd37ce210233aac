"""What a channel per class costs, next to binary masks that exist already and to making those masks first.

    python benchmarks/classes.py [--rounds 10] [--edge 128]

CPU time of one thread of engine `cpu`, uint8 labels of `edge`³ voxels: `cases.class_map`. `target` is `inner_distance`
into memory that is there, `target + weight` the transform into new memory. Every row is first compared with its masks,
bit for bit. Writes benchmarks/results/classes/<date>-<commit>.json and prints it as a table.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from cases import CLASS_IDS, class_map
from memory import MEASURE
from records import HERE, RESULTS, machine, write

from inner_distance_gpu import InnerDistanceTransform, inner_distance
from inner_distance_gpu.cli.timing import Run, Timing, interleaved

VOXEL_SIZE, SCALE = (8, 8, 8), 50
UNION = 8  # ids of a class that is a union

PEAK = """
from classes import class_map, groups, measured
group = next(group for group in groups() if group.name == sys.argv[1])
labels = class_map(int(sys.argv[3]))
call, size = measured(group, labels, sys.argv[2] == "weight")
measured(group, labels[:8, :8, :8], sys.argv[2] == "weight")[0]()
print((growth(call) - size) / labels.size)
"""


@dataclass(frozen=True)
class Group:
    """Classes that are timed together."""

    name: str
    classes: tuple[tuple[int, ...], ...]
    weighed: bool = True  # whether weights are timed too, and memory is measured


def groups() -> list[Group]:
    """7 and 48 unions of equally many ids, so that their channels hold as much; and 48 single ids."""
    around = [tuple(1 + (first + i) % CLASS_IDS for i in range(UNION)) for first in range(CLASS_IDS)]
    return [
        Group("7 unions", tuple(around[::UNION][:7])),
        Group("48 unions", tuple(around[:48])),
        Group("48 single ids", tuple((i,) for i in range(1, 49)), False),
    ]


def by_cpu_time(call: Run) -> float:
    """Seconds that the process had a core: on one thread, what a machine for itself would take."""
    start = time.process_time()
    call()
    return time.process_time() - start


def masks_of(labels: npt.NDArray[np.uint8], group: Group) -> npt.NDArray[np.bool_]:
    """The masks as people make them."""
    made = [labels == ids[0] if len(ids) == 1 else np.isin(labels, ids) for ids in group.classes]
    return np.stack(made)


def measured(group: Group, labels: npt.NDArray[np.uint8], weight: bool) -> tuple[Run, int]:
    """A call with classes, and the bytes of new memory that it returns."""
    shape = (len(group.classes), *labels.shape)
    if weight:
        transform = InnerDistanceTransform(VOXEL_SIZE, SCALE, classes=group.classes, engine="cpu", threads=1)
        return lambda: transform(labels), 8 * int(np.prod(shape))
    out = np.ones(shape, np.float32)
    keywords: dict[str, Any] = {"scale": SCALE, "engine": "cpu", "threads": 1, "out": out}
    return lambda: inner_distance(labels, VOXEL_SIZE, classes=group.classes, **keywords), 0


def calls_of(group: Group, labels: npt.NDArray[np.uint8]) -> dict[tuple[str, str], Run]:
    """(What is computed, how) -> call."""
    masks, out = masks_of(labels, group), np.ones((len(group.classes), *labels.shape), np.float32)
    keywords: dict[str, Any] = {"scale": SCALE, "engine": "cpu", "threads": 1, "out": out}
    calls: dict[tuple[str, str], Run] = {
        ("target", "masks"): lambda: inner_distance(masks, VOXEL_SIZE, **keywords),
        ("target", "classes"): lambda: inner_distance(labels, VOXEL_SIZE, classes=group.classes, **keywords),
        ("target", "masks made first"): lambda: inner_distance(masks_of(labels, group), VOXEL_SIZE, **keywords),
    }
    if group.weighed:
        channels = InnerDistanceTransform(VOXEL_SIZE, SCALE, channels=len(masks), engine="cpu", threads=1)
        calls["target + weight", "masks"] = lambda: channels(masks)
        calls["target + weight", "classes"], _ = measured(group, labels, True)
    return calls


def check(group: Group, labels: npt.NDArray[np.uint8], calls: dict[tuple[str, str], Run]) -> None:
    """AssertionError where classes are not what masks give, or the first of them not what the reference gives."""
    found = np.array(calls["target", "classes"]())
    assert np.array_equal(found, calls["target", "masks"]()), f"{group.name}: targets differ from those of the masks"
    if not group.weighed:
        return
    expected = inner_distance(masks_of(labels, group)[:1], VOXEL_SIZE, scale=SCALE, engine="reference")
    assert np.abs(found[:1] - expected).max() <= 1e-6, f"{group.name}: targets differ from the reference's"
    both = zip(calls["target + weight", "classes"](), calls["target + weight", "masks"](), strict=True)
    assert all(np.array_equal(a, b) for a, b in both), f"{group.name}: weights differ from those of the masks"


def peak_bytes(group: Group, what: str, edge: int) -> float:
    """Growth of the resident set's peak during a call, beside the results, per voxel of the labels; Linux only."""
    command = [sys.executable, "-c", MEASURE + PEAK, group.name, what.split()[-1], str(edge)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=True)
    return round(float(run.stdout), 2)


def rows_of(
    times: dict[tuple[str, str, str], list[float]], edge: int, memory: bool, chosen: Sequence[Group]
) -> Iterator[dict[str, Any]]:
    """A row per group, result and way."""
    count = {group.name: len(group.classes) for group in chosen}
    for (name, what, way), seconds in times.items():
        masks, sevens = times[name, what, "masks"], times["7 unions", what, way]
        timing, per_class = Timing(seconds, masks, min(masks)), np.asarray(seconds) / count[name]
        of_seven = Timing(list(per_class), [s / 7 for s in sevens], min(sevens) / 7)
        group = next(group for group in chosen if group.name == name)
        yield {
            "group": name,
            "result": what,
            "row": way,
            "classes": count[name],
            "ms": [round(s * 1e3, 4) for s in seconds],
            "ms per class": timing.best / count[name] * 1e3,
            "over masks": timing.ratio,
            "over masks, quartiles": timing.quartiles,
            "per class over 7": of_seven.ratio,
            "per class over 7, quartiles": of_seven.quartiles,
            "bytes beside the result": peak_bytes(group, what, edge)
            if memory and group.weighed and way == "classes"
            else None,
        }


def table(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Of the least times; in brackets the quartiles of the ratios within a round."""
    yield "| classes | result | masks exist | classes | masks made first | classes / masks | per class / 7 | memory |"
    yield "|---|---|---|---|---|---|---|---|"
    found = {(row["group"], row["result"], row["row"]): row for row in rows}
    for (name, what, way), row in found.items():
        if way == "classes":
            ways = (found.get((name, what, w)) for w in ("masks", "classes", "masks made first"))
            times = ["" if own is None else f"{min(own['ms']):.1f} ms" for own in ways]
            said = [
                f"{row[key]:.2f} ({row[f'{key}, quartiles'][0]:.2f}–{row[f'{key}, quartiles'][2]:.2f})"
                for key in ("over masks", "per class over 7")
            ]
            held = row["bytes beside the result"]
            cells = [name, what, *times, *said, "" if held is None else f"{held:.1f} B"]
            yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--edge", type=int, default=128, help="voxels along an edge of the volume")
    parser.add_argument("--no-memory", action="store_true", help="time alone")
    parser.add_argument("--results", type=Path, default=RESULTS / "classes", help="folder for the JSON")
    options = parser.parse_args()
    words = [Path(word).name for word in sys.argv[1:]]
    record: dict[str, Any] = {"suite": "classes", "command": " ".join(["python benchmarks/classes.py", *words])}
    record |= {"machine": machine(1), "shape": [options.edge] * 3, "scale": SCALE, "voxel_size": VOXEL_SIZE}
    labels, chosen = class_map(options.edge), groups()
    calls: dict[tuple[str, str, str], Run] = {}
    for group in chosen:
        own = calls_of(group, labels)
        check(group, labels, own)
        calls |= {(group.name, *key): call for key, call in own.items()}
    names = {" / ".join(key): key for key in calls}
    clocks = dict.fromkeys(names, by_cpu_time)
    seconds = interleaved({name: calls[key] for name, key in names.items()}, options.rounds, 1, clocks)
    times = {key: seconds[name] for name, key in names.items()}
    record["rows"] = list(rows_of(times, options.edge, not options.no_memory, chosen))
    print("\n".join(table(record["rows"])))
    print(f"written: {write(record, options.results).name}")


if __name__ == "__main__":
    main()
