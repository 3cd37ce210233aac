"""InnerDistanceTransform: labels in, target and weight out, as a torch module with counts in its state."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from . import arrays, dispatch, engines, operators
from .batches.containers import Key
from .batches.keyed import Keyed
from .batches.voxel_sizes import rows_of, traced_rows_of
from .counts import ClassCounts
from .engines import counting
from .labels import Classes
from .labels.classes import ClassMap
from .parameters import (
    CLIP,
    Border,
    TargetParameters,
    Task,
    WeightParameters,
    check_choice,
    check_clip,
    check_count,
    check_flag,
    check_threads,
    check_voxel_size,
)

__all__ = ["InnerDistanceTransform", "Keyed"]


class InnerDistanceTransform(torch.nn.Module):
    """Turn labels into a boundary-distance target and a class-balanced weight.

    Parameters
    ----------
    voxel_size : 2 or 3 positive numbers
        In array-axis order, world units.
    scale : positive number or None, or one number per channel or class
        The target is `tanh(±d / scale)`; None leaves world units.
    channels : positive int or None
        With C > 1 the axis in front of the spatial ones is the channel axis, each channel has counts of
        its own, and all axes before it (the batch) are pooled. 1 pools all leading axes. None is 1, or the number of
        classes.
    classes : sequence of ids or of collections of ids, mapping from names to them, or None
        As in `inner_distance`: one map of labels in, a channel per class out, each with counts of its own. Labels of
        shape (B, z, y, x) and (B, 1, z, y, x) both give (B, classes, z, y, x). A mask with as many axes as the labels,
        that axis of 1 not counted, is that of every class; one with an axis more has a channel per class, or 1.
    background, no_boundary, ignore_label, fill, engine, threads
        As in `inner_distance`.
    weights : bool
        False returns the target alone.
    moving : bool
        True carries the counts from call to call in `.counts`, in training and in evaluation mode alike;
        False starts at 0 of 1 in every call.
    clip : (low, high)
        Bounds of a class's fraction, (0.05, 0.95) by default.
    border : {"keep", "mask"}
        "mask" sets the weight to 0 where an object outside the array could be nearer: where the distance is
        larger than the one from the voxel's centre to the nearest border of the array. Such voxels are counted.

    Attributes
    ----------
    counts : ClassCounts
        Shape (channels, 2): label = 0 and label ≠ 0, or outside and inside the class. Updated in place, part of
        `state_dict` as extra state, always float64. DataLoader workers count in copies of their own.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above.

    Notes
    -----
    In torch.compile and torch.export a call on torch tensors is one operator of the graph, whatever the engine;
    the counts move there too. Engine `cuda` can be captured in a CUDA graph after one call outside it with labels
    of that type and shape; with `moving=True` every replay counts. Calls of the module itself may come from several
    threads; a compiled or exported graph counts without a lock, so one thread at a time may call it.

    Examples
    --------
    >>> transform = InnerDistanceTransform(voxel_size=(40, 4, 4), scale=50, channels=2)
    >>> target, weight = transform(torch.randint(0, 2, (8, 2, 6, 20, 20)))  # batch, channel, z, y, x
    >>> target.shape, weight.dtype
    (torch.Size([8, 2, 6, 20, 20]), torch.float32)
    >>> transform = InnerDistanceTransform(voxel_size=(40, 4, 4), scale=50, classes={"mito": (3, 4), "nucleus": 7})
    >>> transform(torch.randint(0, 9, (8, 6, 20, 20)))[0].shape  # batch, class, z, y, x
    torch.Size([8, 2, 6, 20, 20])
    """

    classes: ClassMap | None = None  # of a transform that an earlier version pickled, too

    def __init__(
        self,
        voxel_size: Any,
        scale: Any,
        *,
        channels: int | None = None,
        classes: Any = None,
        background: str = "zero",
        no_boundary: str = "extent",
        ignore_label: int | float | None = None,
        fill: float = 0.0,
        weights: bool = True,
        moving: bool = True,
        clip: tuple[float, float] = CLIP,
        border: str = "keep",
        engine: str = "auto",
        threads: int | None = None,
    ) -> None:
        super().__init__()
        self.classes = None if classes is None else ClassMap.checked(classes, ignore_label)
        self.channels = self._checked_channels(channels)
        self.target_parameters = TargetParameters.checked(
            voxel_size, scale, background, no_boundary, ignore_label, fill, self.channels
        )
        self.weights = check_flag("weights", weights)
        self.moving = check_flag("moving", moving)
        self.clip = check_clip(clip)
        self.border: Border = check_choice("border", border, ("keep", "mask"))
        if self.border == "mask" and not self.weights:
            raise ValueError("border='mask' with weights=False, which has no weight to mask: expected border='keep'")
        self.engine = engines.check_name(engine)
        check_threads(threads)
        self.threads = threads
        self.counts = ClassCounts.start(self.channels, 2)

    def _checked_channels(self, channels: Any) -> int:
        wanted = 1 if self.classes is None else len(self.classes.ids)
        given = wanted if channels is None else check_count("channels", channels)
        if self.classes is not None and given != wanted:
            raise ValueError(f"channels={channels} with {wanted} classes: expected None, or as many")
        return given

    def forward(self, labels: Any, mask: Any = None, *, voxel_size: Any = None) -> Any:
        """The target of `labels`, and the weight unless `weights=False`.

        Parameters
        ----------
        labels : array of shape (..., [C,] z, y, x) or (..., [C,] y, x)
            As in `inner_distance`.
        mask : array or None
            Finite, not negative; None is ones. Shape of the labels, but for leading axes that are 1 or missing.
        voxel_size : as many numbers as the transform was built with, a row of them per sample, or None
            For this call only. One row for each sample of the first axis, which is no channel axis: an array or CPU
            tensor of shape (B, dims), a sequence of rows, or what torch's collation makes of a tuple per sample, a
            sequence of `dims` tensors of length B. Samples with the same size are computed together; targets are those
            of single calls, weights and counts those of one.

        Returns
        -------
        target, weight : float32 arrays
            Same shape, kind and device as `labels`, but for the axis of classes.
        """
        if arrays.is_traced(labels):
            return self._traced(labels, mask, voxel_size)
        parameters = self.target_parameters
        rows = None if voxel_size is None else rows_of(voxel_size)
        if rows is not None:
            parameters = parameters.at_each(rows)
        elif voxel_size is not None:
            parameters = parameters.at(check_voxel_size(voxel_size))
        weighs, classes, threads = self.weights, self.classes, self.threads
        accept = dispatch.accept_volumes if classes is None else dispatch.accept_class_volumes
        array = accept(labels, parameters.voxel_size)
        if rows is not None:
            self._check_samples(len(rows), array.shape)
        border, ids = self.border if weighs else None, classes and classes.ids
        ignores_float = isinstance(parameters.ignore_label, float)
        task = _task(array.shape, parameters, ignores_float, self.channels, self.clip, border, ids)
        if mask is not None:
            self._check_mask(mask)
        counts = self.counts if weighs and self.moving else None
        threads = torch.get_num_threads() if threads is None else threads
        target, weight, _ = dispatch.run(array, task, mask, counts, engine=self.engine, threads=threads, in_place=True)
        return (target, weight) if weighs else target

    def _check_samples(self, rows: int, shape: tuple[int, ...]) -> None:
        """ValueError where there is no sample for each voxel size; the axis of channels is none of samples."""
        leading = len(shape) - len(self.target_parameters.voxel_size) - (self.channels > 1 and self.classes is None)
        if leading < 1 or shape[0] != rows:
            raise ValueError(
                f"voxel_size has {rows} rows for labels of shape {shape} and channels={self.channels}: expected one "
                "per sample of the first axis"
            )

    def _check_mask(self, mask: Any) -> None:
        if mask is not None and not self.weights:
            raise ValueError("mask was given to a transform with weights=False, which would not use it: expected None")

    def _traced(self, labels: torch.Tensor, mask: Any, voxel_size: Any) -> Any:
        """`forward` as an operator of the graph that is being made; see operators.py."""
        self._check_mask(mask)
        p = self.target_parameters
        samples = None if voxel_size is None else traced_rows_of(voxel_size)
        sizes = p.voxel_size if voxel_size is None or samples is not None else voxel_size
        if len(sizes) != len(p.voxel_size):
            p.at(sizes)  # raises
        target = (sizes, p.scale, p.background, p.no_boundary, p.fill, *operators.wrapped(p.ignore_label))
        classes = None
        if self.classes is not None:
            classes, at = operators.classes_text(self.classes.ids), labels.ndim - len(sizes) - 1
            labels = labels.squeeze(at) if at > 0 else labels  # where it is 1
        several = (classes, samples, p.scales)
        if not self.weights:
            return torch.ops.inner_distance_gpu.target(labels, *target, self.engine, self.threads, *several)
        before = (self.counts.numerators, self.counts.denominators) if self.moving else (None, None)
        weighing = (self.channels, self.clip, self.border)
        values, weight, numerators, denominators = torch.ops.inner_distance_gpu.target_and_weights(
            labels, mask, *before, *target, *weighing, self.engine, self.threads, *several
        )
        if self.moving:
            self.counts.move_on(numerators, denominators)
        return values, weight

    def keyed(
        self,
        labels: Key = "labels",
        mask: Key | None = None,
        target: Key = "target",
        weight: Key = "weight",
        voxel_size: Key | None = None,
    ) -> Keyed:
        """This transform on a batch: reads `labels`, `mask` and `voxel_size`, sets `target` and `weight`.

        Parameters
        ----------
        labels, mask, target, weight, voxel_size : str, int or tuple of them
            Keys of a mapping, fields of a dataclass, an attrs class or a named tuple, or positions in a tuple or
            list; a position right behind the end appends. A tuple is a path through a nested batch, such as
            `("gt", "labels")`. `mask=None` is ones; `voxel_size=None` is that of the transform. A target on the
            labels' own key replaces them.

        Returns
        -------
        Keyed
            A picklable callable batch -> batch. The batch that comes in is not changed. With a string key a list or
            tuple of samples, each a mapping or a class with fields, is transformed sample by sample.

        Examples
        --------
        >>> transform = InnerDistanceTransform((4, 4), scale=10)
        >>> batch = {"raw": torch.rand(1, 8, 8), "labels": torch.eye(8).bool()[None]}
        >>> sorted(transform.keyed()(batch))
        ['labels', 'raw', 'target', 'weight']
        """
        return Keyed(self, labels, mask, target, weight, voxel_size)

    def get_extra_state(self) -> torch.Tensor:
        """The counts, for `state_dict`: no buffers, which `half` would round and DDP would overwrite."""
        # DaCapo: counts live in the process that made them and are gone at a restart.
        return self.counts.state()

    def set_extra_state(self, state: torch.Tensor) -> None:
        """The counts, from `load_state_dict`."""
        self.counts.load_state(state)

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> InnerDistanceTransform:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = fn(torch.empty(0, device=self.counts.device)).device
        if device.type != "meta":
            with counting.nowhere():
                self.counts.take(self.counts.to(device))
        return self

    def extra_repr(self) -> str:
        """Voxel size, scale, and whatever else changes the results and is not at its default."""
        p = self.target_parameters
        shown = [f"voxel_size={p.voxel_size}", f"scale={p.scales or p.scale}"]
        shown += [] if self.classes is None else [f"classes={self.classes.shown()}"]
        channels = 1 if self.classes is None else len(self.classes.ids)
        own: dict[str, Any] = {"channels": channels, "weights": True, "moving": True, "clip": CLIP}
        own |= {"border": "keep", "engine": "auto"}
        of_target: dict[str, Any] = {"background": "zero", "no_boundary": "extent", "ignore_label": None, "fill": 0.0}
        for owner, defaults in ((self, own), (p, of_target)):
            values = {name: getattr(owner, name) for name in defaults}
            shown += [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
        return ", ".join(shown)


@functools.lru_cache(maxsize=256)
def _task(
    shape: tuple[int, ...],
    parameters: TargetParameters,
    ignores_float: bool,  # as an ignored label, 2⁶⁰ is not the float 2.0⁶⁰
    channels: int,
    clip: tuple[float, float],
    border: Border | None,
    classes: Classes | None,
) -> Task:
    """The task of a call, with weights unless `border=None`."""
    task = Task(parameters, classes=classes)
    shape = task.shape_of(shape)
    weighing = WeightParameters.per_channel(shape, len(parameters.voxel_size), channels, clip, parameters.ignore_label)
    return task if border is None else replace(task, weighing=weighing, border=border)
