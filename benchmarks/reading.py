"""Reading labels block by block, with their halos: two versions of the package, and tensorstore, in one run.

    python benchmarks/reading.py --before PYTHON --folder FOLDER [--size 768] [--workers 2] [--rounds 5]

PYTHON is an interpreter whose environment has the other version. Each version runs in a process of its own; all read
the same blocks of the Zarr volume of volume.py, in turn, with as many threads. FOLDER is kept: labels are made once.
Writes benchmarks/results/reading/<date>-<commit>.json.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from records import RESULTS, machine, write
from versions import Version, commit_of, serve
from volume import SCALE, VOXEL, Timed, generate

# What reads a local Zarr array, and what reads every other chunked store.
ROWS = {"before, volume": "before", "after, volume": "after", "after, tensorstore": "after"}


def answering(options: argparse.Namespace) -> Any:
    """What a process of one version does: read blocks, and say what it took and what it read."""
    from inner_distance_gpu.blockwise.grid import Place
    from inner_distance_gpu.blockwise.source import Source

    readers = {"volume": Source(options.labels, "fill", "").read}
    last: dict[str, int] = {}

    def tensorstore() -> Any:
        from inner_distance_gpu import open_labels
        from inner_distance_gpu.blockwise.source import LabelsSource

        return LabelsSource(open_labels(options.labels, voxel_size=VOXEL), "fill", "").read

    def answer(reader: str, boxes: list[Any]) -> Any:
        if reader not in readers:
            readers[reader] = tensorstore()
        spans = [tuple(slice(begin, end) for begin, end in box) for box in boxes]
        timed = Timed()
        function, sums = timed("read", readers[reader]), []

        def read(span: Any) -> None:
            values = function(Place((), span, span))
            if reader not in last:
                sums.append(int(values.sum(dtype=np.uint64)))

        used, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        with ThreadPoolExecutor(options.workers) as pool:
            deque(pool.map(read, spans), maxlen=0)
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
        last.setdefault(reader, sum(sums))
        cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        return {"thread seconds": timed.seconds["read"], "seconds": seconds, "CPU seconds": cpu, "sum": last[reader]}

    return answer


def blocks_of(options: argparse.Namespace) -> list[Any]:
    """The blocks that `volume` would read, with their halos: those that are `options.blocks` apart."""
    from inner_distance_gpu import blockwise

    plan = blockwise.plan(options.labels, options.folder / "target.zarr", VOXEL, scale=SCALE, dtype="int8")
    chosen = np.unique(np.linspace(0, plan.blocks - 1, options.blocks).astype(int))
    places = [plan.job.grid.place(int(number)) for number in chosen]
    return [[(axis.start, axis.stop) for axis in place.around] for place in places]


def measured(options: argparse.Namespace, versions: dict[str, Version], boxes: list[Any]) -> list[dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {name: {"row": name} for name in ROWS}
    sums = set()
    for number in range(1 + options.rounds):
        for name, version in list(ROWS.items())[:: 1 if number % 2 else -1]:
            found = versions[version].ask(reader=name.split(", ")[1], boxes=boxes)
            sums.add(found.pop("sum"))
            for field, value in found.items():
                if number:  # files are in memory from now on
                    rows[name].setdefault(field, []).append(round(value, 4))
    assert len(sums) == 1, f"{sums}: the versions read different labels"
    return list(rows.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="PYTHON", help="an interpreter that has the other version")
    parser.add_argument("--folder", type=Path, required=True)
    for name, default in (("size", 768), ("workers", 2), ("blocks", 12), ("rounds", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.labels = options.folder / "labels.zarr"
    given = [argument for argument in sys.argv[1:] if argument != "--serve"]
    if options.serve:
        serve(answering(options))
        return
    if options.before is None:
        raise SystemExit("--before PYTHON is needed")
    if not options.labels.exists():
        options.folder.mkdir(parents=True, exist_ok=True)
        generate(options.labels, options.size)
    boxes = blocks_of(options)
    record: dict[str, Any] = {"suite": "reading"}
    record["command"] = " ".join(["python benchmarks/reading.py", *(Path(word).name for word in given)])
    record["machine"] = machine(options.workers)
    record["commits"] = {"before": commit_of(options.before), "after": commit_of(sys.executable)}
    record |= {"shape": [options.size] * 3, "workers": options.workers, "blocks": len(boxes)}
    record["voxels"] = sum(int(np.prod([end - begin for begin, end in box])) for box in boxes)
    program = Path(__file__).resolve()
    with Version(options.before, program, *given) as before, Version(sys.executable, program, *given) as after:
        record["rows"] = measured(options, {"before": before, "after": after}, boxes)
    for row in record["rows"]:
        print(f"{row['row']:20} {statistics.median(row['thread seconds']):6.2f} s of {options.workers} threads")
    print(f"written: {write(record, RESULTS / 'reading').name}")


if __name__ == "__main__":
    main()
