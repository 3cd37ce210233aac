"""Calls of engine `cuda`, prepared once per specialisation: shapes, steps, types and parameters decide everything but
where memory lies. A call takes scratch, puts pointers into copies of the prepared records, and launches.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import torch

from ..parameters import TargetParameters, WeightParameters
from . import compiler, records
from . import launcher as launching
from .launcher import Launch, Limits
from .work import ScratchLayout, Volumes, Weights, launch

Tensor = torch.Tensor
_BLOCKS_BYTES = 1 << 28  # that blocks may take together, whatever the volumes are

# The pointers of a record lie side by side: one call puts them all in.
_JOB_SCRATCH = ("scans", "chunks", "inside", "known", "flags", "counted", "class_weight", "segments", "values", "rows")
_JOB_VIEWS = ("labels", "mask", "target", "weight")
_WEIGHING_SCRATCH = ("counted", "sums")
_pack_views = [(getattr(records.Job, name).offset, struct.Struct("Q")) for name in _JOB_VIEWS]
_pack_job = struct.Struct(f"{len(_JOB_SCRATCH)}Q")
_pack_weighing = struct.Struct("7Q")  # counted, sums, counts before (2) and after (2), class_weight
_JOB_AT, _WEIGHING_AT = records.Job.scans.offset, records.Weighing.counted.offset
_LABELS_AT = records.Weighing.labels.offset
_pack_labels = struct.Struct("2Q")


class Layout(NamedTuple):
    """What of a tensor decides how kernels address it."""

    shape: torch.Size
    stride: tuple[int, ...]
    dtype: torch.dtype


def layout_of(tensor: Tensor) -> Layout:
    return Layout(tensor.shape, tensor.stride(), tensor.dtype)


@dataclass(frozen=True, slots=True)
class Prepared:
    """One specialisation: its launches in order, records without pointers, and what lies where in scratch."""

    job: bytes
    weighing: bytes | None
    scratch: ScratchLayout
    job_places: tuple[int, ...]
    weighing_places: tuple[int, int, int]  # counted, sums, class_weight
    before_plane: tuple[Launch, ...]  # with the weighing's record
    scan: Launch
    plane: Launch


class Call:
    """One call of a specialisation: launches its kernels on the device's current stream."""

    def __init__(self, prepared: Prepared, tensors: Iterable[Tensor | None], device: torch.device) -> None:
        self.prepared, self.device = prepared, device
        self.scratch = prepared.scratch.take(device)  # alive until the launches are made
        base = self.scratch.data_ptr()
        self.job = records.Job.from_buffer_copy(prepared.job)
        self.pointers = [0 if tensor is None else tensor.data_ptr() for tensor in tensors]
        for (offset, packed), pointer in zip(_pack_views, self.pointers, strict=True):
            packed.pack_into(self.job, offset, pointer)
        _pack_job.pack_into(self.job, _JOB_AT, *[base + at if at >= 0 else 0 for at in prepared.job_places])
        self.base = base

    def targets(self) -> None:
        p = self.prepared
        launching.launcher.run(((p.scan, self.job), (p.plane, self.job)), self.device)

    def targets_and_weights(self, numerators: Tensor, denominators: Tensor) -> None:
        """The counts grow in place."""
        p = self.prepared
        assert p.weighing is not None
        weighing = records.Weighing.from_buffer_copy(p.weighing)
        _pack_labels.pack_into(weighing, _LABELS_AT, *self.pointers[:2])
        counted, sums, class_weight = (self.base + at if at >= 0 else 0 for at in p.weighing_places)
        counts = (numerators.data_ptr(), denominators.data_ptr())
        _pack_weighing.pack_into(weighing, _WEIGHING_AT, counted, sums, *counts, *counts, class_weight)
        steps: list[tuple[Launch, ctypes.Structure]] = [(p.scan, self.job)]
        steps += [(step, weighing) for step in p.before_plane]
        launching.launcher.run((*steps, (p.plane, self.job)), self.device)


def call(
    labels: Tensor,
    target: Tensor,
    parameters: TargetParameters,
    mask: Tensor | None = None,
    weight: Tensor | None = None,
    weighing: WeightParameters | None = None,
    bordered: bool = False,
) -> Call | None:
    """The call for these tensors; None where kernels cannot address them as they lie (more than four leading axes)."""
    device = labels.device
    prepared = prepare(
        layout_of(labels),
        layout_of(target),
        None if mask is None else layout_of(mask),
        parameters,
        weighing,
        bordered,
        launching.launcher.limits(device),
    )
    return None if prepared is None else Call(prepared, (labels, mask, target, weight), device)


