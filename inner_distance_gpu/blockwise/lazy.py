"""Dask array in, lazy Dask array out; and the target of one block, which the writer computes too."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .. import api, arrays, dispatch, engines
from ..labels import UNANNOTATED, Classes, class_volumes, has_site
from ..labels.classes import ClassMap
from ..parameters import TargetParameters, Task
from .grid import halo_of, needs_sites
from .halo_graph import Graph, Steps, spans


def inner_distance(
    array: Any,
    voxel_size: Any,
    *,
    scale: Any,
    halo: str | float = "exact",
    background: str = "zero",
    no_boundary: str = "extent",
    ignore_label: int | float | None = None,
    fill: float = 0.0,
    classes: Any = None,
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
    scale : positive number, or one number per class
        World units. The halo is that of the largest. None, distances without tanh, has no finite halo and is refused.
    halo : "exact" or a number between 0 and 1
        "exact" reaches `9.02 × scale` and returns what the whole volume would; a number is the largest
        error that a target may have, for a halo of `atanh(1 − number) × scale`.
    background, no_boundary, ignore_label, fill, classes, engine
        As in `inner_distance`; all classes of a block are one chunk. Whether a volume has any boundary is found out
        lazily, once per volume, and only where the scale reaches half the volume's extent; each chunk of the result
        then needs all chunks of its volume.

    Returns
    -------
    dask.array.Array
        float32, shape and chunks of `array`, but for the axis of classes. Chunks smaller than the halo are
        merged on the way.

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
    from dask.base import tokenize
    from dask.highlevelgraph import HighLevelGraph

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
    ids = None if classes is None else ClassMap.checked(classes, ignore_label).ids
    scales = None if ids is None else len(ids)
    parameters = TargetParameters.checked(voxel_size, scale, background, no_boundary, ignore_label, fill, scales)
    dims = len(parameters.voxel_size)
    if array.ndim < dims or any(math.isnan(n) or n == 0 for n in array.shape):
        raise ValueError(
            f"array has shape {array.shape}: expected known extents, no empty axis, and "
            f"{'(..., z, y, x)' if dims == 3 else '(..., y, x)'} for voxel_size={parameters.voxel_size}"
        )
    task = dispatch.for_labels(Task(parameters, classes=ids), arrays.accept(array._meta, "array"))
    assert task.target is not None
    parameters = task.target
    engines.check_name(engine)
    leading = array.ndim - dims
    reach = halo_of(parameters, halo)
    depth = [0 if axis < leading else min(reach[axis - leading], array.shape[axis] - 1) for axis in range(array.ndim)]
    blocks = [spans(sizes, n) for sizes, n in zip(array.chunks, depth, strict=True)]
    name = f"inner-distance-{tokenize(array.name, parameters, depth, engine, *(() if ids is None else (ids,)))}"
    target = BlockTarget(parameters, engine, array.shape[leading:], ids)
    one_block = all(len(axis) == 1 for axis in blocks[leading:])
    in_parts = target.asks and not one_block
    steps = Steps(target.unfinished, target.sites, target.finish) if in_parts else Steps(target)
    layer = Graph(name, array.name, array.chunks, blocks, dims, steps, ids is not None).tasks
    graph = HighLevelGraph.from_collections(name, layer, dependencies=[array])  # type: ignore[list-item]
    of_classes = () if ids is None else ((len(ids),),)
    chunks = (*array.chunks[:leading], *of_classes, *array.chunks[leading:])
    return da.Array(graph, name, chunks, dtype=np.float32, meta=np.empty((0,) * len(chunks), np.float32))


class Unfinished(NamedTuple):
    """A block whose target is known but for volumes without any site.

    `labels` are those of the block where some volume has no site within its halo, else None; `with_sites`, of shape
    (..., 1, 1, 1), says which volumes have one there; with classes, each of them is a volume.
    """

    target: Any
    labels: Any
    with_sites: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class BlockTarget:
    """Computes the target of the voxels `within` of a block with its halo. `spatial`: voxels of the whole volume."""

    parameters: TargetParameters
    engine: str
    spatial: tuple[int, ...]
    classes: Classes | None = None

    @property
    def asks(self) -> bool:
        """Whether it matters if a volume has any site."""
        return needs_sites(self.parameters, self.spatial)

    def __call__(self, within: tuple[slice, ...], labels: Any) -> Any:
        """The target where the block is the whole volume, or where it does not matter if that has a site."""
        with_sites = self._found(labels) if self.asks else True
        return _cut(self._target(labels, with_sites), self._of_results(within))

    def unfinished(self, within: tuple[slice, ...], labels: Any) -> Unfinished:
        target = _cut(self._target(labels, True), self._of_results(within))
        with_sites = self._found(labels)
        return Unfinished(target, None if with_sites.all() else _cut(labels, within), with_sites)

    @staticmethod
    def sites(block: Unfinished) -> npt.NDArray[np.bool_]:
        return block.with_sites

    def finish(self, block: Unfinished, with_sites: npt.NDArray[np.bool_]) -> Any:
        if block.labels is None or with_sites.all():
            return block.target
        target = block.target.copy()  # Dask may hand out the same array again
        return _without_sites(
            target, block.labels, with_sites, self.parameters, self.engine, self._extent, self.classes
        )

    def _target(self, labels: Any, with_sites: npt.NDArray[np.bool_] | bool) -> Any:
        return block_target(labels, with_sites, self.parameters, self.engine, self._extent, self.classes)

    def _of_results(self, within: tuple[slice, ...]) -> tuple[slice, ...]:
        at = len(within) - len(self.spatial)
        return within if self.classes is None else (*within[:at], slice(None), *within[at:])

    @property
    def _extent(self) -> float:
        return min(n * size for n, size in zip(self.spatial, self.parameters.voxel_size, strict=True))

    def _found(self, labels: Any) -> npt.NDArray[np.bool_]:
        dims, ignored = len(self.spatial), self.parameters.ignore_label
        if self.classes is None:
            return has_site(labels, dims, ignored)
        # One class after the other, so that memory does not grow with them.
        found = [has_site(class_volumes(labels, dims, (ids,), ignored), dims, UNANNOTATED) for ids in self.classes]
        return np.concatenate(found, axis=labels.ndim - dims)


def _cut(array: Any, within: tuple[slice, ...]) -> Any:
    """A part of an array that does not keep the rest in memory."""
    part = array[within]
    return part if part.shape == array.shape else part.copy()


def block_target(
    labels: Any,
    with_sites: npt.NDArray[np.bool_] | bool,
    parameters: TargetParameters,
    engine: str,
    whole_extent: float,
    classes: Classes | None = None,
) -> Any:
    """The target of one block with its halo. A block without a site lies farther from all of them than the halo."""
    # Parameters that are checked already: a second time would cost a small block a fifth of its computation.
    task = Task(replace(parameters, no_boundary="saturate"), classes=classes)
    accepted = dispatch.accept_volumes(labels, parameters.voxel_size)
    targets, _, _ = dispatch.run(accepted, task, engine=engine, threads=1)
    if np.all(with_sites):
        return targets
    return _without_sites(targets, labels, np.asarray(with_sites), parameters, engine, whole_extent, classes)


def _without_sites(
    targets: Any,
    labels: Any,
    with_sites: npt.NDArray[np.bool_],
    parameters: TargetParameters,
    engine: str,
    whole_extent: float,
    classes: Classes | None,
) -> Any:
    """Change the targets of volumes without any site: those of a block of one voxel with the extent of the volume."""
    dims = len(parameters.voxel_size)
    one_voxel = (whole_extent,) * dims
    for volume in np.ndindex(targets.shape[: targets.ndim - dims]):
        if not with_sites[volume].any():
            of_labels = volume if classes is None else volume[:-1]
            flat = labels[of_labels].reshape(-1, *(1,) * dims)
            own = None if classes is None else [classes[volume[-1]]]
            keywords = _keywords(parameters if classes is None else parameters.of_channel(volume[-1]), engine)
            alone = api.inner_distance(flat, one_voxel, no_boundary="extent", classes=own, **keywords)
            targets[volume] = alone.reshape(targets[volume].shape)
    return targets


def _keywords(parameters: TargetParameters, engine: str) -> dict[str, Any]:
    return {
        "scale": parameters.scale,
        "background": parameters.background,
        "ignore_label": parameters.ignore_label,
        "fill": parameters.fill,
        "engine": engine,
        "threads": 1,
    }
