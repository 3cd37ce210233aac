"""Dask array in, lazy Dask array out; and the target of one block, which the writer computes too."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import api, arrays, engines
from ..labels import has_site
from ..parameters import TargetParameters
from .grid import halo_of


def inner_distance(
    array: Any,
    voxel_size: Any,
    *,
    scale: float,
    halo: str | float = "exact",
    background: str = "zero",
    no_boundary: str = "extent",
    ignore_label: int | float | None = None,
    fill: float = 0.0,
    engine: str = "auto",
) -> Any:
    """The target of a Dask array, as a lazy Dask array with the same chunks.

    Each block is computed with a halo of labels around it, on one thread; Dask's scheduler runs the blocks.

    Parameters
    ----------
    array : dask.array.Array of shape (..., z, y, x) or (..., y, x)
        Labels, dtypes as in `inner_distance`. The axes before the spatial ones hold independent volumes.
    voxel_size : 2 or 3 positive numbers
        In array-axis order, world units.
    scale : positive number
        World units. None, distances without tanh, has no finite halo and is refused.
    halo : "exact" or a number between 0 and 1
        "exact" reaches `9.02 × scale` and returns what the whole volume would; a number is the largest
        error that a target may have, for a halo of `atanh(1 − number) × scale`.
    background, no_boundary, ignore_label, fill, engine
        As in `inner_distance`. Whether a volume has any boundary is found out lazily, once per volume.

    Returns
    -------
    dask.array.Array
        float32, shape and chunks of `array`. Chunks smaller than the halo are merged on the way.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above, with the value, the shape and what is accepted.

    Examples
    --------
    >>> import dask.array as da, numpy as np
    >>> labels = da.from_array(np.array([[0, 1, 1, 1, 1, 1]]), chunks=(1, 2))
    >>> inner_distance(labels, (4, 4), scale=10).compute().round(2).tolist()[0][:3]
    [0.0, 0.20000000298023224, 0.5400000214576721]
    """
    import dask.array as da

    if not isinstance(array, da.Array):
        raise TypeError(
            f"array is a {type(array).__module__}.{type(array).__qualname__}: expected a dask.array.Array; "
            "inner_distance_gpu.inner_distance takes arrays in memory"
        )
    if scale is None:
        raise ValueError(
            "scale=None: distances without tanh have no finite halo; give a scale, or rechunk every volume into "
            "one block and map inner_distance_gpu.inner_distance over the blocks"
        )
    parameters = TargetParameters.checked(voxel_size, scale, background, no_boundary, ignore_label, fill)
    dims = len(parameters.voxel_size)
    if array.ndim < dims or any(math.isnan(n) or n == 0 for n in array.shape):
        raise ValueError(
            f"array has shape {array.shape}: expected known extents, no empty axis, and "
            f"{'(..., z, y, x)' if dims == 3 else '(..., y, x)'} for voxel_size={parameters.voxel_size}"
        )
    parameters = api.for_labels(parameters, arrays.accept(array._meta, "array"))
    engines.check_name(engine)
    leading = array.ndim - dims
    reach = halo_of(parameters, halo)
    depth = {
        axis: 0 if axis < leading else min(reach[axis - leading], array.shape[axis] - 1) for axis in range(array.ndim)
    }
    around = da.overlap.overlap(array, depth=depth, boundary="none")
    whole_extent = min(n * size for n, size in zip(array.shape[leading:], parameters.voxel_size, strict=True))
    with_sites = _volumes_with_sites(array, dims, parameters.ignore_label) if no_boundary == "extent" else True
    targets = da.map_blocks(
        block_target,
        around,
        with_sites,
        parameters=parameters,
        engine=engine,
        whole_extent=whole_extent,
        dtype=np.float32,
        meta=np.empty((0,) * array.ndim, np.float32),
    )
    return da.overlap.trim_overlap(targets, depth, boundary="none").rechunk(array.chunks)


def _volumes_with_sites(array: Any, dims: int, ignore_label: int | float | None) -> Any:
    """A lazy bool array (..., 1, 1, 1): whether each volume has a site anywhere."""
    import dask.array as da

    spatial = tuple(range(array.ndim - dims, array.ndim))
    # One voxel from the next block: the faces between blocks count too.
    depth = {axis: (0, 1) if axis in spatial and array.shape[axis] > 1 else 0 for axis in range(array.ndim)}
    around = da.overlap.overlap(array, depth=depth, boundary="none")
    chunks = around.chunks[: array.ndim - dims] + tuple((1,) * n for n in around.numblocks[array.ndim - dims :])
    found = da.map_blocks(
        has_site, around, dims, ignore_label, chunks=chunks, dtype=bool, meta=np.empty((0,) * array.ndim, bool)
    )
    return found.any(axis=spatial, keepdims=True)


def block_target(
    labels: Any,
    with_sites: npt.NDArray[np.bool_] | bool,
    parameters: TargetParameters,
    engine: str,
    whole_extent: float,
) -> Any:
    """The target of one block with its halo. A block without a site lies farther from all of them than the halo."""
    keywords: dict[str, Any] = {
        "scale": parameters.scale,
        "background": parameters.background,
        "ignore_label": parameters.ignore_label,
        "fill": parameters.fill,
        "engine": engine,
        "threads": 1,
    }
    targets = api.inner_distance(labels, parameters.voxel_size, no_boundary="saturate", **keywords)
    dims = len(parameters.voxel_size)
    if np.all(with_sites):
        return targets
    # Volumes without any site: a block of one voxel with the extent of the whole volume has their distance.
    one_voxel = (whole_extent,) * dims
    for volume in np.ndindex(labels.shape[: labels.ndim - dims]):
        if not np.asarray(with_sites)[volume].any():
            flat = labels[volume].reshape(-1, *(1,) * dims)
            alone = api.inner_distance(flat, one_voxel, no_boundary="extent", **keywords)
            targets[volume] = alone.reshape(targets[volume].shape)
    return targets
