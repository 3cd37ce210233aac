"""What a device engine does: fill the records, take scratch from torch's allocator, launch in order.

All memory is torch's, of the current stream; nothing is read back, nothing waits.
"""

from __future__ import annotations

import ctypes
import math

import torch

from ..parameters import TargetParameters, WeightParameters, slab_grid
from . import compiler, geometry, records
from . import launcher as launching
from .launcher import Launch

Tensor = torch.Tensor
_GRID = 2**31 - 1
_ALIGNED = 256


class Scratch:
    """One block of device memory, given out in aligned pieces; the first `zeroed` bytes start at 0."""

    def __init__(self, device: torch.device, pieces: dict[str, int], zeroed: dict[str, int]) -> None:
        self._at: dict[str, int] = {}
        end, clear = 0, 0
        for name, size in (*zeroed.items(), *pieces.items()):
            self._at[name] = end
            end += -(-size // _ALIGNED) * _ALIGNED
            clear = end if name in zeroed else clear
        self.memory = torch.empty(end, dtype=torch.uint8, device=device)
        if clear:
            self.memory[:clear].zero_()

    def __getitem__(self, name: str) -> int:
        return self.memory.data_ptr() + self._at[name] if name in self._at else 0


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
    def may_miss(self) -> bool:
        """Whether a voxel can be unannotated."""
        return bool(self.job.label.has_ignored or self.job.label.kind >= 2)

    def finish(self) -> None:
        """Copy the target to where the caller wants it, if it could not be written there."""
        if self._copy_to is not None:
            self._copy_to.copy_(self.target)


def run(
    kernel: compiler.Kernel,
    grid: int,
    block: tuple[int, int, int],
    shared: int,
    record: ctypes.Structure,
    device: torch.device,
) -> None:
    """One launch on the device's current stream."""
    launching.launcher.run(Launch(kernel, max(1, min(grid, _GRID)), block, shared, record), device)


class HalfGrid:
    """The half-grid transform of a stack: `scan`, then whatever makes the weights, then `plane`."""

    def __init__(self, volumes: Volumes, counted_slabs: int = 0) -> None:
        self.volumes = volumes
        job, plan, device = volumes.job, volumes.plan, volumes.device
        nz, ny, nx = job.n
        limits = launching.launcher.limits(device)
        self.segments = -(-nz // records.STEPS)
        self._side = min(self.segments, 8)
        self._columns = max(1, 4 // self._side)
        self._column_bytes = self.segments * records.FAMILIES * 32 * 4
        scans = job.volumes * nz * ny * nx * plan.scan_bytes
        bits = job.volumes * nz * ny * job.words * 4
        pieces = {"z": scans, "a": scans, "b": scans, "inside": bits}
        if volumes.may_miss:
            pieces["known"] = bits
        columns = job.volumes * ny * job.words
        self._scan_grid = -(-columns // self._columns)
        self._scan_shared = self._columns * self._column_bytes
        if self._scan_shared > limits.shared_bytes:
            self._columns, self._scan_shared = 1, 0
            self._scan_grid = min(columns, 4 * limits.multiprocessors)
            pieces["segments"] = self._scan_grid * self._column_bytes
        self._plane_grid = job.volumes * nz * -(-ny // records.ROWS)
        self._plane_shared = 2 * nx * records.ROWS * 4
        self._long = self._plane_shared > limits.shared_bytes
        if self._long:
            self._plane_grid = min(self._plane_grid, 4 * limits.multiprocessors)
            pieces["rows"] = self._plane_grid * self._plane_shared
            self._plane_shared = 0
        zeroed = {"flags": job.volumes * 4, "counted": counted_slabs * 16}
        self.scratch = scratch = Scratch(device, pieces, zeroed)
        for name in ("z", "a", "b", "inside", "known", "flags", "segments", "rows"):
            setattr(job, name, scratch[name])
        job.counted = scratch["counted"] if counted_slabs else 0

    def scan(self) -> None:
        job = self.volumes.job
        kernel = compiler.scan(job.label.width, self.volumes.plan.scan_bytes)
        run(kernel, self._scan_grid, (32, self._side, self._columns), self._scan_shared, job, self.volumes.device)

    def plane(self) -> None:
        job = self.volumes.job
        kernel = compiler.plane(self.volumes.plan.scan_bytes, self._long)
        threads = min(256, -(-job.n[2] // 32) * 32)
        run(kernel, self._plane_grid, (threads, 1, 1), self._plane_shared, job, self.volumes.device)
        self.volumes.finish()


class Weights:
    """Counts and weights of an array in blocks. `numerators` and `denominators` grow in place, on the device."""

    def __init__(
        self,
        labels: Tensor,
        mask: Tensor | None,
        numerators: Tensor,
        denominators: Tensor,
        parameters: WeightParameters,
    ) -> None:
        self.device, self.shape = labels.device, labels.shape
        tensors = [labels] if mask is None else [labels, mask]
        extents, kept, blocks = geometry.merged(self.shape, [geometry.steps(t) for t in tensors], parameters.slab)
        if len(extents) > records.AXES:
            tensors = [tensor.contiguous() for tensor in tensors]
            extents, kept, blocks = geometry.merged(self.shape, [geometry.steps(t) for t in tensors], parameters.slab)
        if len(extents) > records.AXES:
            raise ValueError(
                f"labels of shape {tuple(self.shape)} in slabs of {parameters.slab}: expected at most {records.AXES} "
                "axes once those that slabs do not divide are merged"
            )
        self._tensors = tensors
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
        self._slab_voxels = math.prod(parameters.slab)
        w.parts = -(-self._slab_voxels // records.PART)
        w.classes, w.foreground = parameters.num_classes, parameters.foreground
        w.low, w.high = parameters.clip
        w.numerators_before = w.numerators = numerators.data_ptr()
        w.denominators_before = w.denominators = denominators.data_ptr()
        self.class_weight = torch.empty(w.slabs * w.classes, dtype=torch.float64, device=self.device)
        w.class_weight = self.class_weight.data_ptr()

    @staticmethod
    def _threads(work: int) -> int:
        """A power of two, for the tree of a sum; the shape alone decides it, and so the order of the sum."""
        return min(records.THREADS, max(32, 1 << (work - 1).bit_length()))

    def count(self) -> None:
        """Count the classes and sum the mask."""
        w = self.record
        self._scratch = Scratch(
            self.device, {"sums": w.slabs * w.parts * records.SUM_BYTES}, {"counted": w.slabs * w.classes * 8}
        )
        w.counted, w.sums = self._scratch["counted"], self._scratch["sums"]
        run(compiler.COUNT, w.slabs * w.parts, (self._threads(self._slab_voxels), 1, 1), 0, w, self.device)

    def settle(self, counted: int | None = None) -> None:
        """New counts and the weight of each class; `counted`: counts made elsewhere, which are the sums as well."""
        if counted is not None:
            self.record.counted, self.record.sums = counted, 0
        threads = self._threads(max(self.record.parts, self.record.classes))
        run(compiler.SETTLE, self.record.slabs, (threads, 1, 1), 0, self.record, self.device)

    def weigh(self) -> Tensor:
        """The weight of every voxel."""
        weights = torch.empty(self.shape, dtype=torch.float32, device=self.device)
        self.record.weights = weights.data_ptr()
        run(
            compiler.WEIGH, -(-weights.numel() // records.THREADS), (records.THREADS, 1, 1), 0, self.record, self.device
        )
        return weights
