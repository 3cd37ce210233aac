"""InnerDistancePredictor: DaCapo's class of that name on the engines of this package."""

from __future__ import annotations

from typing import Any

from .contract import DistanceArray, Predictor
from .shared import DistancesToBoundaries, as_counts
from .spatial import SpatialArray

__all__ = ["DistanceArray", "InnerDistancePredictor", "Predictor", "SpatialArray"]


class InnerDistancePredictor(DistancesToBoundaries):
    """Predict the distance to the object boundary inside each object, 0 outside, after tanh.

    A drop-in for the class of that name in DaCapo 0.3.5: same members, same targets and weights to 1e-6,
    on the engines of this package. docs/differences.md lists where the two differ.

    Parameters
    ----------
    channels : list of str
        Names of the label channels; their number is the number of output channels.
    scale_factor : positive number
        World units: the target is `tanh(d / scale_factor) * label`.
    device : {"auto", "cpu", "cuda", "cuda:0", ...} or torch.device
        Where to compute. "auto" is where the data are. Results always come back to where the labels were.
    engine : {"auto", "cuda", "cucim", "cpu", "reference"}
        As in `inner_distance`.

    Attributes
    ----------
    norm, dt_scale_factor, max_distance, epsilon, threshold
        As in DaCapo: "tanh", `scale_factor`, `scale_factor`, 0.05 and 0.8.

    Raises
    ------
    TypeError, ValueError
        Channels that are no list of names, a scale factor that is not positive, an unknown device or engine,
        an engine that does not run on the device.

    Examples
    --------
    >>> import numpy as np
    >>> predictor = InnerDistancePredictor(["nucleus"], scale_factor=10)
    >>> gt = SpatialArray(np.array([[[0, 1, 1, 1]]], np.uint8), voxel_size=(4, 4))
    >>> target = predictor.create_target(gt)
    >>> [round(value, 3) for value in target.data[0, 0].tolist()], target.axis_names
    ([0.0, 0.197, 0.537, 0.762], ['c^', 'y', 'x'])
    >>> weight, counts = predictor.create_weight(gt, target, mask=None)
    >>> counts.to_dicts()
    [{0: (1, 5.0), 1: (3, 5.0)}]
    """

    # DaCapo's `gt_region_for_roi` reads an attribute that its class never sets, and raises AttributeError.
    _background = "times_label"

    def __init__(self, channels: list[str], scale_factor: float, *, device: Any = "auto", engine: str = "auto") -> None:
        super().__init__(channels, scale_factor, device, engine)

    def create_weight(
        self, gt: Any, target: Any, mask: Any, moving_class_counts: Any = None
    ) -> tuple[SpatialArray, Any]:
        """Weights that balance label = 0 against label ≠ 0, channel by channel, on the region of the target.

        Parameters
        ----------
        gt, target, mask : array objects
            `gt` and `mask` cover `target.roi`. The mask's leading axes may be 1 or missing. `mask=None` is ones.
        moving_class_counts : ClassCounts, list of dicts, or None
            What the call for the batch before returned. Not changed.

        Returns
        -------
        weight : SpatialArray
            float32, at `target.roi`, of the kind of the labels.
        counts : ClassCounts or list of dicts
            The kind that was passed in: a list of `{class: (numerator, denominator)}` for a list (also an
            empty one), `ClassCounts` for None. Whoever only hands them on, as DaCapo's pipeline does, need not care.

        Raises
        ------
        TypeError, ValueError
            A mask or counts that do not fit the labels; mask values that are negative or not finite.
        """
        weighed = self._weighed(gt, target, mask)
        values, after = self._balanced(weighed, as_counts(moving_class_counts))
        counts = after.to_dicts() if isinstance(moving_class_counts, list) else after
        # DaCapo: at gt.roi.offset, though cropped to target.roi.
        return SpatialArray(values, gt.voxel_size, target.roi), counts
