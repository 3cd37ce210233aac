"""From parameters and shapes to the numbers in a `Job`: units, kept axes, caps, merged leading axes."""

from __future__ import annotations

import ctypes
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ..labels import as_label
from ..parameters import SATURATION, TargetParameters
from . import records

_BEYOND = 3.4e38
_LARGEST_PACKED = 65528  # packed squares have 15 bits, and `limit` is one less than "none"
_BACKGROUNDS = {"zero": 0, "signed": 1, "times_label": 2}


@dataclass(frozen=True)
class Units:
    """The unit in world units, and the squares of half a voxel in squared units."""

    length: float
    square: tuple[float, ...]
    whole: bool


def units_of(voxel_size: Sequence[float]) -> Units:
    """Units in which the squares of half a voxel are whole numbers, where there are such, else half the smallest."""
    smallest = min(voxel_size)
    for parts in range(1, 65):
        steps = [size / smallest * parts for size in voxel_size]
        whole = [math.floor(step + 0.5) for step in steps]
        if all(s <= 4096 and abs(s - w) <= 1e-9 * s for s, w in zip(steps, whole, strict=True)):
            return Units(smallest / 2 / parts, tuple(float(w * w) for w in whole), True)
    return Units(smallest / 2, tuple((size / smallest) * (size / smallest) for size in voxel_size), False)


def saturated_square(units: Units, scale: float | None) -> float:
    """The square from which on the target is exactly 1; above every float for world units."""
    if scale is None:
        return _BEYOND
    reach = SATURATION * scale / units.length * (1 + 1e-5) + 1e-3
    square = float(math.floor(reach * reach + 1.5)) if reach * reach < 9e15 else reach * reach
    return min(square, _BEYOND)


@dataclass(frozen=True)
class Plan:
    """What the voxel size, the scale and the shape decide, before any array is seen."""

    model: bytes  # a Job without pointers
    kept: tuple[int, ...]  # the spatial axes with more than one voxel, as the last of z, y, x
    scan_bytes: int  # of a scan distance
    packed: bool  # whether scan distances can be packed squares, see kernels/cuda/tiles.cuh
    sampling: tuple[float, ...]  # half a voxel in units, per kept axis

    def job(self) -> records.Job:
        return records.Job.from_buffer_copy(self.model)


@functools.lru_cache(maxsize=256)
def plan(parameters: TargetParameters, spatial: tuple[int, ...], bordered: bool) -> Plan:
    """The plan of volumes of that shape."""
    if max(spatial) >= 2**31:
        raise ValueError(f"labels have spatial shape {spatial}: expected fewer than 2³¹ voxels along every axis")
    units = units_of(parameters.voxel_size)
    half = [size / 2 / units.length for size in parameters.voxel_size]
    kept = tuple(axis for axis, n in enumerate(spatial) if n > 1)
    job = records.Job()
    for to, axis in zip(range(3 - len(kept), 3), kept, strict=True):
        job.n[to], job.square[to], job.border[to] = spatial[axis], units.square[axis], half[axis]
    for to in range(3 - len(kept)):
        job.n[to], job.square[to] = 1, 1
    job.border_least = min((half[axis] for axis, n in enumerate(spatial) if n == 1), default=3e38)
    cap = saturated_square(units, parameters.scale)
    if bordered:
        deepest = max((half[axis] * (spatial[axis] + 1) for axis in kept), default=0.0)
        cap = max(cap, min(_BEYOND, deepest * deepest * 1.01 + 2))
    job.cap, job.words, job.unit, job.fill = cap, -(-job.n[2] // 32), units.length, parameters.fill
    factor = units.length if parameters.scale is None else units.length / parameters.scale
    job.factor, job.world, job.plain = _float32(factor), parameters.scale is None, 1e-30 < factor < 1e30
    saturate = parameters.no_boundary == "saturate"
    lonely = math.inf if saturate else min(n * size for n, size in zip(spatial, half, strict=True))
    job.lonely = _float32(
        lonely * factor if job.world else 1.0 if lonely * factor >= SATURATION else math.tanh(lonely * factor)
    )
    job.lonely_square = min(lonely * lonely, _BEYOND)
    job.background, job.bordered = _BACKGROUNDS[parameters.background], bordered
    job.everywhere = parameters.background == "signed" or bordered
    # The width of a scan distance follows from the reach alone where the volume is deep enough.
    deepest_scan = min(math.sqrt(cap / job.square[0]) / 2 + 1, job.n[0])
    scan_bytes = 1 if deepest_scan <= 254 else 2 if deepest_scan <= 65534 else 4
    packed = units.whole and cap <= _LARGEST_PACKED
    if packed:
        # Beyond the cap one square is as good as another, and clipped its multiples stay in 32 bits.
        squares = [min(int(square), _LARGEST_PACKED + 1) for square in job.square]
        fill_array(job.twice, [2 * square for square in squares], 0)
        job.limit = 2 * math.ceil(cap / 4) + 1
        job.deepest = int(math.sqrt(cap / squares[0]) / 2) + 1
    return Plan(bytes(job), kept, scan_bytes, packed, tuple(half[axis] for axis in kept))


def _float32(value: float) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(value))


