"""DaCapo's distance mask: weight 0 where something outside the mask could be nearer than what is inside.

A voxel keeps its weight where `min(|target| + epsilon, threshold)` is below `tanh(b / scale)`; `b` is the distance from
the centre of the voxel to that of the nearest voxel where the mask is 0, in an array that is one voxel of 0 larger on
every side. `b` is known in closed form where the mask is 0 nowhere, and comes from SciPy's exact transform elsewhere.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]


class Rule(NamedTuple):
    """Which voxels count as near: the spacing of voxel centres along each axis and the scale, in one unit.

    `epsilon=None` adds nothing, as in DaCapo.
    """

    spacing: tuple[float, ...]
    scale: float
    epsilon: float | None
    threshold: float


def kept(targets: Values, mask: Values | None, rule: Rule) -> npt.NDArray[np.bool_]:
    """Which voxels keep their weight.

    Parameters
    ----------
    targets : array (..., *spatial)
        After tanh with `rule.scale`.
    mask : array of that shape, or None
        None is 0 nowhere.

    Returns
    -------
    bool array of the shape of the targets
    """
    dims = len(rule.spacing)
    result = np.empty(targets.shape, np.bool_)
    inside = np.tanh(_to_border(targets.shape[targets.ndim - dims :], rule.spacing) / rule.scale)
    last: tuple[npt.NDArray[np.bool_], Values] | None = None
    for volume in np.ndindex(targets.shape[: targets.ndim - dims]):
        there = inside
        if mask is not None:
            annotated = mask[volume] != 0
            if last is None or not np.array_equal(annotated, last[0]):  # channels often share a mask
                last = annotated, inside if annotated.all() else np.tanh(_to_zero(annotated, rule.spacing) / rule.scale)
            there = last[1]
        # In the targets' own type, as DaCapo compares: in float32, 0.8 is a little more than in float64.
        reach = np.clip(np.abs(targets[volume]) + (rule.epsilon or 0), 0, rule.threshold)
        result[volume] = ~(reach >= there)
    return result


def masked(mask: Values, keep: npt.NDArray[np.bool_]) -> Values:
    """The mask, 0 where a voxel is not kept: DaCapo's distance mask. A copy of the mask's type."""
    return np.where(keep, mask, np.zeros((), mask.dtype))


def weighing(mask: Values, keep: npt.NDArray[np.bool_]) -> Values:
    """What classes are weighed with: the mask times the distance mask, which holds the values of the mask once more."""
    factors = mask.astype(np.result_type(mask.dtype, np.float32))  # a mask of 255 does not fit when it is squared
    return masked(factors * factors, keep)


def _to_border(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Values:
    """Distances to the voxel beyond the nearest border, along the axis where that is nearest."""
    nearest = np.full(shape, np.inf)
    for axis, (n, size) in enumerate(zip(shape, spacing, strict=True)):
        index = np.arange(n)
        along = (np.minimum(index, n - 1 - index) + 1) * size
        np.minimum(nearest, along.reshape([-1 if a == axis else 1 for a in range(len(shape))]), out=nearest)
    return nearest


def _to_zero(annotated: npt.NDArray[np.bool_], spacing: tuple[float, ...]) -> Values:
    """Distances to the nearest voxel that is not annotated, those around the array included."""
    from scipy.ndimage import distance_transform_edt

    padded = np.pad(annotated, 1)
    return np.asarray(distance_transform_edt(padded, sampling=spacing))[(slice(1, -1),) * annotated.ndim]