@functools.lru_cache(maxsize=1024)
def prepare(
    labels: Layout,
    target: Layout,
    mask: Layout | None,
    parameters: TargetParameters,
    weighing: WeightParameters | None,
    bordered: bool,
    limits: Limits,
) -> Prepared | None:
    """Everything about a call that its memory does not decide."""
    given, masked = _meta(labels), None if mask is None else _meta(mask)
    weight = None if weighing is None else torch.empty(labels.shape, dtype=torch.float32, device="meta")
    volumes = Volumes(given, _meta(target), masked, weight, parameters, bordered)
    weights = None if weighing is None else Weights(given, masked, weighing)
    if volumes.copied or (weights is not None and weights.copied):
        return None
    scan, plane, pieces, zeroed = half_grid(volumes, limits)
    before_plane: tuple[Launch, ...] = ()
    job = volumes.job
    if weights is not None:
        job.slabs = weights.record.slabs
        pieces["class_weight"] = weights.class_bytes
        if mask is None:  # the scan counts, from many blocks at once
            job.replicas = weights.record.replicas = max(1, min(32, 512 // weights.record.slabs))
        zeroed["counted"] = weights.class_bytes * weights.record.replicas
        pieces |= {} if mask is None else {"sums": weights.sum_bytes}
        before_plane = (weights.settle,) if mask is None else (weights.count, weights.settle)
    scratch = ScratchLayout.of(pieces, zeroed)
    places = {name: scratch.at.get(name, -1) for name in (*_JOB_SCRATCH, *_WEIGHING_SCRATCH)}
    # With a mask its own kernel counts, where the mask is not 0; without, the scan does.
    job_places = [places[name] if name != "counted" or mask is None else -1 for name in _JOB_SCRATCH]
    return Prepared(
        bytes(job),
        None if weights is None else bytes(weights.record),
        scratch,
        tuple(job_places),
        (places["counted"], places["sums"], places["class_weight"]),
        before_plane,
        scan,
        plane,
    )


def _meta(layout: Layout) -> Tensor:
    return torch.empty_strided(layout.shape, layout.stride, dtype=layout.dtype, device="meta")


def half_grid(volumes: Volumes, limits: Limits) -> tuple[Launch, Launch, dict[str, int], dict[str, int]]:
    """The launches of `scan` and `plane`, and the bytes of scratch by name, and of that which starts at 0."""
    job, plan = volumes.job, volumes.plan
    nz, ny, _ = job.n
    rows = job.volumes * nz * ny
    bits = rows * job.words * 4
    pairs = job.words * records.PAIRS
    pairs_shared = (pairs + 2) * records.PAIR_BYTES + 2 * records.COSTS * 8 + pairs * 4
    # A choice of arithmetic that changes no bit: both are exact.
    packed = plan.packed and pairs_shared <= limits.shared_bytes
    scans = rows * job.words * records.TILE * (2 if packed else plan.scan_bytes)
    pieces = {"scans": scans, "inside": bits}
    if volumes.may_miss:
        pieces["known"] = bits
    chunk_rows = -(-ny // records.CHUNK)
    if packed:
        pieces["values"] = (job.limit + 1) * 4
        pieces["chunks"] = job.volumes * nz * chunk_rows * job.words * records.CHUNK_TILE * 2
    segments = -(-nz // records.STEPS)
    grid, shared = job.volumes * chunk_rows * job.words, records.SQUARES_BYTES if packed else 0
    words_bytes = segments * records.CHUNK * records.KINDS * 32 * 4
    if shared + words_bytes > limits.shared_bytes:
        grid = _at_once(grid, words_bytes, limits, pieces)
        pieces["segments"] = grid * words_bytes
    else:
        shared += words_bytes
    warps = 4 if segments <= 4 else 8
    scan = launch(compiler.scan(job.label.width, "square" if packed else plan.scan_bytes), grid, (32, warps, 1), shared)
    if packed:
        threads = min(records.PAIR_THREADS, -(-pairs // 32) * 32)
        bands = -(-ny // records.PAIR_ROWS)
        plane = launch(compiler.PAIRS, job.volumes * nz * bands, (threads, 1, 1), pairs_shared)
    else:
        plane = _plane(job, plan.scan_bytes, limits, pieces)
    return scan, plane, pieces, {"flags": job.volumes * 4}


def _plane(job: records.Job, scan_bytes: int, limits: Limits, pieces: dict[str, int]) -> Launch:
    """In float32, for every unit, reach and length of rows; may ask for scratch."""
    nz, ny, nx = job.n
    grid, shared = job.volumes * nz * -(-ny // records.ROWS), 2 * nx * records.ROWS * 4
    long = shared > limits.shared_bytes
    if long:
        grid = _at_once(grid, shared, limits, pieces)
        pieces["rows"] = grid * shared
        shared = 0
    return launch(compiler.plane(scan_bytes, long), grid, (min(256, -(-nx // 32) * 32), 1, 1), shared)


def _at_once(blocks: int, bytes_each: int, limits: Limits, pieces: dict[str, int]) -> int:
    """How many blocks get scratch of their own; kernels go through the rest in turns.

    Enough to fill the device, as long as they take no more memory than all that the volumes need anyway, or a quarter
    of a gibibyte: rows of millions of voxels would take all there is.
    """
    most = max(_BLOCKS_BYTES, sum(pieces.values())) // bytes_each
    return max(1, min(blocks, 4 * limits.multiprocessors, most))
