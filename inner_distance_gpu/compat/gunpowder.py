"""gunpowder: a node that adds target and weight to a batch. Written against gunpowder 1.4.3."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from .. import arrays, dispatch, engines
from ..counts import ClassCounts
from ..labels.classes import ClassMap
from ..parameters import (
    CLIP,
    SATURATION,
    TargetParameters,
    Task,
    WeightParameters,
    check_clip,
    check_count,
    check_flag,
    check_threads,
    check_voxel_size,
)

try:
    import gunpowder as gp
except ImportError as error:
    raise ImportError(
        f"inner_distance_gpu.compat.gunpowder needs gunpowder, which cannot be imported here ({error}): "
        "pip install gunpowder"
    ) from error


class AddInnerDistance(gp.BatchFilter):  # type: ignore[misc]
    """Add a boundary-distance target, and a class-balanced weight, made from labels.

    The node asks upstream for labels around the target, as far as an object there could show in it, and
    crops back. Where labels end (at the border of their source) it takes what there is. Place it after
    augmentations: distances are then those of the augmented labels.

    Parameters
    ----------
    labels : gp.ArrayKey
        Label arrays (..., z, y, x) or (..., y, x); axes in front hold independent volumes.
    target : gp.ArrayKey
        Provided: float32, shape of the labels, but for the axis of classes.
    weight : gp.ArrayKey or None
        Provided: float32, shape of the target. None makes no weights.
    mask : gp.ArrayKey or None
        Multiplies the weight, and only voxels inside are counted. Leading axes may be 1 or missing. None is ones.
    scale : positive number or None, or one number per channel or class
        The target is `tanh(±d / scale)`, world units; None leaves world units, and then `context` is needed.
    context : number, one number per spatial axis, or None
        How much more of the labels to ask for on each side, in world units; rounded up to voxels. None is
        `9.02 * scale`, of the largest scale: exactly the target of the whole volume. With less, targets beyond
        `tanh(context / scale)` may be too large. 0 treats each patch as a volume of its own.
    channels, classes, background, no_boundary, ignore_label, fill, moving, clip, engine
        As in `InnerDistanceTransform`; the axis of classes is inserted in front of the spatial ones. Labels that
        gunpowder pads (`gp.Pad`) should be padded with `ignore_label`, or the edge of the labels becomes an object
        boundary.
    threads : positive int or None
        1 by default: PreCache runs the node in several processes. None follows torch.

    Attributes
    ----------
    counts : ClassCounts
        Shape (channels, 2). Each process of a PreCache counts for itself.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above.

    Notes
    -----
    CUDA cannot be used in PreCache's forked processes once the parent process uses it: with
    `engine="cuda"`, place the node after PreCache.

    Examples
    --------
    >>> labels, target, weight = (gp.ArrayKey(name) for name in ("LABELS", "TARGET", "WEIGHT"))
    >>> node = AddInnerDistance(labels, target, weight, scale=50)
    """

    def __init__(
        self,
        labels: Any,
        target: Any,
        weight: Any = None,
        mask: Any = None,
        *,
        scale: Any,
        context: Any = None,
        channels: int | None = None,
        classes: Any = None,
        background: str = "zero",
        no_boundary: str = "extent",
        ignore_label: int | float | None = None,
        fill: float = 0.0,
        moving: bool = True,
        clip: tuple[float, float] = CLIP,
        engine: str = "auto",
        threads: int | None = 1,
    ) -> None:
        for name, key in {"labels": labels, "target": target, "weight": weight, "mask": mask}.items():
            if not isinstance(key, gp.ArrayKey) and not (key is None and name in ("weight", "mask")):
                raise TypeError(f"{name}={key!r}: expected a gunpowder.ArrayKey")
        if mask is not None and weight is None:
            raise ValueError(f"mask={mask} without a weight key, which alone would use it: expected weight=")
        if scale is None and context is None:
            raise ValueError(
                "context=None with scale=None: expected a context in world units, distances do not saturate"
            )
        self.labels, self.target, self.weight, self.mask = labels, target, weight, mask
        self.classes = None if classes is None else ClassMap.checked(classes, ignore_label).ids
        wanted = 1 if self.classes is None else len(self.classes)
        self.channels = wanted if channels is None else check_count("channels", channels)
        if self.classes is not None and self.channels != wanted:
            raise ValueError(f"channels={channels} with {wanted} classes: expected None, or as many")
        # The voxel size is known in a running pipeline only.
        self.parameters = TargetParameters.checked(
            (1, 1), scale, background, no_boundary, ignore_label, fill, self.channels
        )
        self.context = SATURATION * (self.parameters.scale or 0) if context is None else _check_context(context)
        self.moving = check_flag("moving", moving)
        self.clip = check_clip(clip)
        self.engine = engines.check_name(engine)
        self.threads = check_threads(threads)
        self.counts = ClassCounts.start(self.channels, 2)

    def setup(self) -> None:
        """Announce target and weight wherever there are labels, and a mask for the weight."""
        self.enable_autoskip()
        spec = self.spec[self.labels].copy()
        if spec.voxel_size is None:
            raise ValueError(f"{self.labels} has no voxel size upstream: expected one in the source's ArraySpec")
        spec.dtype, spec.interpolatable = np.dtype(np.float32), True
        self.provides(self.target, spec)
        if self.weight is not None:
            if self.mask is not None:
                spec.roi = spec.roi.intersect(self.spec[self.mask].roi)
            self.provides(self.weight, spec)

    def prepare(self, request: Any) -> Any:
        """Ask for labels around the target, as far as they go, and for labels and mask under the weight."""
        dependencies = gp.BatchRequest()
        labels = self.spec[self.labels]
        regions = []
        if self.target in request:
            around = request[self.target].roi.grow(*[self._growth(labels.voxel_size)] * 2)
            regions.append(around.intersect(labels.roi))
        if self.weight is not None and self.weight in request:
            regions.append(request[self.weight].roi)
            if self.mask is not None:
                dependencies[self.mask] = gp.ArraySpec(roi=request[self.weight].roi)
        if regions:
            region = regions[0] if len(regions) == 1 else regions[0].union(regions[1])
            dependencies[self.labels] = gp.ArraySpec(roi=region)
        return dependencies

    def process(self, batch: Any, request: Any) -> Any:
        """Target on all labels there are, cropped; weight on the region that was asked for."""
        outputs = gp.Batch()
        labels = batch[self.labels]
        if self.target in request:
            outputs[self.target] = self._made(self.target, self._targets(labels), request, labels.spec.roi)
        if self.weight is not None and self.weight in request:
            roi = request[self.weight].roi
            mask = None if self.mask is None else batch[self.mask].crop(roi).data
            weights = self._weights(labels.crop(roi), mask)
            outputs[self.weight] = self._made(self.weight, weights, request, roi)
        return outputs

    def _growth(self, voxel_size: Any) -> Any:
        given = self.context if isinstance(self.context, tuple) else (self.context,) * len(voxel_size)
        if len(given) != len(voxel_size):
            raise ValueError(f"context={given}: expected one number, or one for each of {len(voxel_size)} spatial axes")
        return gp.Coordinate(math.ceil(world / size) * size for world, size in zip(given, voxel_size, strict=True))

    def _targets(self, labels: Any) -> Any:
        parameters = replace(self.parameters, voxel_size=check_voxel_size(tuple(labels.spec.voxel_size)))
        array = dispatch.accept_volumes(labels.data, parameters.voxel_size)
        task = Task(parameters, classes=self.classes)
        return dispatch.run(array, task, engine=self.engine, threads=self.threads)[0]

    def _weights(self, labels: Any, mask: Any) -> Any:
        dims = labels.spec.roi.dims
        array = arrays.accept(labels.data, "labels")
        leading = len(array.shape) - dims
        of_classes = () if self.classes is None else (self.channels,)
        shape = (*array.shape[:leading], *of_classes, *array.shape[leading:])
        weighing = WeightParameters.per_channel(shape, dims, self.channels, self.clip, self.parameters.ignore_label)
        counts = self.counts if self.moving else None
        task = Task(weighing=weighing, classes=self.classes)
        return dispatch.run(array, task, mask, counts, engine=self.engine, threads=self.threads, in_place=True)[1]

    def _made(self, key: Any, values: Any, request: Any, roi: Any) -> Any:
        spec = self.spec[key].copy()
        spec.roi = roi.copy()
        return gp.Array(values, spec).crop(request[key].roi)


def _check_context(context: Any) -> float | tuple[float, ...]:
    given = tuple(context) if isinstance(context, Iterable) and not isinstance(context, str) else (context,)
    try:
        sizes = tuple(float(size) for size in given)
    except (TypeError, ValueError):
        raise TypeError(f"context={context!r}: expected a number in world units, or one per spatial axis") from None
    if not sizes or not all(math.isfinite(size) and size >= 0 for size in sizes):
        raise ValueError(f"context={context!r}: expected finite numbers of at least 0 in world units")
    return sizes if isinstance(context, Iterable) else sizes[0]
