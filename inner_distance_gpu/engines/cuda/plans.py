"""Calls of the device engines, planned once per specialisation by the extension module (`kernels/launch.cpp`).

Shapes, steps, types and keywords decide everything but where memory lies. A call takes scratch, puts addresses into a
copy of the planned records, and launches. All memory is torch's, of the current stream; nothing is read back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import astuple, dataclass
from typing import Any, NamedTuple, overload

import numpy as np
import torch

from ...parameters import TargetParameters, WeightParameters
from .. import native
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

    @classmethod
    def of(cls, plan: Any) -> Prepared | None:
        if plan is None:
            return None
        launches = (
            Launch(Kernel(one.file, one.kernel), one.grid, one.block, one.shared_bytes, one.weighs)
            for one in plan.launches
        )
        return cls(plan, tuple(launches))


class Call:
    """One call of a specialisation: its records, and the memory they point to until the launches are made."""

    def __init__(self, prepared: Prepared, arrays: Arrays, counts: tuple[Tensor, Tensor] | None = None) -> None:
        plan = prepared.plan
        self.prepared, self.arrays, self.device = prepared, arrays, arrays.labels.device
        self.scratch = take_scratch(plan, self.device)
        self.records = plan.call(
            arrays.labels.data_ptr(),
            0 if arrays.mask is None else arrays.mask.data_ptr(),
            0 if arrays.target is None else arrays.target.data_ptr(),
            0 if arrays.weight is None else arrays.weight.data_ptr(),
            self.scratch.data_ptr(),
            0 if counts is None else counts[0].data_ptr(),
            0 if counts is None else counts[1].data_ptr(),
        )

    def run(self) -> None:
        """Make every launch on the device's current stream."""
        self.launch(*self.prepared.launches)
        self.arrays.finish()

    def launch(self, *launches: Launch) -> None:
        launching.launcher.run(launches, self.records, self.device)


def take_scratch(plan: Any, device: torch.device) -> Tensor:
    """One block of memory for all pieces of a plan; those that start at 0 come first."""
    memory = torch.empty(plan.scratch_bytes, dtype=torch.uint8, device=device)
    if plan.cleared_bytes:
        memory[: plan.cleared_bytes].zero_()
    return memory


class Arrays(NamedTuple):
    """What a call reads and writes. `destination` receives a copy of `target`, where kernels could not write there."""

    labels: Tensor
    mask: Tensor | None
    target: Tensor | None
    weight: Tensor | None
    destination: Tensor | None = None

    def layouts(self) -> tuple[Layout, Layout | None, Layout | None]:
        return layout_of(self.labels), layout_of(self.mask), layout_of(self.target)

    def addressable(self) -> Arrays:
        """The same in an order that kernels can address, whatever it was: copies."""
        target = self.target
        return Arrays(
            self.labels.contiguous(),
            None if self.mask is None else self.mask.contiguous(),
            None if target is None else torch.empty(target.shape, dtype=target.dtype, device=target.device),
            self.weight,
            target,
        )

    def finish(self) -> None:
        if self.destination is not None and self.target is not None:
            self.destination.copy_(self.target)


@overload
def layout_of(tensor: Tensor) -> Layout: ...
@overload
def layout_of(tensor: Tensor | None) -> Layout | None: ...
def layout_of(tensor: Tensor | None) -> Layout | None:
    return None if tensor is None else (tensor.shape, tensor.stride(), tensor.dtype)


def call_of(
    prepare: Callable[..., Prepared | None], arrays: Arrays, *decides: Any, counts: tuple[Tensor, Tensor] | None = None
) -> Call | None:
    """The call of these arrays; None where kernels cannot address them in any order."""
    prepared = prepare(*arrays.layouts(), *decides)
    if prepared is None:
        arrays = arrays.addressable()
        prepared = prepare(*arrays.layouts(), *decides)
    return None if prepared is None else Call(prepared, arrays, counts)


def balanced_weights(
    labels: Tensor, mask: Tensor | None, counts: tuple[Tensor, Tensor], parameters: WeightParameters
) -> Tensor:
    """Weights slab by slab; the counts, numerators and denominators of shape (slabs, classes), grow in place."""
    weights = torch.empty(labels.shape, dtype=torch.float32, device=labels.device)
    call = call_of(prepare_weights, Arrays(labels, mask, None, weights), parameters, counts=counts)
    if call is None:
        raise ValueError(
            f"labels of shape {tuple(labels.shape)} in slabs of {parameters.slab}: expected at most 8 axes once "
            "those that slabs do not divide are merged"
        )
    call.run()
    return weights


@functools.lru_cache(maxsize=1024)
def prepare_targets(
    labels: Layout,
    mask: Layout | None,
    target: Layout,
    parameters: TargetParameters,
    weighing: WeightParameters | None,
    bordered: bool,
    limits: Limits,
) -> Prepared | None:
    """Kernels `scan` and `pairs` or `plane`, and between them those that count."""
    return Prepared.of(
        native.extension().plan_targets(
            native.task(parameters),
            _native(_checked(labels, parameters), parameters.ignore_label),
            _native(target),
            None if mask is None else _native(mask),
            None if weighing is None else _contiguous(labels[0]),
            None if weighing is None else _weight_task(weighing),
            bordered,
            native.extension().Limits(*astuple(limits)),
        )
    )


@functools.lru_cache(maxsize=1024)
def prepare_weights(labels: Layout, mask: Layout | None, target: None, parameters: WeightParameters) -> Prepared | None:
    """Kernels `count`, `settle` and `weigh`."""
    given = None if mask is None else _native(mask)
    return Prepared.of(
        native.extension().plan_weights(_native(labels, parameters.ignore_label), given, _weight_task(parameters))
    )


@functools.lru_cache(maxsize=1024)
def prepare_doubled(
    labels: Layout,
    mask: Layout | None,
    target: Layout,
    parameters: TargetParameters,
    weighed: bool,
    slabs: int,
    bordered: bool,
) -> Prepared | None:
    """Kernels `mark` and `sample`."""
    return Prepared.of(
        native.extension().plan_doubled(
            native.task(parameters),
            _native(_checked(labels, parameters), parameters.ignore_label),
            _native(target),
            None if mask is None else _native(mask),
            _contiguous(labels[0]) if weighed else None,
            slabs,
            bordered,
        )
    )


def _checked(labels: Layout, parameters: TargetParameters) -> Layout:
    spatial = tuple(labels[0][-len(parameters.voxel_size) :])
    if max(spatial) >= _LONGEST:
        raise ValueError(f"labels have spatial shape {spatial}: expected fewer than 2³¹ voxels along every axis")
    return labels


def _native(layout: Layout, ignore_label: int | float | None = None) -> Any:
    shape, steps, dtype = layout
    name: Any = native.BFLOAT16 if dtype == torch.bfloat16 else np.dtype(str(dtype).removeprefix("torch."))
    element = native.element_format(name, ignore_label)
    return native.extension().Layout(list(shape), [step * dtype.itemsize for step in steps], element)


def _contiguous(shape: torch.Size) -> Any:
    """The layout of a new float32 tensor."""
    return _native((shape, torch.empty(shape, device="meta").stride(), torch.float32))


def _weight_task(parameters: WeightParameters) -> Any:
    return native.extension().WeightTask(
        parameters.num_classes, parameters.foreground, parameters.slab, *parameters.clip
    )
