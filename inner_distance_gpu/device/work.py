"""What device engines share: records filled from tensors, scratch from torch's allocator, launches in order.

All memory is torch's, of the current stream; nothing is read back, nothing waits.
"""

from __future__ import annotations

import ctypes
import math
from typing import NamedTuple

import torch

from ..parameters import TargetParameters, WeightParameters, slab_grid
from . import compiler, geometry, records
from . import launcher as launching
from .launcher import Launch

Tensor = torch.Tensor
_GRID = 2**31 - 1
_ALIGNED = 256


class ScratchLayout(NamedTuple):
    """Aligned pieces of one block of device memory; the first `cleared` bytes start at 0."""

    at: dict[str, int]
    size: int
    cleared: int

    @classmethod
    def of(cls, pieces: dict[str, int], zeroed: dict[str, int]) -> ScratchLayout:
        at: dict[str, int] = {}
        end, cleared = 0, 0
        for name, size in (*zeroed.items(), *pieces.items()):
            at[name] = end
            end += -(-size // _ALIGNED) * _ALIGNED
            cleared = end if name in zeroed else cleared
        return cls(at, end, cleared)

    def take(self, device: torch.device) -> Tensor:
        memory = torch.empty(self.size, dtype=torch.uint8, device=device)
        if self.cleared:
            memory[: self.cleared].zero_()
        return memory


class Volumes:
    """A stack of volumes that kernels can address: at most four leading axes once merged, else copies."""

    def __init__(
        self,
        labels: Tensor,
        target: Tensor,
        mask: Tensor | None,
        weight: Tensor | None,
        parameters: TargetParameters,
        bordered: bool = False,
    ) -> None:
        lead = labels.ndim - len(parameters.voxel_size)
        self._copy_to = None
        tensors = [labels, target, *(t for t in (mask, weight) if t is not None)]
        strides = [geometry.steps(tensor) for tensor in tensors]
        extents, kept, _ = geometry.merged(labels.shape[:lead], [s[:lead] for s in strides])
        if len(extents) > records.LEADING:
            self._copy_to, target = target, torch.empty(target.shape, dtype=target.dtype, device=target.device)
            labels, mask = labels.contiguous(), None if mask is None else mask.contiguous()
            tensors = [labels, target, *(t for t in (mask, weight) if t is not None)]
            strides = [geometry.steps(tensor) for tensor in tensors]
            extents, kept, _ = geometry.merged(labels.shape[:lead], [s[:lead] for s in strides])
        self.tensors = tensors  # alive until the launches are made
        self.device = labels.device
        self.target = target
        self.plan = geometry.plan(parameters, tuple(labels.shape[lead:]), bordered)
        self.job = job = self.plan.job()
        named = ("labels", "target", *(name for name, t in (("mask", mask), ("weight", weight)) if t is not None))
        for name, tensor, step, leading in zip(named, tensors, strides, kept, strict=True):
            view = getattr(job, name)
            view.data = tensor.data_ptr()
            geometry.fill_array(view.lead, leading, 0)
            geometry.fill_array(view.step, [step[lead + axis] for axis in self.plan.kept], 0)
        geometry.fill_array(job.leading, extents, 1)
        job.volumes, job.slabs = math.prod(extents), 1
        job.label = geometry.meaning(labels.dtype, parameters.ignore_label)
        if mask is not None:
            job.mask_value = geometry.meaning(mask.dtype)

    @property
    def copied(self) -> bool:
        """Whether the tensors had to be copied, since they do not lie as kernels can address them."""
        return self._copy_to is not None

    @property
    def may_miss(self) -> bool:
        """Whether a voxel can be unannotated."""
        return bool(self.job.label.has_ignored or self.job.label.kind >= 2)

    def finish(self) -> None:
        """Copy the target to where the caller wants it, if it could not be written there."""
        if self._copy_to is not None:
            self._copy_to.copy_(self.target)


def launch(kernel: compiler.Kernel, grid: int, block: tuple[int, int, int], shared: int = 0) -> Launch:
    """A launch with no more blocks than there can be: kernels take any number."""
    return Launch(kernel, max(1, min(grid, _GRID)), block, shared)


def run(step: Launch, record: ctypes.Structure, device: torch.device) -> None:
    """One launch on the device's current stream."""
    launching.launcher.run(((step, record),), device)


def _threads(work: int) -> int:
    """A power of two, for the tree of a sum; the shape alone decides it, and so the order of the sum."""
    return min(records.THREADS, max(32, 1 << (work - 1).bit_length()))


def balanced_weights(
    labels: Tensor, mask: Tensor | None, numerators: Tensor, denominators: Tensor, parameters: WeightParameters
) -> Tensor:
    """Weights slab by slab; `numerators` and `denominators` (slabs, classes) grow in place."""
    weights = Weights(labels, mask, parameters)
    weights.grow(numerators, denominators)
    return weights.weigh()


class Weights:
    """Counts and weights of an array in blocks: the record without scratch and counts, and the launches."""

    def __init__(self, labels: Tensor, mask: Tensor | None, parameters: WeightParameters) -> None:
        self.device, self.shape = labels.device, labels.shape
        tensors = [labels] if mask is None else [labels, mask]
        extents, kept, blocks = geometry.merged(self.shape, [geometry.steps(t) for t in tensors], parameters.slab)
        self.copied = len(extents) > records.AXES
        if self.copied:
            tensors = [tensor.contiguous() for tensor in tensors]
            extents, kept, blocks = geometry.merged(self.shape, [geometry.steps(t) for t in tensors], parameters.slab)
        if len(extents) > records.AXES:
            raise ValueError(
                f"labels of shape {tuple(self.shape)} in slabs of {parameters.slab}: expected at most {records.AXES} "
                "axes once those that slabs do not divide are merged"
            )
        self._tensors = tensors  # alive until the launches are made
        self.record = w = records.Weighing(labels=tensors[0].data_ptr(), mask=0)
        geometry.fill_array(w.shape, extents, 1)
        geometry.fill_array(w.slab, blocks, 1)
        geometry.fill_array(w.label_step, kept[0], 0)
        w.label = geometry.meaning(labels.dtype, parameters.ignore_label)
        if mask is not None:
            w.mask = tensors[1].data_ptr()
            geometry.fill_array(w.mask_step, kept[1], 0)
            w.mask_value = geometry.meaning(mask.dtype)
        w.slabs = math.prod(slab_grid(parameters.slab, tuple(self.shape)))
        slab_voxels = math.prod(parameters.slab)
        w.parts = -(-slab_voxels // records.PART)
        w.classes, w.foreground, w.replicas = parameters.num_classes, parameters.foreground, 1
        w.low, w.high = parameters.clip
        self.class_bytes = w.slabs * w.classes * 8
        self.sum_bytes = w.slabs * w.parts * records.SUM_BYTES
        self.count = launch(compiler.COUNT, w.slabs * w.parts, (_threads(slab_voxels), 1, 1))
        self.settle = launch(compiler.SETTLE, w.slabs, (_threads(max(w.parts, w.classes)), 1, 1))

    def grow(self, numerators: Tensor, denominators: Tensor) -> int:
        """Count into `numerators` and `denominators`, in place; returns the address of the classes' weights."""
        layout = ScratchLayout.of(
            {"class_weight": self.class_bytes, "sums": self.sum_bytes}, {"counted": self.class_bytes}
        )
        self._scratch = layout.take(self.device)
        base, w = self._scratch.data_ptr(), self.record
        w.counted, w.sums, w.class_weight = (base + layout.at[name] for name in ("counted", "sums", "class_weight"))
        w.numerators_before = w.numerators = numerators.data_ptr()
        w.denominators_before = w.denominators = denominators.data_ptr()
        launching.launcher.run(((self.count, w), (self.settle, w)), self.device)
        return int(w.class_weight)

    def weigh(self) -> Tensor:
        """The weight of every voxel, after `grow`."""
        weights = torch.empty(self.shape, dtype=torch.float32, device=self.device)
        self.record.weights = weights.data_ptr()
        run(
            launch(compiler.WEIGH, -(-weights.numel() // records.THREADS), (records.THREADS, 1, 1)),
            self.record,
            self.device,
        )
        return weights
