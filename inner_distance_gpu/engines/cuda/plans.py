"""What the device engines launch, planned once per specialisation by the extension module (`kernels/launch.cpp`).

Shapes, steps, types and keywords decide everything but where memory lies; `run.py` makes the calls.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...labels import Classes
from ...parameters import TargetParameters, Task
from .. import native
from .compiler import Kernel
from .launcher import Launch, Limits

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
        return Prepared.of(native.extension().plan_weights(of_all, of_mask, of_weights, task.dims, of_classes), classes)
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
def class_table(dtype: torch.dtype, classes: Classes, device: torch.device) -> torch.Tensor:
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
