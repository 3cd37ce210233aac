"""Zarr to Zarr, resumable: what is done counts after a crash, what is not done is done next time."""

from __future__ import annotations

import contextlib
import functools
import os
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..storage import disk
from ..storage.consolidated import renew
from . import store
from .cluster import scheduler_of
from .done import Done
from .journal import Journal
from .levels import shapes_of_levels, write_levels
from .plan import Plan, plan
from .run_folder import end_runs
from .schedule import Progress, Report, Scheduler, batch_size
from .sites import with_sites
from .task import write_block


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes
    ----------
    plan : Plan
    computed : int
        Blocks computed in this run; 0 where the output was complete before.
    resumed : int
        Blocks that an earlier run had done.
    voxels : int
        Voxels of the blocks computed in this run, halos not counted.
    seconds : float
    missing_chunks : int
        Chunks of the source that are not stored and counted as its fill value.
    class_voxels : list
        Per channel the annotated voxels with label = 0 and with label ≠ 0, of the whole volume.
    densest : list
        The voxel in the middle of the block with the most foreground, in the source's axes.
    levels : tuple of tuple of int
        The shapes of all levels, where more than one was asked for.
    """

    plan: Plan
    computed: int
    resumed: int
    voxels: int
    seconds: float
    missing_chunks: int
    class_voxels: list[list[int]]
    densest: list[int]
    levels: tuple[tuple[int, ...], ...] = ()


def write(
    source: str | Path,
    destination: str | Path,
    voxel_size: Any = None,
    *,
    scale: Any,
    halo: str | float = "exact",
    background: str = "zero",
    no_boundary: str = "extent",
    ignore_label: int | float | None = None,
    fill: float = 0.0,
    engine: str = "auto",
    ids: Iterable[int] | None = None,
    binary: bool = False,
    classes: Any = None,
    dtype: str = "float32",
    blocks: Any = None,
    chunks: Any = None,
    shards: Any = None,
    compression: str = "zstd",
    key: str | None = None,
    level: int = 0,
    select: Mapping[str, int] = {},
    unit: str = "",
    missing: str = "fill",
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Report | None = None,
    levels: int | str = 1,
) -> Written:
    """The target of a Zarr or OME-Zarr array of any size, as OME-Zarr: block by block, resumable.

    A block is read with its halo, computed on one thread, written, put on the disk and only then marked done. A
    run that ended in any way, a kill or a power cut included, goes on with the same call, computes what is
    missing and ends with the same bytes.

    Parameters
    ----------
    source : path
        Labels of shape (..., z, y, x) or (..., y, x), anything that `open_labels` reads, where every worker sees it.
    destination : path
        A group to write: a new *.zarr, or a place in a group that exists. Its array `0` has the attributes; OME-Zarr
        metadata (0.4 in format 2, 0.5 in format 3) give voxel size and place. It takes the format of the group that
        it goes into, else that of the source.
    voxel_size : 2 or 3 positive numbers, or None
        In array-axis order, world units. None takes it from the source, and the place of the output too.
    scale, halo, background, no_boundary, ignore_label, fill
        As in `blockwise.inner_distance`; `ids` may have a scale each, too.
    engine : str
        "auto" is the fastest host engine. A name is used or raises.
    ids : sequence of int, or None
        A binary channel per id, on an axis in front of all others. An id that does not occur has no foreground.
    binary : bool
        Every label ≠ 0 is the same object.
    classes : sequence of ids or of collections of ids, mapping from names to them, or None
        A channel per class on an axis in front of the spatial ones, as in `inner_distance`; names go into the
        attributes. A class that does not occur has no foreground. Not with `ids` or `binary`.
    dtype : {"float32", "int8"}
        int8 is the target × 127, rounded.
    blocks, chunks, shards : one whole number per spatial axis, or None
        Voxels. A block is a whole number of the output's chunks, or of its shards (format 3). None: chunks of
        the source, no shards, and blocks large enough for their halo.
    compression : str
        "zstd", "blosc" (zstd with shuffled bytes) or "gzip", with a level as in "zstd:9"; or "none". All are lossless.
    key : str or None
        The path of the array below `source`.
    level, select
        As in `open_labels`: a level of a pyramid, and indices along axes that are dropped.
    unit : str
        The world unit's name, such as nm, for the metadata; "" takes that of the source.
    missing : {"fill", "error"}
        A chunk of the source that is not stored holds the fill value, as Zarr says, or is an error. An array
        without a fill value has an error always.
    overwrite : bool
        Replace an output of this function and begin anew.
    workers : positive int or None
        Threads of this process, one block each; None is one per CPU.
    scheduler : str or None
        The address of a dask.distributed cluster that computes instead (extra `cluster`).
    progress : callable or None
        Called with a `Progress` after each block, one call at a time, from any thread.
    levels : int or "auto"
        Resolutions, as `write_levels` makes them when the full one is complete. No parameter of the output: the same
        call with another number goes on with it.

    Returns
    -------
    Written

    Raises
    ------
    TypeError, ValueError, OSError
        Arguments that are not as above, parameters other than those of the output that is there, both shown; labels
        that cannot be read, an output that cannot be written, with the block and the file. What was marked done
        before stays done.

    Examples
    --------
    >>> import tempfile, zarr
    >>> folder = tempfile.mkdtemp()
    >>> labels = zarr.open_array(f"{folder}/labels.zarr", mode="w", shape=(4, 8, 8), chunks=(2, 4, 4), dtype="u1")
    >>> labels[1:3, 2:6, 2:6] = 1
    >>> written = write(f"{folder}/labels.zarr", f"{folder}/target.zarr", (40, 4, 4), scale=4, dtype="int8")
    >>> written.class_voxels
    [[224, 32]]
    >>> zarr.open_array(f"{folder}/target.zarr/0", mode="r")[1, 3].tolist()
    [0, 0, 59, 115, 115, 59, 0, 0]
    """
    prepared = plan(
        source,
        destination,
        voxel_size,
        scale=scale,
        halo=halo,
        background=background,
        no_boundary=no_boundary,
        ignore_label=ignore_label,
        fill=fill,
        engine=engine,
        ids=ids,
        binary=binary,
        classes=classes,
        dtype=dtype,
        blocks=blocks,
        chunks=chunks,
        shards=shards,
        compression=compression,
        key=key,
        level=level,
        select=select,
        unit=unit,
        missing=missing,
    )
    return run(prepared, overwrite, workers, scheduler, progress, levels)


def run(
    plan: Plan,
    overwrite: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: Report | None = None,
    levels: int | str = 1,
) -> Written:
    """Do what a plan says."""
    start = time.perf_counter()
    shapes_of_levels(plan, levels)  # before hours of work
    chosen = scheduler_of(plan.job.engine, workers, scheduler)
    written = _run(plan, overwrite, chosen, progress)
    if levels == 1:
        return written
    made = write_levels(plan.destination, levels, workers=workers, scheduler=scheduler, progress=progress)
    return replace(written, levels=made.shapes, seconds=time.perf_counter() - start)


def _run(plan: Plan, overwrite: bool, scheduler: Scheduler, progress: Report | None) -> Written:
    start = time.perf_counter()  # a plan may be run again, and each run has a folder of its own
    plan = replace(plan, job=replace(plan.job, source=replace(plan.job.source, run=uuid.uuid4().hex)))
    with contextlib.suppress(PermissionError):  # of a folder that is not to be listed
        disk.remove_abandoned_folders(plan.destination)
    if store.complete(plan, overwrite):
        with contextlib.suppress(BlockingIOError):
            _tidy(plan)
        return _found(plan)
    if not store.begun(plan):
        store.create(plan)
    elif overwrite:
        store.replace(plan)
    done = Done(plan.job)
    array = plan.job.destination
    with store.owned(array, done.add) as journal:
        # Another process may have created, completed or replaced it before it was locked here.
        if store.complete(plan, False):
            _tidy_locked(plan)
            return _found(plan)
        store.end_other_runs(array)
        folder = plan.job.run_folder.path
        folder.mkdir()
        try:
            before, voxels = done.count, done.voxels
            sites = with_sites(plan, scheduler)
            _write_blocks(plan, scheduler, sites, journal, done, progress)
            results = done.results()
            store.finish(plan, results)
        finally:
            end_runs(array)
        _tidy_locked(plan)
    if os.name == "nt":
        store.remove_state(array)
    seconds = time.perf_counter() - start
    return Written(plan, done.count - before, before, done.voxels - voxels, seconds, **results)


def _found(plan: Plan) -> Written:
    found = store.results(plan)
    return Written(plan, 0, plan.blocks, 0, 0.0, found["missing_chunks"], found["class_voxels"], found["densest"])


def _tidy(plan: Plan) -> None:
    """Remove what a process left that was killed when the output was complete."""
    if not (plan.job.destination / store.STATE).exists():
        return
    with store.owned(plan.job.destination):
        if store.complete(plan, False):
            store.end_other_runs(plan.job.destination)
            _tidy_locked(plan)


def _tidy_locked(plan: Plan) -> None:
    renew(plan.destination)
    if os.name != "nt":  # where no file is removed that is open
        store.remove_state(plan.job.destination)


def _write_blocks(
    plan: Plan,
    scheduler: Scheduler,
    sites: npt.NDArray[np.bool_],
    journal: Journal,
    done: Done,
    progress: Report | None,
) -> None:
    before, voxels = done.count, done.voxels

    def mark(record: dict[str, Any]) -> None:
        journal.append(record)
        if progress is not None:
            progress(Progress(done.count, plan.blocks, done.count - before, done.voxels - voxels))

    if progress is not None:
        progress(Progress(before, plan.blocks, 0, 0))
    numbers = store.numbers_to_do(done.blocks)
    scheduler.run(functools.partial(write_block, plan.job, sites), numbers, mark, size=batch_size(plan.job.grid))
