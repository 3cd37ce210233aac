"""Engine `cuda`: the half-grid transform in two kernels (`kernels/cuda`), batch and channels in the same launches.

Takes torch tensors on the device. Nothing is read back and nothing waits, but for a known-answer test in the first call
on a device (self_test.py): whether a volume has a site and what the classes weigh is decided on the device, so that a
call can be captured in a CUDA graph (after one call outside it, which compiles; a capture that would have to compile
raises). `plans.py` plans a shape, type and task once: another call of them costs no more Python than scratch, pointers
and launches. All memory is torch's, of the current stream. The order of launches is: scan (distances or their squares
along z, bits, counts), with a mask count, with weights settle, then pairs, where squares are whole numbers of 15 bits,
or plane (everything else). Voxel size, scale and shape decide which of the two.

The work per voxel is bounded by the reach, 2 · 9.02 · scale / voxel size samples per axis, and for world units
(`scale=None`) by twice the extent of the volume.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ...parameters import Task
from .. import Arrays, native
from . import driver, plans, self_test
from . import launcher as launching
from .launcher import Launch
from .plans import Layout, Prepared

_SMALL = 1 << 20  # bytes of scratch: to clear all of them takes a device less time than a view of some takes Python


def why_not() -> str | None:
    """Runs where torch sees a CUDA device, CuPy is installed and the extension module plans its launches."""
    return driver.why_not() or native.why_not()


def run(task: Task, arrays: Arrays, threads: int = 1) -> None:
    """Targets of every volume in the leading axes, weights, or both; `threads` is for host engines."""
    index = arrays.labels.device.index
    if self_test.settled.get(index) != "":  # nearly every device has passed
        self_test.check(arrays.labels.device, start)
    start(task, arrays)


def start(task: Task, arrays: Arrays) -> tuple[Launch, ...]:
    """Make the launches of a task, on a device that passed its test or is being tested."""
    call = call_of(plans.prepare, arrays, task, launching.launcher.limits(arrays.labels.device))
    call.launch(call.prepared.launches)
    if call.destination is not None:
        call.finish()
    return call.prepared.launches


class Call:
    """One call of a specialisation: its records, and the memory they point to until the launches are made.

    `destination` receives a copy of the target, where kernels could not write there.
    """

    def __init__(self, prepared: Prepared, arrays: Arrays, destination: torch.Tensor | None = None) -> None:
        labels, mask, target, weight, counts = arrays
        self.prepared, self.arrays, self.destination = prepared, arrays, destination
        self.device = labels.device
        self.scratch = take_scratch(prepared.plan, self.device)
        classes = None if prepared.classes is None else plans.class_table(labels.dtype, prepared.classes, self.device)
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

    def launch(self, launches: Sequence[Launch]) -> None:
        """Make these launches on the device's current stream."""
        launching.launcher.run(launches, self.records, self.device)

    def finish(self) -> None:
        """Once all launches are made."""
        if self.destination is not None:
            self.destination.copy_(self.arrays.target)


def take_scratch(plan: Any, device: torch.device) -> torch.Tensor:
    """One block of memory for all pieces of a plan; those that start at 0 come first."""
    size, cleared = plan.scratch_bytes, plan.cleared_bytes
    if cleared and size <= _SMALL:
        return torch.zeros(size, dtype=torch.uint8, device=device)
    memory = torch.empty(size, dtype=torch.uint8, device=device)
    if cleared:
        memory[:cleared].zero_()
    return memory


def layout_of(tensor: torch.Tensor | None) -> Layout | None:
    return None if tensor is None else (tensor.shape, tensor.stride(), tensor.dtype)


def call_of(prepare: Callable[..., Prepared | None], arrays: Arrays, *decides: Any) -> Call:
    """The call of these arrays. Where kernels cannot address them in the order they have, of copies in C order."""
    labels, mask, target, weight, counts = arrays
    prepared = prepare(layout_of(labels), layout_of(mask), layout_of(target), *decides)
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
