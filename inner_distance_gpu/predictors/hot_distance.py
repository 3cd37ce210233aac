"""HotDistancePredictor: DaCapo's class of that name on the engines of this package."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .. import arrays, dispatch
from ..arrays import Array
from ..counts import ClassCounts
from .contract import ProbabilityArray
from .masking import SignedDistances
from .shared import Weighed, as_counts, kind_of_array
from .spatial import SpatialArray, materialised


class HotDistancePredictor(SignedDistances):
    """Predict each class and the signed distance to its boundary, after tanh: classes first, then distances.

    A drop-in for the class of that name in DaCapo 0.3.5: same members, same targets and weights to 1e-6,
    on the engines of this package. docs/differences.md lists where the two differ.

    Parameters
    ----------
    channels : list of str
        Names of the label channels. There are twice as many output channels.
    scale_factor : positive number
        World units: the distances are `tanh(±d / scale_factor)`.
    mask_distances : bool
        Whether the weights of distances are 0 where something outside the mask, or outside the array, could be nearer
        than the nearest boundary; see `create_distance_mask`. Labels are then asked for in a region larger by
        `scale_factor`.
    kernel_size : {1, 3}
        Of the convolution at the end of a model, which has no padding: with 3 its output is 2 voxels smaller.
    device : {"auto", "cpu", "cuda", "cuda:0", ...} or torch.device
        Where to compute. "auto" is where the data are. Results always come back to where the labels were. Distance
        masks are computed on the host.
    engine : {"auto", "cuda", "cucim", "cpu", "reference"}
        As in `inner_distance`.

    Attributes
    ----------
    channels : list of str
        The names twice over, as in DaCapo.
    classes : int
        The number of classes, half of `embedding_dims`.
    norm, dt_scale_factor, max_distance, epsilon, threshold
        As in DaCapo: "tanh", `scale_factor`, `scale_factor`, 0.05 and 0.8.

    Raises
    ------
    TypeError, ValueError
        Channels that are no list of names, a scale factor that is not positive, another kernel size, an unknown
        device or engine, an engine that does not run on the device.

    Examples
    --------
    >>> predictor = HotDistancePredictor(["nucleus"], scale_factor=10, mask_distances=False, kernel_size=1)
    >>> gt = SpatialArray(np.array([[[0, 1, 1, 1]]], np.uint8), voxel_size=(4, 4))
    >>> predictor.create_target(gt).data[:, 0].round(3).tolist()
    [[0.0, 1.0, 1.0, 1.0], [-0.19699999690055847, 0.19699999690055847, 0.5370000004768372, 0.7620000243186951]]
    """

    _steps_per_voxel = 1

    def __init__(
        self,
        channels: list[str],
        scale_factor: float,
        mask_distances: bool,
        kernel_size: int,
        *,
        device: Any = "auto",
        engine: str = "auto",
    ) -> None:
        super().__init__(channels, scale_factor, mask_distances, device, engine)
        if isinstance(kernel_size, bool) or kernel_size not in (1, 3):
            raise ValueError(f"kernel_size={kernel_size!r}: expected 1 or 3")
        self.channels = self.channels * 2
        self.kernel_size = kernel_size

    @property
    def classes(self) -> int:
        """The number of classes: half the number of channels."""
        return len(self.channels) // 2

    @property
    def output_array_type(self) -> Any:
        """A `ProbabilityArray` of `embedding_dims` classes: DaCapo's where DaCapo is imported, else ours."""
        return kind_of_array("ProbabilityArray", ProbabilityArray)(self.embedding_dims)

    @property
    def _kernel_size(self) -> int:
        return self.kernel_size

    def create_weight(
        self, gt: Any, target: Any, mask: Any, moving_class_counts: Any = None
    ) -> tuple[SpatialArray, Any]:
        """Weights that balance label = 0 against label ≠ 0 on the region of the target, for classes and for distances.

        Parameters
        ----------
        gt, target, mask : array objects
            `gt` and `mask` cover `target.roi`; the target has twice the channels of `gt`. The mask's leading axes may
            be 1 or missing. `mask=None` is ones. With `mask_distances` its values enter the weights of distances
            twice, as in DaCapo.
        moving_class_counts : ClassCounts, array or list of dicts, or None
            What the call for the batch before returned. Not changed.

        Returns
        -------
        weight : SpatialArray
            float32, at `target.roi`, of the kind of the labels, channels as in the target.
        counts : array of dicts, or ClassCounts
            One slab per channel, classes first. An object array of `{class: (numerator, denominator)}`, as in DaCapo;
            `ClassCounts` for `ClassCounts`.

        Raises
        ------
        TypeError, ValueError
            A target, a mask or counts that do not fit the labels; mask values that are negative or not finite.
        """
        weighed = self._weighed(gt, target, mask, check=self.mask_distances)
        if weighed.channel_axis < 0:
            raise ValueError(f"labels have shape {weighed.labels.shape}: expected a channel axis in front")
        distances = None
        if self.mask_distances:
            both = arrays.accept(materialised(target[target.roi]), "target").data
            distances = both[
                (slice(None),) * weighed.channel_axis + (slice(-weighed.labels.shape[weighed.channel_axis], None),)
            ]
        values, after = self._balanced(self._twice(weighed, distances), _as_counts(moving_class_counts))
        shape = weighed.labels.shape
        joint = (*shape[: weighed.channel_axis], -1, *shape[weighed.channel_axis + 1 :])
        counts = after if isinstance(moving_class_counts, ClassCounts) else _as_dicts(after)
        # DaCapo: at gt.roi.offset, though cropped to target.roi; with labels beyond target.roi and without
        # `mask_distances` it stops, since it makes a mask of ones for all of them.
        return SpatialArray(values.reshape(joint), gt.voxel_size, target.roi), counts

    def _targets(self, data: Any, voxel_size: tuple[float, ...], scale: float | None, leading: tuple[int, ...]) -> Any:
        """The labels themselves, whatever their values, and the distances behind them."""
        data = materialised(data)
        distances = super()._targets(data, voxel_size, scale, leading)
        labels = dispatch.accept_volumes(data, voxel_size)
        before = (slice(None),) * (len(labels.shape) - len(voxel_size) - 1)
        channels = labels.shape[len(before)]
        shape = (*labels.shape[: len(before)], 2 * channels, *labels.shape[len(before) + 1 :])
        # NumPy calls CuPy for CuPy's arrays.
        torchs = isinstance(distances, torch.Tensor)
        joint = distances.new_empty(shape) if torchs else np.empty_like(distances, shape=shape)
        classes = joint[(*before, slice(channels))]
        with np.errstate(over="ignore", invalid="ignore"):  # what float32 cannot hold is infinite
            classes[...] = labels.data
        classes[classes != classes] = 0  # unannotated
        joint[(*before, slice(channels, None))] = distances
        return joint

    def _twice(self, weighed: Weighed, distances: Any) -> Weighed:
        """Labels with an axis of two in front of the channels, classes and distances, and the mask of each."""
        axis, mask = weighed.channel_axis, weighed.mask
        alone = arrays.with_axis(weighed.labels, len(weighed.voxel_size) + 1)
        shape = (*alone.shape[:axis], 2, *alone.shape[axis + 1 :])
        wide = alone.data.expand(shape) if alone.kind == "torch" else np.broadcast_to(alone.data, shape)
        labels = Array(wide, alone.kind, alone.device)
        slab = (*weighed.slab[:axis], 1, *weighed.slab[axis:])
        if distances is not None:
            mask = self._both_masks(weighed, self._mask_with_distances(weighed, distances))
        elif mask is not None and len(mask.shape) == len(weighed.labels.shape):
            mask = arrays.with_axis(mask, len(weighed.voxel_size) + 1)
        return Weighed(labels, mask, slab, weighed.voxel_size)

    def _both_masks(self, weighed: Weighed, of_distances: Array) -> Array:
        """The mask of the classes and that of the distances, with an axis of two in front of the channels."""
        axis = weighed.channel_axis
        behind = arrays.to_host(of_distances)
        front = np.ones((), np.uint8) if weighed.mask is None else arrays.to_host(weighed.mask)
        both = np.stack(
            [np.broadcast_to(front, weighed.labels.shape), np.broadcast_to(behind, weighed.labels.shape)], axis
        )
        return self._placed(both, weighed.labels)


def _as_counts(counts: Any) -> ClassCounts | None:
    return as_counts(list(counts) if isinstance(counts, np.ndarray) else counts)


def _as_dicts(counts: ClassCounts) -> Any:
    """An object array, as `numpy.concatenate` makes of DaCapo's two lists."""
    dicts = counts.to_dicts()
    result = np.empty(len(dicts), object)
    result[:] = dicts
    return result
