"""Calls of the device engines, planned once per specialisation by the extension module (`kernels/launch.cpp`).

Shapes, steps, types and keywords decide everything but where memory lies. A call takes scratch, puts addresses into a
copy of the planned records, and launches. All memory is torch's, of the current stream; nothing is read back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import torch

from ...labels import Classes
from ...parameters import TargetParameters, Task
from .. import Arrays, native
from . import launcher as launching
from .compiler import Kernel
from .launcher import Launch, Limits

Tensor = torch.Tensor
Layout = tuple[torch.Size, tuple[int, ...], torch.dtype]  # what of a tensor decides how kernels address it
_LONGEST = 2**31


@dataclass(frozen=True, slots=True)
class Prepared:
    """One specialisation: its launches in order, and how much scratch they take."""

    plan: Any  # LaunchPlan of the extension module
    launches: tuple[Launch, ...]
    classes: Classes | None = None

    @classmethod
    def of(cls, plan: Any, classes: Classes | None = None) -> Prepared | None:
        if plan is None:
            return None
        launches = (
            Launch(Kernel(one.file, one.kernel), one.grid, one.block, one.shared_bytes, one.weighs)
            for one in plan.launches
        )
        return cls(plan, tuple(launches), classes)


class Call:
    """One call of a specialisation: its records, and the memory they point to until the launches are made.

    `destination` receives a copy of the target, where kernels could not write there.
    """

    def __init__(self, prepared: Prepared, arrays: Arrays, destination: Tensor | None = None) -> None:
        labels, mask, target, weight, counts = arrays
        self.prepared, self.arrays, self.destination = prepared, arrays, destination
        self.device = labels.device
        self.scratch = take_scratch(prepared.plan, self.device)
        classes = None if prepared.classes is None else class_table(labels.dtype, prepared.classes, self.device)
        self.records = prepared.plan.call(
            labels.data_ptr(),
            0 if mask is None else mask.data_ptr(),
            0 if target is None else target.data_ptr(),
            0 if weight is None else weight.data_ptr(),
            self.scratch.data_ptr(),
            0 if counts is None else counts[0].data_ptr(),
            0 if counts is None else counts[1].data_ptr(),
            0 if classes is None else classes.data_ptr(),
        )

    def run(self) -> None:
        """Make every launch on the device's current stream."""
        self.launch(*self.prepared.launches)
        self.finish()

    def launch(self, *launches: Launch) -> None:
        launching.launcher.run(launches, self.records, self.device)

    def finish(self) -> None:
        """Once all launches are made."""
        if self.destination is not None:
            self.destination.copy_(self.arrays.target)


def take_scratch(plan: Any, device: torch.device) -> Tensor:
    """One block of memory for all pieces of a plan; those that start at 0 come first."""
    memory = torch.empty(plan.scratch_bytes, dtype=torch.uint8, device=device)
    if plan.cleared_bytes:
        memory[: plan.cleared_bytes].zero_()
    return memory


@overload
def layout_of(tensor: Tensor) -> Layout: ...
@overload
def layout_of(tensor: Tensor | None) -> Layout | None: ...
def layout_of(tensor: Tensor | None) -> Layout | None:
    return None if tensor is None else (tensor.shape, tensor.stride(), tensor.dtype)


def call_of(prepare: Callable[..., Prepared | None], arrays: Arrays, *decides: Any) -> Call:
    """The call of these arrays. Where kernels cannot address them in the order they have, of copies in C order."""
    labels, mask, target, weight, counts = arrays
    of_mask = None if mask is None else layout_of(mask)
    prepared = prepare(layout_of(labels), of_mask, layout_of(target), *decides)
    if prepared is not None:
        return Call(prepared, arrays)
    arrays = Arrays(
        labels.contiguous(),
        None if mask is None else mask.contiguous(),
        None if target is None else torch.empty(target.shape, dtype=target.dtype, device=target.device),
        weight,
        counts,
    )
    prepared = prepare(layout_of(arrays.labels), layout_of(arrays.mask), layout_of(arrays.target), *decides)
    if prepared is None:  # a slab that divides an axis keeps it from being merged with the next one
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} in slabs: expected at most 8 axes once those that slabs do not "
            "divide are merged"
        )
    return Call(prepared, arrays, target)


