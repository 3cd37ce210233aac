"""The lower resolutions of an OME-Zarr image, level by level and block by block, resumable as a target is."""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..storage import disk, zarr_arrays
from ..storage.chunk_files import ChunkFiles
from ..storage.consolidated import consolidated, renew
from ..storage.pyramids import Level, Pyramid, check_levels, factors_of_levels, is_level, plan_levels
from . import store
from .averaging import LevelJob, extended, write_level_block
from .cluster import scheduler_of
from .done import LevelMarks
from .grid import Grid
from .journal import Journal
from .plan import Plan
from .run_folder import RUNS, STATE, RunFolder, end_runs
from .schedule import Progress, Report, Scheduler, batch_size
from .source import Source


@dataclass(frozen=True)
class Levels:
    """What `write_levels` did.

    Attributes
    ----------
    store : Path
    shapes : tuple of tuple of int
        Of all levels, the full resolution first.
    computed : int
        Blocks averaged in this run; 0 where all levels were there before.
    resumed : int
        Blocks that an earlier run had done.
    voxels : int
        Written in this run.
    seconds : float
    """

    store: Path
    shapes: tuple[tuple[int, ...], ...]
    computed: int
    resumed: int
    voxels: int
    seconds: float


def write_levels(
    image: str | Path,
    levels: int | str = "auto",
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Report | None = None,
) -> Levels:
    """Make an OME-Zarr image of targets a pyramid, so that viewers open volumes of any size.

    Each level is the average of the one below it, in float64, over 1 or 2 voxels along each spatial axis: an axis is
    halved where its voxels are not longer than 1.5 times the shortest ones. Integers are rounded, halves to the even
    one; the last voxel of an axis is the average of what there is. A block counts when it is on the disk; after a run
    that ended in any way the same call goes on and ends with the same bytes. The metadata name the new levels when all
    are complete.

    Parameters
    ----------
    image : path
        A group with an OME-Zarr multiscale (0.4 or 0.5), as `write` makes them: float or int8, no labels. Levels that
        it has are kept, and are where new ones begin.
    levels : int or "auto"
        How many there are to be, the full resolution included. "auto" ends with the first that fits one chunk.
    workers, scheduler, progress
        As in `write`.

    Returns
    -------
    Levels

    Raises
    ------
    TypeError, ValueError, OSError
        Something else than such an image, more levels than there can be; a chunk that cannot be read, a block that
        cannot be written, with the block and the file. What was marked done before stays done.

    Examples
    --------
    >>> write_levels("target.zarr").shapes  # doctest: +SKIP
    ((512, 512, 512), (256, 256, 256), (128, 128, 128))
    """
    start = time.perf_counter()
    path = disk.local_path(image)
    pyramid = plan_levels(path, levels)
    chosen = scheduler_of("reference", workers, scheduler)
    for level in pyramid.new:
        _is_begun(pyramid, level)
    if not pyramid.new and not (path / STATE).exists():
        return Levels(path, pyramid.shapes, 0, 0, 0, time.perf_counter() - start)
    marks = LevelMarks()
    with _owned(path, marks) as journal:
        pyramid = plan_levels(path, levels)  # another process may have completed levels before this was locked
        run = uuid.uuid4().hex
        folder = RunFolder.of(path.resolve(), run)
        folder.path.mkdir()
        try:
            for level in pyramid.new:
                _begin(pyramid, level, folder, journal)
            jobs = [_job(pyramid, level, run) for level in pyramid.new]
            count = _Count(jobs, marks, progress)
            for job in jobs:
                _write_level(job, chosen, journal, marks, count)
            _finish(pyramid, folder)
        finally:
            end_runs(path)
        if os.name != "nt":  # where no file is removed that is open
            store.remove_state(path)
    if os.name == "nt":
        store.remove_state(path)
    return Levels(path, pyramid.shapes, count.computed, count.before, count.voxels, time.perf_counter() - start)


