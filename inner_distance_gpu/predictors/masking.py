"""What the two predictors of signed distances share: the distance mask, and the labels it needs around a target."""

from __future__ import annotations

from typing import Any

import numpy as np
from funlib.geometry import Coordinate

from .. import arrays, dispatch
from ..arrays import Array
from ..engines import notices
from ..parameters import CLIP, check_flag, check_scale, check_voxel_size
from . import distance_mask
from .shared import DistancesToBoundaries, Weighed, check_normalisation
from .spatial import materialised


class SignedDistances(DistancesToBoundaries):
    """A predictor of distances that are negative outside, with `mask_distances`.

    A subclass says in `_steps_per_voxel` with how many steps per voxel DaCapo's class samples the distance to the
    border of the mask.
    """

    _background = "signed"
    _steps_per_voxel: int

    def __init__(
        self, channels: list[str], scale_factor: float, mask_distances: bool, device: Any, engine: str
    ) -> None:
        super().__init__(channels, scale_factor, device, engine)
        self.mask_distances = check_flag("mask_distances", mask_distances)

    def create_distance_mask(
        self, distances: Any, mask: Any, voxel_size: Any, normalize: str | None = None, normalize_args: Any = None
    ) -> Any:
        """The mask, 0 where something outside it could be nearer than what the distances were measured to.

        A voxel keeps its value where `min(|distance| + epsilon, threshold) < tanh(b / normalize_args)`, with `b` the
        distance to the nearest voxel where the mask is 0; the array counts as surrounded by such voxels.

        Parameters
        ----------
        distances : array of shape (c, *spatial) or (b, c, *spatial)
            A target, after tanh. NumPy, torch, CuPy or Dask.
        mask : array of that shape
            Finite, not negative. With a channel axis of 1, or without one, the distances of channel 0 decide alone,
            as in DaCapo.
        voxel_size : 2 or 3 positive numbers
            World units.
        normalize : {"tanh"}
        normalize_args : positive number
            The scale in world units.

        Returns
        -------
        array
            Shape, type and kind of `mask`; computed on the host.

        Raises
        ------
        TypeError, ValueError
            Shapes that do not fit, another normalisation, no scale.
        """
        sizes = check_voxel_size(voxel_size)
        scale = check_normalisation(normalize, normalize_args)
        if scale is None:
            # As in DaCapo, which says so in the words "Only tanh is supported".
            raise ValueError(
                f"normalize={normalize!r}: expected 'tanh', the only one for which the threshold means much"
            )
        targets = dispatch.accept_volumes(materialised(distances), sizes)
        if len(targets.shape) == len(sizes):
            raise ValueError(f"distances have shape {targets.shape}: expected a channel axis in front")
        given = dispatch.accept_mask(arrays.accept(materialised(mask), "mask").data, targets, len(sizes), check=True)
        assert given is not None
        values = arrays.to_host(given)
        kept = self._kept(arrays.to_host(targets), values, sizes, scale)
        return arrays.from_host(distance_mask.masked(values, kept), given)

    def gt_region_for_roi(self, target_spec: Any) -> Any:
        """The labels needed for a target: with `mask_distances`, `max_distance` more on every side.

        Parameters
        ----------
        target_spec : object with `.roi`, `.voxel_size` and `.copy()`
            Such as a `gunpowder.ArraySpec`.

        Returns
        -------
        A copy
            Its region is grown by whole world units and then cut to whole voxels, as in DaCapo.
        """
        if not self.mask_distances:
            return super().gt_region_for_roi(target_spec)
        if target_spec.voxel_size is None:
            raise ValueError(f"target_spec={target_spec!r} has no voxel size: expected one, which the region is cut to")
        spec = target_spec.copy()
        around = Coordinate((self.max_distance,) * len(tuple(spec.voxel_size)))
        spec.roi = spec.roi.grow(around, around).snap_to_grid(spec.voxel_size, mode="shrink")
        return spec

    @property
    def _clip(self) -> tuple[float, float]:
        """Bounds of a class's fraction."""
        return CLIP

    def _mask_with_distances(self, weighed: Weighed, distances: Any) -> Array:
        """What distances are weighed with, where the mask lies: its values twice over where a voxel is kept, else 0."""
        labels, mask = weighed.labels, weighed.mask
        shape = labels.shape if weighed.channel_axis >= 0 else (1, *labels.shape)
        targets = arrays.to_host(arrays.accept(distances, "target"))
        if targets.shape != shape:
            raise ValueError(
                f"target has distances of shape {targets.shape}: expected {shape} for labels {labels.shape}"
            )
        scale = check_scale(self.dt_scale_factor) or 0.0
        if mask is None:
            product = self._kept(targets, None, weighed.voxel_size, scale)
        else:
            values = arrays.to_host(mask)
            notices.look_at_mask(values, True, self._clip)
            product = distance_mask.weighing(values, self._kept(targets, values, weighed.voxel_size, scale))
        return self._placed(product if weighed.channel_axis >= 0 else product.reshape(labels.shape), labels)

    def _kept(self, targets: Any, mask: Any, voxel_size: tuple[float, ...], scale: float) -> Any:
        """Where a voxel keeps its weight, of the shape of the mask; one per voxel of the targets without a mask."""
        spacing = tuple(size / self._steps_per_voxel for size in voxel_size)
        rule = distance_mask.Rule(spacing, scale, self.epsilon, self.threshold)
        if mask is None:
            return distance_mask.kept(targets, None, rule)
        axis, missing = targets.ndim - len(voxel_size) - 1, targets.ndim - mask.ndim
        wide = mask.reshape((1,) * missing + mask.shape)
        # DaCapo walks through channels of target and mask side by side, to the end of the shorter one.
        targets = targets[(slice(None),) * axis + (slice(0, wide.shape[axis]),)]
        found = distance_mask.kept(targets, np.broadcast_to(wide, targets.shape), rule)
        return found[(0,) * missing] if found.shape[:missing] == (1,) * missing else found
