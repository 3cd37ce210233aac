"""MONAI: a dictionary transform. Written against MONAI 1.6.1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..engines import notices
from ..parameters import check_voxel_size
from ..transform import InnerDistanceTransform

try:
    from monai.data import MetaTensor
    from monai.data.utils import affine_to_spacing
    from monai.transforms import MapTransform
    from monai.utils import convert_to_dst_type, ensure_tuple_rep
except ImportError as error:
    raise ImportError(
        f"inner_distance_gpu.compat.monai needs MONAI, which cannot be imported here ({error}): pip install monai"
    ) from error


class InnerDistanced(MapTransform):  # type: ignore[misc]
    """Boundary-distance targets, and weights, of the label entries of a dictionary.

    Parameters
    ----------
    keys : str or sequence of str
        Entries with labels, channel first: (C, *spatial), or (B, C, *spatial) after collation. With `classes` there is
        one channel, and results have a channel per class in its place.
    scale : positive number or None, or one number per channel or class
        The target is `tanh(±d / scale)`, world units; None leaves world units.
    voxel_size : one positive number per spatial axis, or None
        In array-axis order. None takes the spacing of each MetaTensor, from its affine.
    target_keys : str, sequence of str or None
        Where targets go; None replaces the labels.
    weight_keys : str, sequence of str or None
        Where weights go; None makes none.
    spatial_dims : {2, 3}
        Spatial axes where `voxel_size` does not say it: the rank of the labels less one for the channel, and less
        another one for the batch of a collated MetaTensor.
    allow_missing_keys : bool
        Whether entries may be missing.
    **options
        As in `InnerDistanceTransform`: channels, classes, background, no_boundary, ignore_label, fill, moving, clip,
        border, engine, threads.

    Attributes
    ----------
    transforms : dict
        Key -> `InnerDistanceTransform`; each has counts of its own.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above; labels of another rank; where `voxel_size` is None,
        labels without a spacing, or a batch with several.

    Notes
    -----
    A MetaTensor stays one, with the meta data of the labels. Place it after `Spacingd`, flips, rotations and crops:
    the spacing is then that of the labels as they are. A sheared affine warns once: distances are those of
    voxels with right angles.

    Examples
    --------
    >>> labels = MetaTensor(torch.ones(1, 4, 4, 4), affine=torch.diag(torch.tensor([2.0, 1, 1, 1])))
    >>> labels[0, 2:] = 0
    >>> made = InnerDistanced("label", scale=None, target_keys="target")({"label": labels})["target"]
    >>> made[0, :, 0, 0].tolist(), type(made).__name__  # the boundary is 1 away, in units of 2
    ([3.0, 1.0, 0.0, 0.0], 'MetaTensor')
    """

    def __init__(
        self,
        keys: Any,
        scale: Any,
        voxel_size: Any = None,
        *,
        target_keys: Any = None,
        weight_keys: Any = None,
        spatial_dims: int = 3,
        allow_missing_keys: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims={spatial_dims!r}: expected 2 or 3")
        self.spatial_dims = spatial_dims
        self.voxel_size = None if voxel_size is None else check_voxel_size(voxel_size)
        self.target_keys = self.keys if target_keys is None else ensure_tuple_rep(target_keys, len(self.keys))
        self.weight_keys = ensure_tuple_rep(weight_keys, len(self.keys))
        sizes = self.voxel_size or (1.0,) * spatial_dims
        self.transforms = {
            key: InnerDistanceTransform(sizes, scale, weights=weight_keys is not None, **options) for key in self.keys
        }

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """A shallow copy of `data` with targets and weights."""
        changed = dict(data)
        for key, target, weight in self.key_iterator(changed, self.target_keys, self.weight_keys):
            labels = data[key]
            self._check_rank(key, labels)
            plain = labels.as_tensor() if isinstance(labels, MetaTensor) else labels
            if self.transforms[key].classes is not None:
                plain = self._without_channel(key, plain)
            made = self.transforms[key](plain, voxel_size=self._spacing(key, labels))
            values = made if isinstance(made, tuple) else (made,)
            for name, value in zip((target, weight), values, strict=False):
                kept = isinstance(labels, MetaTensor)
                changed[name] = convert_to_dst_type(value, labels, torch.float32)[0] if kept else value
        return changed

    def _check_rank(self, key: Any, labels: Any) -> None:
        """Raise ValueError where the axes are not a channel, or batch and channel, and then the spatial ones.

        A MetaTensor says whether it is a batch; the affine does not say how many axes are spatial, it is 4 × 4 for
        2D images too.
        """
        shape, dims = tuple(getattr(labels, "shape", ())), len(self.voxel_size or ()) or self.spatial_dims
        ranks = (dims + 1, dims + 2)
        if isinstance(labels, MetaTensor) and (labels.is_batch or len(shape) - 1 in (2, 3)):
            ranks = (dims + 1 + labels.is_batch,) * 2
        if len(shape) not in ranks:
            axes = "z, y, x" if dims == 3 else "y, x"
            raise ValueError(
                f"{key!r} has shape {shape}{', a batch' if getattr(labels, 'is_batch', False) else ''}: expected "
                f"(channel, {axes}), or (batch, channel, {axes}) after collation, for {dims} spatial axes; "
                "spatial_dims=, or the number of entries in voxel_size=, says how many there are"
            )

    def _without_channel(self, key: Any, labels: Any) -> Any:
        """Labels without their channel axis of 1, whose place the classes take."""
        shape, dims = tuple(labels.shape), len(self.voxel_size or ()) or self.spatial_dims
        channel = len(shape) - dims - 1
        if shape[channel] != 1:
            raise ValueError(f"{key!r} has shape {shape}: expected one channel with classes=, on axis {channel}")
        return labels[(*(slice(None),) * channel, 0)]

    def _spacing(self, key: Any, labels: Any) -> tuple[float, ...] | None:
        """What `forward` takes: None where the transform knows it."""
        if self.voxel_size is not None:
            return None
        if not isinstance(labels, MetaTensor):
            raise ValueError(
                f"{key!r} is a {type(labels).__name__}, which has no spacing: expected a MetaTensor, or voxel_size="
            )
        # Not `labels.pixdim`: how many axes it takes for spatial was decided when the tensor was made.
        affines = labels.affine if labels.affine.ndim == 3 else labels.affine[None]
        # Of the whole affine, also for 2D: the axes of an image that was cut out of a volume can lie in any plane.
        spacings = [affine_to_spacing(affine, affine.shape[-1] - 1)[: self.spatial_dims] for affine in affines]
        for affine, spacing in zip(affines, spacings, strict=True):
            edges = np.asarray(affine[:-1, : self.spatial_dims].cpu(), np.float64)
            notices.shear(edges / np.asarray(spacing, np.float64), key)
        found = {tuple(map(float, spacing)) for spacing in spacings}
        if len(found) != 1:
            raise ValueError(f"{key!r} of shape {tuple(labels.shape)} has the spacings {sorted(found)}: expected one")
        return found.pop()
