"""Engine `reference`: the oracle. Plain NumPy, and SciPy's exact EDT on the doubled grid; never optimised.

The arithmetic is that of DaCapo's `InnerDistancePredictor` and `DistancePredictor` (dacapo-ml 0.3.5). Where
the two differ on purpose, the line that decides it says `DaCapo:` and what DaCapo does instead. What is
decided before an engine is asked (empty axes, ranks, masks, float32 counts) says so in `dispatch.py`, `counts.py`
and `transform.py`.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels import UNANNOTATED, class_volumes, in_classes, is_annotated
from ..parameters import BORDER_SLACK, TargetParameters, Task, WeightParameters
from . import Arrays, counting, notices
from .slabs import slab_grid


def why_not() -> str | None:
    """Runs wherever the package is installed."""
    return None


def run(task: Task, arrays: Arrays, threads: int = 1) -> None:
    """Targets, then weights, then weight 0 beyond the border; on one thread whatever `threads` says."""
    labels, mask, target, weight, counts = arrays
    if task.classes is not None:
        if task.target is not None:
            notices.look_for_fractions(labels, is_annotated(labels, task.ignore_label))
        binary = class_volumes(labels, task.dims, task.classes, task.ignore_label)
        run(replace(task.ignoring(UNANNOTATED), classes=None), arrays._replace(labels=binary), threads)
        return
    if task.target is not None:
        inner_distance(labels, target, task.target)
    if task.weighing is None or counts is None:
        return
    numerators, denominators = counts
    with counting.on_host:  # other threads may count on from the same numbers; a call that fails has counted nothing
        grown = numerators.copy(), denominators.copy()
        ones = np.broadcast_to(np.uint8(1), labels.shape)
        weight[...] = balanced_weights(labels, ones if mask is None else mask, *grown, task.weighing)
        numerators[...], denominators[...] = grown
    if task.target is not None and task.border == "mask":
        for volume in np.ndindex(labels.shape[: labels.ndim - len(task.target.voxel_size)]):
            weight[volume][_beyond_border(labels[volume], task.target)] = 0


def inner_distance(labels: npt.NDArray[Any], out: npt.NDArray[np.float32], parameters: TargetParameters) -> None:
    """Targets of every volume in the leading axes."""
    leading = labels.shape[: labels.ndim - len(parameters.voxel_size)]
    notices.look_for_fractions(labels, is_annotated(labels, parameters.ignore_label))
    for volume in np.ndindex(leading):
        # DaCapo: float64 for int32, int64 and uint64 labels. Here `out` is float32, always.
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite
            out[volume] = _target(labels[volume], parameters)


def _target(labels: npt.NDArray[Any], parameters: TargetParameters) -> npt.NDArray[np.float64]:
    annotated = is_annotated(labels, parameters.ignore_label)
    distance, unit = distance_to_sites(labels, annotated, parameters)
    foreground = labels != 0  # negative labels too; −0.0 is 0
    target = np.where(foreground, distance, -distance)
    target *= unit if parameters.scale is None else unit / parameters.scale
    if parameters.scale is not None:
        # float64 inside: 1.0 exactly from 9.02 on. NumPy's float32 tanh is an ulp short of it up to 10.0.
        target = np.tanh(target)
    if parameters.background == "zero":
        # DaCapo: result × label, which takes instance ids beyond 1 and leaves −0.0 in the background.
        target = np.where(foreground, target, 0.0)
    elif parameters.background == "times_label":
        # To the letter result × label, but 0 where label = 0 also when the distance is infinite.
        inside = annotated & foreground
        value = np.where(inside, labels, 0).astype(np.float64)
        target = np.multiply(target, value, out=np.zeros(labels.shape), where=inside)
    return np.where(annotated, target, parameters.fill)


def distance_to_sites(
    labels: npt.NDArray[Any], annotated: npt.NDArray[np.bool_], parameters: TargetParameters
) -> tuple[npt.NDArray[np.float64], float]:
    """`d(v)` in units of the smallest voxel size, and that unit: squares of metres or picometres stay in range."""
    from scipy.ndimage import distance_transform_edt

    unit = min(parameters.voxel_size)
    voxel_size = [size / unit for size in parameters.voxel_size]
    sites = sites_on_doubled_grid(labels, annotated)
    if sites.any():
        doubled = distance_transform_edt(~sites, sampling=[size / 2 for size in voxel_size])
        return doubled[(slice(None, None, 2),) * labels.ndim], unit
    if parameters.no_boundary == "saturate":
        return np.full(labels.shape, np.inf), unit
    # DaCapo: the same rule, half the shortest extent of the volume.
    return np.full(labels.shape, min(n * size for n, size in zip(labels.shape, voxel_size, strict=True)) / 2), unit


def sites_on_doubled_grid(labels: npt.NDArray[Any], annotated: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """True at the centres of faces between annotated neighbours with different labels.

    Shape 2n − 1 per axis: voxel `i` lies at `2i`, the face between `i` and `i + 1` at `2i + 1`. The border
    of the array is no site.
    """
    sites = np.zeros([2 * n - 1 for n in labels.shape], dtype=bool)
    for axis in range(labels.ndim):
        lower, upper, face = ([slice(None)] * labels.ndim for _ in range(3))
        lower[axis], upper[axis] = slice(None, -1), slice(1, None)
        face = [slice(None, None, 2)] * labels.ndim
        face[axis] = slice(1, None, 2)
        low, high = tuple(lower), tuple(upper)
        # DaCapo: subtracts neighbours, which bool labels refuse. `!=` takes bool as 0 and 1, and any width exactly.
        sites[tuple(face)] = (labels[low] != labels[high]) & annotated[low] & annotated[high]
    return sites


def balanced_weights(
    labels: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    parameters: WeightParameters,
) -> npt.NDArray[np.float32]:
    """Weights slab by slab; `numerators` and `denominators` (slabs, classes) grow in place."""
    annotated = is_annotated(labels, parameters.ignore_label)
    notices.look_at_mask(mask, annotated, parameters.clip)
    if parameters.foreground:
        # DaCapo: instance ids fail an assertion. Two classes, label = 0 and label ≠ 0.
        classes = (labels != 0).astype(np.int64)
    else:
        annotated &= in_classes(labels, parameters.num_classes)
        classes = np.where(annotated, labels, 0).astype(np.int64)
    weights = np.zeros(labels.shape, dtype=np.float32)
    grid = itertools.product(*map(range, slab_grid(parameters.slab, labels.shape)))
    for slab, block in enumerate(grid):
        here = tuple(slice(i * n, (i + 1) * n) for i, n in zip(block, parameters.slab, strict=True))
        part = np.where(annotated[here], mask[here], 0)
        counted = np.bincount(classes[here][part != 0], minlength=parameters.num_classes)
        numerators[slab] += counted
        denominators[slab] += _sum(part)  # DaCapo: a float32 sum, which rounds beyond 2²⁴ voxels
        fraction = np.clip(numerators[slab] / denominators[slab], *parameters.clip)
        weights[here] = part / (parameters.num_classes * fraction)[classes[here]]
    return weights


def _beyond_border(labels: npt.NDArray[Any], parameters: TargetParameters) -> npt.NDArray[np.bool_]:
    """True where `d(v)` is larger than the distance from the centre of v to the nearest border of the array."""
    distance, unit = distance_to_sites(labels, is_annotated(labels, parameters.ignore_label), parameters)
    nearest = np.full(labels.shape, np.inf)
    for axis, (n, size) in enumerate(zip(labels.shape, parameters.voxel_size, strict=True)):
        index = np.arange(n)
        along = (np.minimum(index, n - 1 - index) + 0.5) * (size / unit)
        nearest = np.minimum(nearest, along.reshape([-1 if a == axis else 1 for a in range(labels.ndim)]))
    return np.asarray(distance > nearest * (1 + BORDER_SLACK))


def _sum(values: npt.NDArray[Any]) -> float:
    """The sum of a mask: exact for integers of any width, pairwise in float64 for floats."""
    if values.dtype.kind == "f":
        return float(np.sum(values.ravel(), dtype=np.float64))
    if values.dtype.itemsize < 8:
        return float(np.sum(values))
    high, low = values >> 32, values & 0xFFFFFFFF
    return float((int(np.sum(high)) << 32) + int(np.sum(low)))
