"""A volume that is larger than memory: voxels per second, peak memory and the cost of the halo, Zarr to Zarr.

    python benchmarks/volume.py --size 2048 --folder /somewhere/with/12/GB

Labels are generated chunk by chunk: pieces of one periodic block of smooth noise in six steps, cut at random places. A
second process writes the targets, so that its peak memory is that of writing alone.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
TILE, CHUNK = 256, 128
VOXEL, SCALE = (8.0, 8.0, 8.0), 50.0
CHECKED = 8  # random boxes that are compared with a computation of their own


def tile(seed: int) -> np.ndarray:
    """A periodic block of labels 0 … 5, half of it background."""
    rng = np.random.default_rng(seed)
    frequencies = np.meshgrid(*[np.fft.fftfreq(TILE)] * 2, np.fft.rfftfreq(TILE), indexing="ij")
    smooth = np.exp(-2 * (np.pi * 6) ** 2 * sum(f**2 for f in frequencies))
    field = np.fft.irfftn(np.fft.rfftn(rng.standard_normal((TILE,) * 3)) * smooth, (TILE,) * 3, axes=(0, 1, 2))
    return np.clip(np.ceil(field / field.std() * 3), 0, 5).astype(np.uint8)


def generate(path: Path, size: int) -> None:
    import zarr

    periodic = np.tile(tile(0), (2, 2, 2))[: TILE + CHUNK, : TILE + CHUNK, : TILE + CHUNK]
    array = zarr.create_array(
        str(path), shape=(size,) * 3, chunks=(CHUNK,) * 3, dtype="u1", compressors=zarr.codecs.ZstdCodec(level=1)
    )

    def chunk(number: int) -> None:
        cut = [slice(i, i + CHUNK) for i in np.random.default_rng(number).integers(0, TILE, 3)]
        corner = np.unravel_index(number, (size // CHUNK,) * 3)
        array[tuple(slice(i * CHUNK, (i + 1) * CHUNK) for i in corner)] = periodic[tuple(cut)]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        deque(pool.map(chunk, range((size // CHUNK) ** 3)), maxlen=0)


def status(name: str) -> int:
    """A size from /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