@functools.lru_cache(maxsize=1024)
def prepare(labels: Layout, mask: Layout | None, target: Layout | None, task: Task, limits: Limits) -> Prepared | None:
    """The launches of a task: kernels `scan` and `pairs` or `plane`, and those that count; or the latter alone."""
    weighing = task.weighing
    of_mask = None if mask is None else _native(mask)
    of_weights = (
        None
        if weighing is None
        else native.extension().WeightTask(weighing.num_classes, weighing.foreground, weighing.slab, *weighing.clip)
    )
    classes = task.classes
    of_labels, of_classes = _in_classes(labels, task.dims, classes)
    if task.target is None or target is None:
        of_all = _native(of_labels, task.ignore_label)
        return Prepared.of(
            native.extension().plan_weights(of_all, of_mask, of_weights, task.dims, of_classes), classes
        )
    return Prepared.of(
        native.extension().plan_targets(
            native.task(task.target),
            _native(_checked(of_labels, task.target), task.ignore_label),
            _native(target),
            of_mask,
            None if weighing is None else _contiguous(of_labels[0]),
            of_weights,
            task.border == "mask",
            native.extension().Limits(*limits),
            of_classes,
        ),
        classes,
    )


@functools.lru_cache(maxsize=1024)
def prepare_doubled(
    labels: Layout,
    mask: Layout | None,
    target: Layout,
    parameters: TargetParameters,
    slabs: int | None,
    bordered: bool,
    classes: Classes | None,
) -> Prepared | None:
    """Kernels `mark` and `sample`; the latter weighs too, with that many slabs."""
    of_labels, of_classes = _in_classes(labels, len(parameters.voxel_size), classes)
    return Prepared.of(
        native.extension().plan_doubled(
            native.task(parameters),
            _native(_checked(of_labels, parameters), parameters.ignore_label),
            _native(target),
            None if mask is None else _native(mask),
            None if slabs is None else _contiguous(of_labels[0]),
            slabs or 1,
            bordered,
            of_classes,
        ),
        classes,
    )


def _in_classes(labels: Layout, dims: int, classes: Classes | None) -> tuple[Layout, Any]:
    """The layout of labels with an axis of classes, along which the memory is the same, and their map."""
    if classes is None:
        return labels, None
    shape, steps, dtype = labels
    at = len(shape) - dims
    shape = torch.Size((*shape[:at], len(classes), *shape[at:]))
    return (shape, (*steps[:at], 0, *steps[at:]), dtype), native.class_map(_name(dtype), classes)


@functools.cache  # for as long as the process lives: a captured CUDA graph reads it at every replay
def class_table(dtype: torch.dtype, classes: Classes, device: torch.device) -> Tensor:
    """The table of classes in the memory of a device."""
    if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
        # The copy from the host waits for the device, which breaks a capture without saying why.
        raise RuntimeError(
            f"the table of {len(classes)} classes is not on {device} yet, and a CUDA graph is being captured: make one "
            "call with these classes and labels of this type before the capture"
        )
    table = native.class_map(_name(dtype), classes).bytes()
    return torch.frombuffer(bytearray(table), dtype=torch.uint8).to(device)


def _checked(labels: Layout, parameters: TargetParameters) -> Layout:
    spatial = tuple(labels[0][-len(parameters.voxel_size) :])
    if max(spatial) >= _LONGEST:
        raise ValueError(f"labels have spatial shape {spatial}: expected fewer than 2³¹ voxels along every axis")
    return labels


def _native(layout: Layout, ignore_label: int | float | None = None) -> Any:
    shape, steps, dtype = layout
    element = native.element_format(_name(dtype), ignore_label)
    return native.extension().Layout(list(shape), [step * dtype.itemsize for step in steps], element)


def _name(dtype: torch.dtype) -> Any:
    return native.BFLOAT16 if dtype == torch.bfloat16 else np.dtype(str(dtype).removeprefix("torch."))


def _contiguous(shape: torch.Size) -> Any:
    """The layout of a new float32 tensor."""
    return _native((shape, torch.empty(shape, device="meta").stride(), torch.float32))
