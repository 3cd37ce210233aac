"""Where the blocks of a volume lie, how far their halos reach, and what that costs."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

from ..parameters import SATURATION, TargetParameters, is_real

# A default block grows until its halo costs no more than this, or until it holds this many voxels.
OVERHEAD = 1.5
VOXELS = 2**27

Slices = tuple[slice, ...]


def halo_of(parameters: TargetParameters, halo: str | float) -> tuple[int, ...]:
    """Voxels of halo per spatial axis."""
    tolerance = _tolerance(halo)
    reach = SATURATION if tolerance is None else min(math.atanh(1 - tolerance), SATURATION)
    assert parameters.scale is not None
    return tuple(math.ceil(reach * parameters.scale / size) for size in parameters.voxel_size)


def needs_sites(parameters: TargetParameters, spatial: tuple[int, ...]) -> bool:
    """Whether it matters if a volume of this shape has any site: half its extent may be within reach of the scale."""
    extent = min(n * size for n, size in zip(spatial, parameters.voxel_size, strict=True))
    assert parameters.scale is not None
    return parameters.no_boundary == "extent" and extent / 2 / parameters.scale < SATURATION


@dataclass(frozen=True)
class Place:
    """One block: the volume it belongs to, its voxels, and those with the halo, in voxels of the volume."""

    volume: tuple[int, ...]
    inner: Slices
    around: Slices

    @property
    def within(self) -> Slices:
        """The block's voxels in an array of those with the halo."""
        return tuple(slice(i.start - a.start, i.stop - a.start) for i, a in zip(self.inner, self.around, strict=True))

    def __str__(self) -> str:
        spans = ", ".join(f"{axis.start}:{axis.stop}" for axis in self.inner)
        return f"[{''.join(f'{i}, ' for i in self.volume)}{spans}]"


@dataclass(frozen=True)
class Grid:
    """Blocks of volumes of shape `spatial`, numbered in C order; the axes `leading` hold independent volumes."""

    leading: tuple[int, ...]
    spatial: tuple[int, ...]
    block: tuple[int, ...]
    halo: tuple[int, ...]

    @functools.cached_property
    def counts(self) -> tuple[int, ...]:
        """Blocks per axis, leading ones included."""
        return self.leading + tuple(-(-n // b) for n, b in zip(self.spatial, self.block, strict=True))

    def __len__(self) -> int:
        return math.prod(self.counts)

    @property
    def voxels(self) -> int:
        return math.prod(self.leading + self.spatial)

    @property
    def overhead(self) -> float:
        """Voxels that are computed, halos included, for each voxel of the volume."""
        return math.prod(_all_voxels(n, b, h) / n for n, b, h in zip(self.spatial, self.block, self.halo, strict=True))

    @property
    def largest(self) -> int:
        """Voxels of the largest block with its halo."""
        return math.prod(_most_voxels(n, b, h) for n, b, h in zip(self.spatial, self.block, self.halo, strict=True))

    def voxels_of(self, number: int) -> int:
        """Voxels of the block with that number, without its halo."""
        index = self._index(number)[len(self.leading) :]
        return math.prod(min(b, n - i * b) for i, b, n in zip(index, self.block, self.spatial, strict=True))

    def _index(self, number: int) -> tuple[int, ...]:
        """As `np.unravel_index`, which takes ten times as long."""
        index: tuple[int, ...] = ()
        for count in reversed(self.counts):
            number, along = divmod(number, count)
            index = (along, *index)
        return index

    def place(self, number: int, halo: tuple[int, ...] | None = None) -> Place:
        """The block with that number, with another halo where given."""
        index = self._index(number)
        volume, index = index[: len(self.leading)], index[len(self.leading) :]
        inner = tuple(
            slice(i * b, min((i + 1) * b, n)) for i, b, n in zip(index, self.block, self.spatial, strict=True)
        )
        around = tuple(
            slice(max(axis.start - h, 0), min(axis.stop + h, n))
            for axis, h, n in zip(inner, self.halo if halo is None else halo, self.spatial, strict=True)
        )
        return Place(volume, inner, around)


def default_block(spatial: tuple[int, ...], unit: tuple[int, ...], halo: tuple[int, ...]) -> tuple[int, ...]:
    """A block of whole `unit`s whose halo costs little, as far as `VOXELS` go: no larger than the volume needs.

    Where a single unit with its halo holds more than that already, as a line does in a wide halo, it may hold twice as
    much: blocks of single units would compute most voxels hundreds of times.
    """
    block = tuple(unit)
    limit = max(VOXELS, 2 * Grid((), spatial, block, halo).largest)
    while True:
        now = Grid((), spatial, block, halo)
        grown = [
            Grid((), spatial, (*block[:axis], size + unit[axis], *block[axis + 1 :]), halo)
            for axis, size in enumerate(block)
            if size < spatial[axis]
        ]
        grown = [grid for grid in grown if grid.largest <= limit]
        if now.overhead <= OVERHEAD or not grown:
            return block
        # The most overhead saved per doubling of memory, so that no axis grows for nothing.
        block = min(grown, key=lambda grid: _saved(grid, now)).block


def _saved(after: Grid, before: Grid) -> float:
    return math.log(after.overhead / before.overhead) / max(math.log(after.largest / before.largest), 1e-9)


def _all_voxels(extent: int, block: int, halo: int) -> int:
    """The sum of what the blocks of an axis cover with their halos, which end where the axis does."""
    others = -(-extent // block) - 1
    last = extent - others * block
    # From the second block on, block i has min(halo, i * block) voxels before it; the same seen from the other end.
    return extent + _clipped(block, block, others, halo) + _clipped(last, block, others, halo)


def _clipped(first: int, step: int, terms: int, limit: int) -> int:
    """The sum of min(limit, first + i * step) for i from 0 to terms - 1."""
    below = min(max(-(-(limit - first) // step), 0), terms)
    return below * first + step * (below * (below - 1) // 2) + (terms - below) * limit


def _most_voxels(extent: int, block: int, halo: int) -> int:
    """What the largest block of an axis covers with its halo."""
    last = -(-extent // block) - 1
    # What whole blocks cover grows until a halo fits before them, and falls from where none fits after them.
    fits = -(-halo // block)
    candidates = {min(max(i, 0), last) for i in (fits - 1, fits, last - 1, last)}
    return max(min((i + 1) * block + halo, extent) - max(i * block - halo, 0) for i in candidates)


def _tolerance(halo: Any) -> float | None:
    """The tolerance that `halo` stands for; None for an exact one."""
    expected = 'expected "exact", or the largest error allowed, between 0 and 1'
    if isinstance(halo, str) and halo == "exact":
        return None
    if not is_real(halo):
        raise (ValueError if isinstance(halo, str) else TypeError)(f"halo={halo!r}: {expected}")
    if not 0 < halo < 1:
        raise ValueError(f"halo={halo!r}: {expected}")
    return float(halo)