def shapes_of_levels(plan: Plan, levels: int | str) -> tuple[tuple[int, ...], ...]:
    """The shapes of all levels of a target, the full resolution first.

    Raises
    ------
    TypeError, ValueError
        There can be no such levels.
    """
    if check_levels(levels) == 1:
        return (plan.shape,)
    front = len(plan.shape) - len(plan.job.grid.spatial)
    shapes = [plan.shape]
    sizes = plan.placement.scale[front:]
    for step in factors_of_levels(plan.shape[front:], sizes, plan.chunks[front:], levels, str(plan.destination)):
        spatial = (-(-n // f) for n, f in zip(shapes[-1][front:], step, strict=True))
        shapes.append((*plan.shape[:front], *spatial))
    return tuple(shapes)


class _Count:
    """How far all levels together are."""

    def __init__(self, jobs: list[LevelJob], marks: LevelMarks, progress: Report | None) -> None:
        self.blocks = sum(len(job.grid) for job in jobs)
        self.before = sum(int(np.count_nonzero(marks.done(job.number, job.grid))) for job in jobs)
        self.computed = self.voxels = 0
        self._progress = progress
        self._report()

    def add(self, voxels: int) -> None:
        self.computed += 1
        self.voxels += voxels
        self._report()

    def _report(self) -> None:
        if self._progress is not None:
            self._progress(Progress(self.before + self.computed, self.blocks, self.computed, self.voxels))


@contextlib.contextmanager
def _owned(path: Path, marks: LevelMarks) -> Iterator[Journal]:
    """The journal of the levels of an image, locked; tasks of all runs before cannot change anything any more."""
    try:
        (path / STATE).mkdir(exist_ok=True)
    except OSError as error:
        raise OSError(error.errno, f"its levels cannot be written: {error.strerror}", str(path)) from error
    with store.owned(path, marks.add) as journal:
        (path / STATE / RUNS).mkdir(exist_ok=True)
        end_runs(path)
        yield journal


def _job(pyramid: Pyramid, level: Level, run: str) -> LevelJob:
    group = pyramid.group.path.resolve()
    files = ChunkFiles.of(group / pyramid.new[0].below)  # levels have the chunks of the one that they begin with
    piece = extended(files.inner, level.shape)
    return LevelJob(
        Source(group / level.below, "fill", run),
        group,
        group / level.path,
        level.number,
        Grid((), level.shape, extended(files.chunk, level.shape), (0,) * len(piece)),
        piece,
        level.factors,
        pyramid.dtype,
        zarr_arrays.stores_zeros_as_nothing(),
    )


def _begin(pyramid: Pyramid, level: Level, folder: RunFolder, journal: Journal) -> None:
    """Have the array of a level without chunks, where it is not there already."""
    if _is_begun(pyramid, level):
        return
    journal.append({"level": level.number})
    array, new = pyramid.group.path.resolve() / level.path, folder.path / "array"
    new.mkdir()
    for name, stored in pyramid.files_of(level).items():
        with (new / name).open("xb") as file:
            file.write(json.dumps(stored, indent=2).encode())
            file.flush()
            disk.sync(file, array / name)
    disk.sync_folder(new)
    os.rename(new, array)
    disk.sync_folder(array.parent)


def _is_begun(pyramid: Pyramid, level: Level) -> bool:
    """Whether the array of a level is there.

    Raises
    ------
    FileExistsError
        Something else is.
    """
    array, files, there = pyramid.group.path / level.path, pyramid.files_of(level), {}
    if not array.exists() and not array.is_symlink():
        return False
    with contextlib.suppress(OSError, ValueError):
        there = {name: json.loads((array / name).read_text(encoding="utf-8")) for name in files}
    if there != files:
        raise FileExistsError(
            f"{array}: is there, and is no level that was begun here; move it away, or ask for fewer levels"
        )
    return True


def _write_level(job: LevelJob, scheduler: Scheduler, journal: Journal, marks: LevelMarks, count: _Count) -> None:
    done = marks.done(job.number, job.grid)

    def mark(record: dict[str, Any]) -> None:
        journal.append(record)
        count.add(job.grid.voxels_of(record["block"]))

    size = batch_size(job.grid, 8)  # voxels are read for one that is written
    scheduler.run(functools.partial(write_level_block, job), store.numbers_to_do(done), mark, size=size)


def _finish(pyramid: Pyramid, folder: RunFolder) -> None:
    """Let the metadata name the levels: one rename, which is the moment of completion."""
    group = pyramid.group.path.resolve()
    for level in pyramid.new:
        if not _is_begun(pyramid, level):
            raise FileNotFoundError(errno.ENOENT, "the level was removed", str(pyramid.group.path / level.path))
    _remove_others(pyramid, folder)
    file, attributes = group / pyramid.group.attributes_file.name, pyramid.attributes()
    stored = attributes
    if pyramid.group.format == 3:
        stored = json.loads(file.read_text(encoding="utf-8")) | {"attributes": attributes}
    data = json.dumps(stored, indent=2).encode()
    if pyramid.group.format == 3 and stored.get("consolidated_metadata") is not None:
        # The same file has the attributes and a copy of what lies below.
        data = consolidated(pyramid.group, {file.name: data})
    if pyramid.new:
        folder.put(data, file)
        disk.sync_folder(group)
    renew(group)


def _remove_others(pyramid: Pyramid, folder: RunFolder) -> None:
    """Remove levels that were begun when more were asked for."""
    group = pyramid.group.path.resolve()
    multiscale = pyramid.attributes().get("ome", pyramid.attributes())["multiscales"][0]
    named = {(group / dataset["path"]).resolve() for dataset in multiscale["datasets"]}
    for parent in {path.parent for path in named}:
        for entry in list(parent.iterdir()):
            if entry.resolve() not in named and entry.is_dir() and not entry.name.startswith(".") and is_level(entry):
                removed = folder.path / f"{entry.name}.removed"
                entry.rename(removed)
                shutil.rmtree(removed, ignore_errors=True)
