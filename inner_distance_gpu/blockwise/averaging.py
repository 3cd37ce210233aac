"""One block of a level of a pyramid, in whatever thread or process: read, average, write, make durable."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .grid import Grid, Place, Slices
from .run_folder import RunFolder, make_durable
from .source import Source
from .task import naming, write_chunks

VOXELS = 2**21  # of a block; and of what is averaged at once, for which eight times as many are read


@dataclass(frozen=True)
class LevelJob:
    """Everything a worker has to know of one level; it travels to the processes of a cluster.

    `source` is the level below, `group` holds both; `grid` and `factors` are over all axes. `piece` is what is averaged
    at once: a block may be a large shard.
    """

    source: Source
    group: Path
    array: Path
    number: int
    grid: Grid
    piece: tuple[int, ...]
    factors: tuple[int, ...]
    dtype: str
    leaves_out_zeros: bool

    @property
    def run_folder(self) -> RunFolder:
        """The only way to the chunks of the level, for as long as the image belongs to this run."""
        return RunFolder.of(self.group, self.source.run)


def extended(unit: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Whole units, doubled along the last axes at first, as long as a block has no more than `VOXELS`."""
    block = list(unit)
    for axis in reversed(range(len(unit))):
        while block[axis] < shape[axis] and 2 * math.prod(block) <= VOXELS:
            block[axis] *= 2
    return tuple(block)


def average(values: npt.NDArray[Any], factors: tuple[int, ...]) -> npt.NDArray[Any]:
    """The averages of boxes of `factors` voxels, 1 or 2 along each axis; at the end of an axis of what there is.

    They are computed in float64 and have the type of `values`: integers are rounded, halves to the even one.
    """
    sums, wide = values, np.dtype(np.float64 if values.dtype.kind == "f" else np.int16)  # 8 × −128 fits
    for axis in (axis for axis, factor in enumerate(factors) if factor == 2):
        front = (slice(None),) * axis
        first, second = sums[(*front, slice(0, None, 2))], sums[(*front, slice(1, None, 2))]
        total = first.astype(wide)
        total[(*front, slice(second.shape[axis]))] += second
        sums = total
    means = sums.astype(np.float64, copy=sums is values)
    for axis, (size, factor) in enumerate(zip(values.shape, factors, strict=True)):
        # By powers of two, which is exact, so it makes no difference that it is done axis after axis.
        whole = (*(slice(None),) * axis, slice(size // factor))
        means[whole] /= factor
    return (means if values.dtype.kind == "f" else np.rint(means, out=means)).astype(values.dtype)


def write_level_block(job: LevelJob, number: int) -> dict[str, Any]:
    """Average a block and write it; it is on the disk when this returns.

    Returns
    -------
    dict
        For the journal.
    """
    inner = job.grid.place(number).inner
    values = np.empty([axis.stop - axis.start for axis in inner], job.dtype)
    for piece in _pieces(inner, job.piece):
        there = tuple(slice(p.start - i.start, p.stop - i.start) for p, i in zip(piece, inner, strict=True))
        below = _below(piece, job.factors, job.source.files.shape)
        values[there] = average(job.source.read(Place((), below, below)), job.factors)
    with naming(job.array, Place((), inner, inner)):
        folders = write_chunks(job.array, job.run_folder, inner, values, job.leaves_out_zeros)
        make_durable(folders, job.group, job.source.run)
    return {"level": job.number, "block": number, "size": job.grid.block}


def _pieces(region: Slices, size: tuple[int, ...]) -> Iterator[Slices]:
    axes = (
        [slice(start, min(start + n, axis.stop)) for start in range(axis.start, axis.stop, n)]
        for axis, n in zip(region, size, strict=True)
    )
    return itertools.product(*axes)


def _below(region: Slices, factors: tuple[int, ...], shape: tuple[int, ...]) -> Slices:
    """The voxels of the level below that a region is averaged from."""
    return tuple(
        slice(axis.start * f, min(axis.stop * f, n)) for axis, f, n in zip(region, factors, shape, strict=True)
    )
