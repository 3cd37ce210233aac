"""The rows of block_cost.py: one of them in this process, with the package that it imports.

python benchmarks/block_rows.py ROW BLOCKS EDGE FOLDER
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 64
OPTIONS = {"scale": 1, "compression": "none"}
SAMPLED = 200  # blocks that the engine alone computes


def cpu() -> float:
    """User and system seconds of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def grid_of(blocks: int) -> tuple[int, int, int]:
    """Blocks along each axis, as near to a cube as may be."""
    edge = round(blocks ** (1 / 3))
    while blocks % edge:
        edge -= 1
    rest = blocks // edge
    middle = int(rest**0.5)
    while rest % middle:
        middle -= 1
    return edge, middle, rest // middle


def labels(folder: Path, blocks: int, edge: int) -> Path:
    """Stripes that no two chunks share; a chunk is stored once per write, so the store is made file by file."""
    shape = [n * edge for n in grid_of(blocks)]
    path = folder / "labels.zarr"
    path.mkdir(parents=True)
    described = {
        "zarr_format": 2,
        "shape": shape,
        "chunks": [CHUNK] * 3,
        "dtype": "|u1",
        "compressor": None,
        "fill_value": 0,
        "filters": None,
        "order": "C",
        "dimension_separator": "/",
    }
    (path / ".zarray").write_text(json.dumps(described))
    chunk = np.random.default_rng(0).integers(0, 2, (CHUNK,) * 3, np.uint8).tobytes()
    for place in np.ndindex(*(-(-n // CHUNK) for n in shape)):
        file = path.joinpath(*map(str, place))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(chunk)
    return path


def check_engine() -> None:
    """Raise unless this process has an engine to compute with."""
    from inner_distance_gpu import engines

    if (reason := engines.available()["cpu"]) is not None:
        raise ImportError(reason)


def planned(folder: Path, blocks: int, edge: int, name: str = "target.zarr") -> Any:
    from inner_distance_gpu import blockwise

    source = folder / "labels.zarr"
    return blockwise.plan(source, folder / name, (1, 1, 1), **OPTIONS, chunks=(edge,) * 3, blocks=(edge,) * 3)


def threads(folder: Path, blocks: int, edge: int) -> dict[str, float]:
    """Milliseconds per block on two threads: all CPU time, and what of it `fsync` and the engine take."""
    from inner_distance_gpu import blockwise

    labels(folder, blocks, edge)
    original, spent = os.fsync, [0.0]

    def timed(handle: int) -> None:
        start = time.thread_time()
        original(handle)
        spent[0] += time.thread_time() - start

    os.fsync = timed
    plan = planned(folder, blocks, edge)
    start = cpu()
    blockwise.run(plan, workers=2)
    total = cpu() - start
    found = {"CPU ms": total / blocks * 1e3, "CPU ms of fsync": spent[0] / blocks * 1e3}
    found["CPU ms of the engine"] = bare(plan) * 1e3
    return found | {"besides both": found["CPU ms"] - found["CPU ms of fsync"] - found["CPU ms of the engine"]}


def bare(plan: Any) -> float:
    """Seconds of CPU per block for its target alone: arrays of its size with the halo, in memory, on one thread."""
    from inner_distance_gpu import inner_distance

    numbers = np.random.default_rng(0).integers(0, plan.blocks, SAMPLED)
    boxes = [plan.job.grid.place(int(number)).around for number in numbers]
    shapes = [tuple(axis.stop - axis.start for axis in box) for box in boxes]
    arrays = [np.random.default_rng(0).integers(0, 2, shape, np.uint8) for shape in shapes]
    options = {"scale": OPTIONS["scale"], "no_boundary": "saturate", "threads": 1}
    inner_distance(arrays[0], (1, 1, 1), **options)
    start = cpu()
    for array in arrays:
        inner_distance(array, (1, 1, 1), **options)
    return (cpu() - start) / SAMPLED


def cluster(folder: Path, blocks: int, edge: int) -> dict[str, float]:
    """Milliseconds per block on two processes, and per empty task on as many: less what starting them takes."""
    labels(folder, blocks, edge)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import block_rows; block_rows.on_cluster(*sys.argv[2:])"
    spent = {}
    for what in ("nothing", "empty", "blocks"):
        start = cpu()
        command = [sys.executable, "-c", code, Path(__file__).parent, folder, str(blocks), str(edge), what]
        subprocess.run(command, check=True)
        spent[what] = cpu() - start
    empty, whole = ((spent[what] - spent["nothing"]) / blocks * 1e3 for what in ("empty", "blocks"))
    return {"CPU ms": whole, "CPU ms of an empty task": empty, "above empty tasks": whole - empty}


def on_cluster(folder: str, blocks: str, edge: str, what: str) -> None:
    import distributed

    from inner_distance_gpu import blockwise

    check_engine()
    plan = planned(Path(folder), int(blocks), int(edge))
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as running:
        with distributed.Client(running) as client:
            client.run(check_engine)
        if what == "blocks":
            blockwise.run(plan, scheduler=running.scheduler_address)
        elif what == "empty":
            with distributed.Client(running) as client:
                window = [client.submit(int, n, pure=False) for n in range(4)]
                waiting, numbers = distributed.as_completed(window), iter(range(4, int(blocks)))
                for _ in waiting:
                    for number in numbers:
                        waiting.add(client.submit(int, number, pure=False))
                        break


def tasks(folder: Path, blocks: int, edge: int) -> dict[str, float]:
    """Tasks per chunk of a lazy target with a halo of one chunk, and bytes per chunk for its graph."""
    import dask
    import dask.array as da

    from inner_distance_gpu import blockwise

    shape = [n * edge for n in grid_of(blocks)]
    source = da.zeros(shape, chunks=edge, dtype=np.uint8)
    scale = (edge - 0.5) / 9.02
    dask.optimize(blockwise.inner_distance(source[: 2 * edge, : 2 * edge, : 2 * edge], (1, 1, 1), scale=scale))
    before, start = peak(), cpu()
    lazy = blockwise.inner_distance(source, (1, 1, 1), scale=scale)
    count = len(dict(lazy.__dask_graph__())) - len(dict(source.__dask_graph__()))
    built = peak()
    dask.optimize(lazy)
    return {
        "tasks": count / blocks,
        "bytes of the graph": (built - before) / blocks,
        "bytes of the graph, optimised": (peak() - before) / blocks,
        "CPU ms": (cpu() - start) / blocks * 1e3,
    }


def nearly_done(folder: Path, blocks: int, edge: int, share: float) -> Any:
    """The plan of an output whose journal says that `share` of the blocks is done."""
    from inner_distance_gpu.blockwise import store
    from inner_distance_gpu.blockwise.journal import Journal

    labels(folder, 1, edge)
    described = json.loads((folder / "labels.zarr" / ".zarray").read_text())
    (folder / "labels.zarr" / ".zarray").write_text(
        json.dumps(described | {"shape": [n * edge for n in grid_of(blocks)]})
    )
    plan = planned(folder, blocks, edge)
    store.create(plan)
    os.fsync = lambda _: None
    with Journal(plan.job.destination / store.STATE / store.JOURNAL).open() as journal:
        for number in range(int(blocks * share)):
            journal.append({"block": number, "missing": 1, "voxels": [[edge**3, 0]]})
    return plan


def first_block(plan: Any) -> float:
    """Seconds from the call to the first block that is done."""
    from inner_distance_gpu import blockwise

    class EnoughError(Exception):
        pass

    start, found = time.perf_counter(), []

    def report(progress: Any) -> None:
        if progress.computed:
            found.append(time.perf_counter() - start)
            raise EnoughError

    with contextlib.suppress(EnoughError):
        blockwise.run(plan, workers=1, progress=report)
    return found[0]


def memory(folder: Path, blocks: int, edge: int) -> dict[str, float]:
    """Bytes by which the peak of the driver's memory grows while it goes on where all but one block is done.

    The growth from the fewer to the more blocks, over the difference, is what a block takes.
    """
    nearly_done(folder, blocks, edge, 1 - 1 / blocks)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import block_rows; block_rows.go_on(*sys.argv[2:])"
    found = {}
    command = [sys.executable, "-c", code, Path(__file__).parent, folder, str(blocks), str(edge)]
    found["bytes of growth"] = float(subprocess.run(command, capture_output=True, check=True).stdout)
    return found


def go_on(folder: str, blocks: str, edge: str) -> None:
    check_engine()
    plan = planned(Path(folder), int(blocks), int(edge))
    before = peak()
    first_block(plan)
    print(peak() - before)


def resume(folder: Path, blocks: int, edge: int) -> dict[str, float]:
    """Seconds to the first block where 99 % are done."""
    return {"seconds to the first block at 99 %": first_block(nearly_done(folder, blocks, edge, 0.99))}


if __name__ == "__main__":
    check_engine()
    row, blocks, edge, folder = sys.argv[1:]
    print(json.dumps(globals()[row](Path(folder), int(blocks), int(edge))))
