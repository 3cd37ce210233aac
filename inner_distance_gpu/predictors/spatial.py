"""Arrays with a place in the world: what the predictor takes in (anything with these members) and gives back."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from funlib.geometry import Roi

from ..parameters import check_voxel_size

_NEAR = 1e-3  # of a voxel: what rounding may move an edge that lies on the voxel grid


@dataclass(frozen=True)
class Region:
    """A box in world units that keeps fractions; `funlib.geometry.Roi` cuts them off.

    Parameters
    ----------
    offset, shape : sequences of numbers
        First corner and extents, in array-axis order, world units.

    Examples
    --------
    >>> Region((0, 10.5), (4, 5.25)).end
    (4.0, 15.75)
    """

    offset: tuple[float, ...]
    shape: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "offset", tuple(float(x) for x in self.offset))
        object.__setattr__(self, "shape", tuple(float(x) for x in self.shape))
        if len(self.offset) != len(self.shape):
            raise ValueError(f"offset {self.offset} and shape {self.shape}: expected as many numbers in both")

    @property
    def dims(self) -> int:
        return len(self.shape)

    @property
    def end(self) -> tuple[float, ...]:
        return tuple(x + n for x, n in zip(self.offset, self.shape, strict=True))


@dataclass(frozen=True, eq=False)
class SpatialArray:
    """An array, its voxel size and where it lies.

    Parameters
    ----------
    data : array of shape (..., z, y, x) or (..., y, x)
        NumPy, torch or CuPy (as input of the predictor also Dask).
    voxel_size : 2 or 3 positive numbers
        In array-axis order, world units. Fractions are kept, and so is the object that is given.
    roi : object with `.offset` and `.shape` in world units, or None
        Where the data lie, such as a `funlib.geometry.Roi`. None is the box at the origin: a `Roi`, or a
        `Region` where the voxel size has fractions.
    axis_names : sequence of str, or None
        One name per axis. None is the tail of `["b^", "c^"]` and the tail of `["z", "y", "x"]`.

    Raises
    ------
    TypeError, ValueError
        A region that is not as large as the data, too many leading axes to name, a voxel size that is none.

    Examples
    --------
    >>> array = SpatialArray(np.arange(12).reshape(1, 3, 4), voxel_size=(2.5, 0.5))
    >>> array.axis_names, array.roi.shape
    (['c^', 'y', 'x'], (7.5, 2.0))
    >>> array[Region((2.5, 0.5), (5, 1))].tolist()
    [[[5, 6], [9, 10]]]
    """

    data: Any
    voxel_size: Any
    roi: Any = None
    axis_names: Sequence[str] | None = None

    def __post_init__(self) -> None:
        sizes = check_voxel_size(self.voxel_size)
        shape = tuple(self.data.shape)
        if self.axis_names is None or len(shape) < len(sizes):
            object.__setattr__(self, "axis_names", default_axis_names(shape, len(sizes)))
        if self.roi is None:
            object.__setattr__(self, "roi", _whole(shape, sizes))
        if len(self.axis_names or ()) != len(shape):
            raise ValueError(f"axis_names={self.axis_names!r}: expected one name per axis of data with shape {shape}")
        extents = tuple(float(x) for x in self.roi.shape)
        grid = shape[len(shape) - len(sizes) :]
        if len(extents) != len(sizes) or any(
            abs(n * size - x) > _NEAR * size and not 0 <= n * size - x < 1
            for n, size, x in zip(grid, sizes, extents, strict=True)
        ):
            raise ValueError(
                f"roi {self.roi} for data of shape {shape} with voxel_size={sizes}: expected shape "
                f"{tuple(n * size for n, size in zip(grid, sizes, strict=True))} in world units"
            )

    def __getitem__(self, key: Any) -> Any:
        """The data in a region given in world units, or at any key that the data take."""
        if not (hasattr(key, "offset") and hasattr(key, "shape")):
            return self.data[key]
        return self.data[(..., *voxel_slices(key, self.roi, check_voxel_size(self.voxel_size), self.data.shape))]


def default_axis_names(shape: Sequence[int], dims: int) -> list[str]:
    """The tail of b^, c^ for the leading axes, then the tail of z, y, x."""
    leading = len(shape) - dims
    if not 0 <= leading <= 2:
        raise ValueError(f"data have shape {tuple(shape)}: expected {dims} spatial axes after at most 2 others")
    return ["b^", "c^"][2 - leading :] + ["z", "y", "x"][3 - dims :]


def stated_axis_names(array: Any, shape: tuple[int, ...], dims: int) -> list[str]:
    """The names that an array has for its axes; [] where it has none.

    Raises
    ------
    ValueError
        Not one per axis, or an axis of channels or samples is among the last `dims`, which are spatial.
    """
    names = list(getattr(array, "axis_names", None) or ())
    if names and len(names) != len(shape):
        raise ValueError(f"gt.axis_names={names}: expected one name per axis of labels {shape}")
    if any(str(name).endswith("^") or name in ("b", "c") for name in names[len(names) - dims :]):
        raise ValueError(
            f"gt.axis_names={names} for labels {shape}: expected the {dims} spatial axes last; "
            f"numpy.moveaxis(labels, -1, {-dims - 1}) moves another in front"
        )
    return names


def voxel_slices(roi: Any, own: Any, voxel_size: tuple[float, ...], shape: Sequence[int]) -> tuple[slice, ...]:
    """The voxels of `roi` in an array of `shape` (its last axes are spatial) that fills `own`.

    Regions whose fractions were cut off, as `funlib.geometry.Roi` does, are taken for the voxels they were made of.
    """
    grid = tuple(shape)[len(shape) - len(voxel_size) :]
    if len(tuple(roi.shape)) != len(voxel_size):
        raise ValueError(f"roi {roi}: expected {len(voxel_size)} axes, as in voxel_size={voxel_size}")
    slices = []
    for n, size, start, extent, own_start, own_extent in zip(
        grid, voxel_size, roi.offset, roi.shape, own.offset, own.shape, strict=True
    ):
        if start == own_start and extent == own_extent:
            slices.append(slice(0, n))
            continue
        first = _steps(float(start) - float(own_start), size)
        last = n if start + extent == own_start + own_extent else None
        if last is None and first is not None:
            count = _steps(float(extent), size)
            last = None if count is None else first + count
        if first is None or last is None or not 0 <= first <= last <= n:
            raise ValueError(
                f"roi {roi} is not in the array, or not on its voxel grid: "
                f"expected part of {own} in steps of {voxel_size}"
            )
        slices.append(slice(first, last))
    return tuple(slices)


def _steps(world: float, size: float) -> int | None:
    """How many voxels a length in world units is; None where it is no whole number of them."""
    count = round(world / size)
    if abs(count * size - world) <= _NEAR * size:
        return count
    if size == round(size) or world != round(world):
        return None
    # A whole number of world units on a grid with fractions: the length was cut off, or the origin was.
    for count in (math.ceil(world / size), math.floor(world / size)):
        if abs(count * size - world) < 1:
            return count
    return None


def _whole(shape: Sequence[int], voxel_size: tuple[float, ...]) -> Any:
    extents = [n * size for n, size in zip(tuple(shape)[len(shape) - len(voxel_size) :], voxel_size, strict=True)]
    origin = (0,) * len(extents)
    if all(float(size).is_integer() for size in voxel_size):
        return Roi(origin, [int(x) for x in extents])
    return Region(origin, tuple(extents))


def materialised(data: Any) -> Any:
    """Dask arrays as NumPy arrays, computed once; anything else as it is."""
    if hasattr(data, "__dask_graph__") and hasattr(data, "compute"):
        # Forked workers (PreCache, DataLoader) would wait forever for the threads of their parent's pool.
        forked = multiprocessing.parent_process() is not None
        return np.asarray(data.compute(scheduler="synchronous" if forked else None))
    return data