class Timed:
    """Functions that add up the seconds that all threads spend in them."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, function: Any) -> Any:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                with self._lock:
                    self.seconds[name] = self.seconds.get(name, 0) + time.perf_counter() - start

        return timed


def write(source: Path, target: Path, workers: int, blocks: tuple[int, ...] | None) -> dict[str, Any]:
    from inner_distance_gpu import blockwise, inner_distance
    from inner_distance_gpu.blockwise import task
    from inner_distance_gpu.blockwise.source import Source

    inner_distance(np.zeros((4, 4, 4), np.uint8), VOXEL, scale=SCALE, threads=1)
    timed = Timed()
    Source.read = timed("read", Source.read)  # type: ignore[method-assign]
    task.block_target = timed("compute", task.block_target)
    task._store = timed("encode and write", task._store)
    task.make_durable = timed("put on the disk", task.make_durable)
    plan = blockwise.plan(source, target, VOXEL, scale=SCALE, dtype="int8", blocks=blocks)
    before = status("VmRSS")
    used = resource.getrusage(resource.RUSAGE_SELF)
    written = blockwise.run(plan, workers=workers)
    after = resource.getrusage(resource.RUSAGE_SELF)
    peak = status("VmHWM")
    block = plan.job.grid.largest * (np.dtype(plan.source_dtype).itemsize + 4)
    theory = np.prod([(b + 2 * h) / b for b, h in zip(plan.block, plan.halo, strict=True)])
    return {
        "shape": plan.shape,
        "voxel_size": VOXEL,
        "scale": SCALE,
        "engine": plan.job.engine,
        "dtype": plan.job.dtype,
        "compression": plan.parameters["compression"],
        "workers": workers,
        "blocks": plan.blocks,
        "blocks of an earlier run": written.resumed,
        "block": plan.block,
        "halo": plan.halo,
        "seconds": written.seconds,
        "Mvoxel/s": written.voxels / written.seconds / 1e6,
        "CPU seconds": after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime,
        "thread seconds": timed.seconds,
        "bytes before": before,
        "bytes peak": peak,
        "bytes of a block with halo, labels and target": block,
        "blocks with halo at the peak, per worker": (peak - before) / workers / block,
        "bytes planned per worker": plan.memory,
        "overhead": plan.overhead,
        "overhead of a block inside": float(theory),
        "class_voxels": written.class_voxels,
    }


def overhead_in_time(source: Path, target: Path, size: int) -> dict[str, float]:
    """Seconds of computation per voxel of the output, as the halo makes it dearer: a large block and small ones."""
    from inner_distance_gpu.blockwise import plan
    from inner_distance_gpu.blockwise.task import block_target

    found = {}
    extent = min(p.stop - p.start for p in plan(source, target, VOXEL, scale=SCALE).job.grid.place(0).inner)
    for edge in sorted({min(extent, size), min(2 * CHUNK, size), CHUNK}):
        job = plan(source, target, VOXEL, scale=SCALE, blocks=(edge,) * 3).job
        place = job.grid.place(len(job.grid) // 2 + job.grid.counts[-1] // 2)  # not at the border
        labels = job.source.read(place)
        start = time.perf_counter()
        block_target(labels, True, job.parameters, job.engine, 0.0)
        seconds = time.perf_counter() - start
        found[f"{edge}: theory"] = labels.size / edge**3
        found[f"{edge}: ns per voxel of the block"] = seconds / edge**3 * 1e9
        found[f"{edge}: ns per voxel with halo"] = seconds / labels.size * 1e9
    return found


def differing(source: Path, target: Path, size: int) -> int:
    """Voxels that differ from a computation of random boxes with a halo of their own."""
    import zarr

    from inner_distance_gpu import inner_distance

    labels, stored = (zarr.open_array(str(path), mode="r") for path in (source, target / "0"))
    rng, wrong, edge = np.random.default_rng(1), 0, 96
    halo = int(np.ceil(9.02 * SCALE / VOXEL[0]))
    for _ in range(CHECKED):
        corner = rng.integers(0, size - edge, 3)
        around = tuple(slice(max(c - halo, 0), min(c + edge + halo, size)) for c in corner)
        inside = tuple(slice(c - a.start, c - a.start + edge) for c, a in zip(corner, around, strict=True))
        exact = inner_distance(labels[around], VOXEL, scale=SCALE)[inside]
        there = stored[tuple(slice(c, c + edge) for c in corner)]
        wrong += int(np.count_nonzero(there != np.rint(exact * np.float32(127))))
    return wrong


def in_a_process(what: str) -> Any:
    """What this program prints with one more option, in a process whose memory and threads are its own."""
    command = [sys.executable, __file__, *sys.argv[1:], what]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def folder_bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=2048)
    parser.add_argument(
        "--folder", type=Path, required=True, help="new, or of a run that was ended; removed at the end"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--blocks", type=int, help="voxels per axis; default: the package's own choice")
    parser.add_argument("--write-only", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    source, target = given.folder / "labels.zarr", given.folder / "target.zarr"
    blocks = (given.blocks,) * 3 if given.blocks else None
    if given.write_only:
        print(json.dumps(write(source, target, given.workers, blocks)))
        return
    from run import machine

    start = time.perf_counter()
    if not target.exists():  # else: the rest of a run that was ended
        given.folder.mkdir(parents=True)
        generate(source, given.size)
    try:
        result: dict[str, Any] = {
            "suite": "volume",
            "command": " ".join(["python benchmarks/volume.py", *sys.argv[1:]]).replace(str(given.folder), "FOLDER"),
            "machine": machine(given.workers),
            "seconds to generate": time.perf_counter() - start,
            "bytes of labels": given.size**3,
            "bytes of labels on disk": folder_bytes(source),
        }
        result |= in_a_process("--write-only")
        result["bytes of the target on disk"] = folder_bytes(target)
        result["voxels that differ"] = differing(source, target, given.size)
        result["computation alone"] = overhead_in_time(source, given.folder / "other.zarr", given.size)
    finally:
        shutil.rmtree(given.folder)
    name = f"volume-{result['machine']['date'][:10]}-{result['machine']['commit'].removesuffix('-dirty')}.json"
    (HERE / "results" / name).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
