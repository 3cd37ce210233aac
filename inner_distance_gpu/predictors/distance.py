"""DistancePredictor: DaCapo's class of that name on the engines of this package."""

from __future__ import annotations

import math
from typing import Any

from ..parameters import CLIP, check_clip
from .masking import SignedDistances
from .shared import as_counts
from .spatial import SpatialArray, materialised

_NO_BOUND = 1e-30  # below any fraction of a class that occurs


class DistancePredictor(SignedDistances):
    """Predict the signed distance to the object boundary, positive inside and negative outside, after tanh.

    A drop-in for the class of that name in DaCapo 0.3.5: same members, same targets and weights to 1e-6,
    on the engines of this package. docs/differences.md lists where the two differ.

    Parameters
    ----------
    channels : list of str
        Names of the label channels; their number is the number of output channels.
    scale_factor : positive number
        World units: the target is `tanh(±d / scale_factor)`.
    mask_distances : bool
        Whether weights are 0 where something outside the mask, or outside the array, could be nearer than the
        nearest boundary; see `create_distance_mask`. Labels are then asked for in a region larger by `scale_factor`.
    clipmin, clipmax : numbers between 0 and 1, or None
        Bounds of a class's fraction; None leaves that side open.
    device : {"auto", "cpu", "cuda", "cuda:0", ...} or torch.device
        Where to compute. "auto" is where the data are. Results always come back to where the labels were. Distance
        masks are computed on the host.
    engine : {"auto", "cuda", "cucim", "cpu", "reference"}
        As in `inner_distance`.

    Attributes
    ----------
    norm, dt_scale_factor, max_distance, epsilon, threshold
        As in DaCapo: "tanh", `scale_factor`, `scale_factor`, 0.05 and 0.8.

    Raises
    ------
    TypeError, ValueError
        Channels that are no list of names, a scale factor that is not positive, bounds that are not
        0 <= clipmin <= clipmax <= 1, an unknown device or engine, an engine that does not run on the device.

    Notes
    -----
    As in DaCapo, `create_distance_mask` takes half a voxel for the step between voxels here, and a whole one in
    `HotDistancePredictor`: the same labels and mask leave fewer voxels with a weight here.

    Examples
    --------
    >>> import numpy as np
    >>> predictor = DistancePredictor(["nucleus"], scale_factor=10, mask_distances=False)
    >>> gt = SpatialArray(np.array([[[0, 1, 1, 1]]], np.uint8), voxel_size=(4, 4))
    >>> [round(value, 3) for value in predictor.create_target(gt).data[0, 0].tolist()]
    [-0.197, 0.197, 0.537, 0.762]
    """

    _steps_per_voxel = 2

    def __init__(
        self,
        channels: list[str],
        scale_factor: float,
        mask_distances: bool,
        clipmin: float | None = CLIP[0],
        clipmax: float | None = CLIP[1],
        *,
        device: Any = "auto",
        engine: str = "auto",
    ) -> None:
        super().__init__(channels, scale_factor, mask_distances, device, engine)
        self.clipmin = clipmin
        self.clipmax = clipmax
        self._clip  # noqa: B018, raises where the bounds are none

    def create_weight(
        self, gt: Any, target: Any, mask: Any, moving_class_counts: Any = None
    ) -> tuple[SpatialArray, Any]:
        """Weights that balance label = 0 against label ≠ 0, channel by channel, on the region of the target.

        Parameters
        ----------
        gt, target, mask : array objects
            `gt` and `mask` cover `target.roi`. The mask's leading axes may be 1 or missing. `mask=None` is ones.
            Labels without a channel axis have weights without one. With `mask_distances` the values of a mask enter
            twice, as in DaCapo: 255 weighs 65025. With a channel axis of 1, or without one, the distances of channel
            0 decide for all.
        moving_class_counts : ClassCounts, list of dicts, or None
            What the call for the batch before returned. Not changed.

        Returns
        -------
        weight : SpatialArray
            float32, at `target.roi`, of the kind of the labels.
        counts : ClassCounts or list of dicts
            The kind that was passed in: a list of `{class: (numerator, denominator)}` for a list (also an
            empty one), `ClassCounts` for None.

        Raises
        ------
        TypeError, ValueError
            A target, a mask or counts that do not fit the labels; mask values that are negative or not finite.
        """
        weighed = self._weighed(gt, target, mask, check=self.mask_distances)
        if self.mask_distances:
            distances = materialised(target[target.roi])
            weighed = weighed._replace(mask=self._mask_with_distances(weighed, distances))
        values, after = self._balanced(weighed, as_counts(moving_class_counts), self._clip)
        counts = after.to_dicts() if isinstance(moving_class_counts, list) else after
        # DaCapo: at gt.roi.offset, though cropped to target.roi.
        return SpatialArray(values, gt.voxel_size, target.roi), counts

    def _targets(self, data: Any, voxel_size: tuple[float, ...], scale: float | None, leading: tuple[int, ...]) -> Any:
        """Labels without a channel axis get one, as in DaCapo."""
        data = materialised(data)
        alone = len(getattr(data, "shape", ())) == len(voxel_size)
        return super()._targets(data[None] if alone else data, voxel_size, scale, leading)

    @property
    def _clip(self) -> tuple[float, float]:
        low, high = self.clipmin, self.clipmax
        try:
            bounds = check_clip((_NO_BOUND if low in (0, None) else low, 1.0 if high is None else high))
        except (TypeError, ValueError):
            raise ValueError(
                f"clipmin={low!r}, clipmax={high!r}: expected 0 <= clipmin <= clipmax <= 1, or None for no bound"
            ) from None
        return bounds[0], math.inf if high is None else bounds[1]