_KINDS = {torch.bool: 0, torch.uint8: 0, torch.uint16: 0, torch.uint32: 0, torch.uint64: 0}
_KINDS |= {torch.int8: 1, torch.int16: 1, torch.int32: 1, torch.int64: 1}
_KINDS |= {torch.float16: 2, torch.float32: 2, torch.float64: 2, torch.bfloat16: 3}
_INFINITIES = {torch.float16: 0x7C00, torch.bfloat16: 0x7F80, torch.float32: 0x7F800000, torch.float64: 0x7FF << 52}


@functools.lru_cache(maxsize=256)
def _meaning(dtype: torch.dtype, ignore_label: int | float | None) -> bytes:
    meaning = records.ElementFormat(width=dtype.itemsize, kind=_KINDS[dtype], infinity=_INFINITIES.get(dtype, 0))
    bits = _ignored_bits(dtype, ignore_label)
    if bits is not None:
        meaning.has_ignored, meaning.ignored = 1, bits
    return bytes(meaning)


def meaning(dtype: torch.dtype, ignore_label: int | float | None = None) -> records.ElementFormat:
    """What the bytes of a tensor of that type mean."""
    return records.ElementFormat.from_buffer_copy(_meaning(dtype, ignore_label))


def _ignored_bits(dtype: torch.dtype, ignore_label: int | float | None) -> int | None:
    """The bits that mark unannotated voxels; None where no voxel of that type can, or NaN, which always does."""
    if dtype == torch.bfloat16:  # host engines see bfloat16 as float32
        bits = _ignored_bits(torch.float32, ignore_label)
        return None if bits is None or bits & 0xFFFF else bits >> 16
    native = np.dtype(str(dtype).removeprefix("torch."))
    ignored = as_label(ignore_label, native)
    if ignored is None:
        return None
    if native.kind == "f":
        if np.isnan(ignored):
            return None
        ignored = native.type(ignored + native.type(0))  # −0.0 and 0.0 are one label
    return int(np.array(ignored, native).view(f"u{native.itemsize}"))


def steps(tensor: torch.Tensor) -> list[int]:
    """Strides in bytes."""
    size = tensor.element_size()
    return [step * size for step in tensor.stride()]


def merged(
    shape: Sequence[int], strides: Sequence[Sequence[int]], slab: Sequence[int] | None = None
) -> tuple[list[int], list[list[int]], list[int]]:
    """Axes joined where every array's steps allow it and blocks stay blocks; axes of one voxel are left out.

    Returns the extents, the steps of each array, and the blocks' extents.
    """
    blocks = list(shape if slab is None else slab)
    extents: list[int] = []
    kept: list[list[int]] = [[] for _ in strides]
    kept_blocks: list[int] = []
    for axis in reversed(range(len(shape))):
        if shape[axis] == 1:
            continue
        joins = (
            extents
            and kept_blocks[0] == extents[0]
            and all(s[axis] == k[0] * extents[0] for s, k in zip(strides, kept, strict=True))
        )
        if joins:
            kept_blocks[0] *= blocks[axis]
            extents[0] *= shape[axis]
        else:
            extents.insert(0, shape[axis])
            kept_blocks.insert(0, blocks[axis])
            for s, k in zip(strides, kept, strict=True):
                k.insert(0, s[axis])
    return extents, kept, kept_blocks


def fill_array(array: ctypes.Array[ctypes.c_int64], values: Sequence[int], missing: int) -> None:
    """The last entries are `values`, those before them `missing`."""
    offset = len(array) - len(values)
    for i in range(len(array)):
        array[i] = values[i - offset] if i >= offset else missing
