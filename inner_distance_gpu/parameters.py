"""Every keyword that is not an array: checked once, here, and carried as one frozen record."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from numbers import Integral, Real
from typing import Any, Literal, get_args

import numpy as np
import torch

Background = Literal["zero", "signed", "times_label"]
NoBoundary = Literal["extent", "saturate"]
Border = Literal["keep", "mask"]
CLIP = (0.05, 0.95)  # bounds of a class's fraction where none are given, as in DaCapo

# tanh(x) rounds to 1 in float32 from here on (SATURATION in kernels/half_grid.hpp): no site farther away matters.
SATURATION = 9.02

# A site as far away as the border is no farther, though floats may say so: a distance is "larger" than the one to
# the border when it is so by this fraction. Several times what float32 sums of squares can be off.
BORDER_SLACK = 2e-6

# Squares of distances, in units of the smallest voxel size, stay within float32, and sizes over scales within float64.
FARTHEST_APART, SMALLEST, LARGEST = 1e13, 1e-100, 1e100


@dataclass(frozen=True)
class TargetParameters:
    """What decides a target. `scale=None` leaves world units.

    `samples` are the voxel sizes along the first axis of the labels, `scales` the scales along the axis in front of the
    spatial ones, where they differ; `voxel_size` is one of the former then, `scale` the largest of the latter.
    """

    # Every call looks up what was prepared for equal records: a hash of what tells most of them apart takes less time.
    voxel_size: tuple[float, ...]
    scale: float | None
    background: Background = field(hash=False)
    no_boundary: NoBoundary = field(hash=False)
    ignore_label: int | float | None = field(hash=False)
    fill: float = field(hash=False)
    samples: tuple[tuple[float, ...], ...] | None = field(default=None, hash=False)
    scales: tuple[float, ...] | None = field(default=None, hash=False)

    @classmethod
    def checked(
        cls,
        voxel_size: Any,
        scale: Any,
        background: Any,
        no_boundary: Any,
        ignore_label: Any,
        fill: Any,
        channels: int | None = None,
    ) -> TargetParameters:
        """`channels` is the number of scales that may be given; None allows one for all alone."""
        largest, scales = check_scales(scale, channels)
        return cls(
            check_voxel_size(voxel_size),
            largest,
            check_choice("background", background, get_args(Background)),
            check_choice("no_boundary", no_boundary, get_args(NoBoundary)),
            check_ignore_label(ignore_label),
            check_fill(fill),
            scales=scales,
        )

    def described(self) -> dict[str, Any]:
        """By name, for metadata of an output; `scale` is a list where channels have their own."""
        found = asdict(self) | {"scale": self.scales or self.scale}
        return {name: value for name, value in found.items() if name not in ("samples", "scales")}

    def of_channel(self, channel: int) -> TargetParameters:
        """Those of one channel alone."""
        return self if self.scales is None else replace(self, scale=self.scales[channel], scales=None)

    def at(self, voxel_size: tuple[float, ...]) -> TargetParameters:
        """The same with another voxel size for the same number of spatial axes."""
        if len(voxel_size) != len(self.voxel_size):
            raise ValueError(
                f"voxel_size={voxel_size} for one call: expected {len(self.voxel_size)} numbers, "
                f"as in voxel_size={self.voxel_size}"
            )
        return replace(self, voxel_size=voxel_size)

    def at_each(self, rows: Sequence[tuple[float, ...]]) -> TargetParameters:
        """The same with a voxel size for each sample of the first axis."""
        sized = [self.at(row) for row in rows] or [self]
        return replace(sized[0], samples=tuple(rows) if len(set(rows)) > 1 else None)


@dataclass(frozen=True)
class WeightParameters:
    """What decides a weight. `slab` holds the block extents on every axis, −1 resolved.

    With `foreground`, the two classes are label = 0 and label ≠ 0 whatever the ids are; without,
    the label is the class. The last `spatial` axes of a mask do not broadcast.
    """

    num_classes: int = field(hash=False)
    foreground: bool = field(hash=False)
    slab: tuple[int, ...]
    clip: tuple[float, float] = field(hash=False)
    ignore_label: int | float | None = field(hash=False)
    spatial: int = field(default=2, hash=False)

    @classmethod
    def per_channel(
        cls,
        shape: tuple[int, ...],
        dims: int,
        channels: int,
        clip: tuple[float, float],
        ignore_label: int | float | None,
    ) -> WeightParameters:
        """Two classes, one slab per channel in front of `dims` spatial axes; one channel pools all leading axes."""
        leading = shape[:-dims]
        if channels > 1:
            if leading[-1:] != (channels,):
                last = f"; numpy.moveaxis(labels, -1, {-dims - 1}) moves them there" if shape[-1] == channels else ""
                expected = f"channels={channels} on axis {-dims - 1}, in front of {dims} spatial axes{last}"
                raise ValueError(f"labels have shape {shape}: expected {expected}")
            leading = (*leading[:-1], 1)
        return cls(2, True, (*leading, *shape[-dims:]), clip, ignore_label, dims)


@dataclass(frozen=True)
class Task:
    """What one call computes from its labels: a target, weights, or both; from the public seam to the engine.

    `validate` says whether values are read and checked; None does so where they lie on the host. With `classes` the
    results are those of the binary volumes "label is in the class", one for each class.
    """

    target: TargetParameters | None = None
    weighing: WeightParameters | None = None
    border: Border = field(default="keep", hash=False)
    validate: bool | None = field(default=None, hash=False)
    classes: tuple[tuple[int, ...], ...] | None = None  # the ids of each class; see labels/classes.py
    # What engine `cpu` made of this task for each type of labels: it is found without a hash of the whole task.
    prepared: dict[Any, Any] = field(init=False, default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """A copy in another process prepares anew: what the engine made lies in this one."""
        return {**self.__dict__, "prepared": {}}

    @functools.cached_property
    def dims(self) -> int:
        """How many axes are spatial."""
        return len(self.target.voxel_size) if self.target else self.weighing.spatial if self.weighing else 0

    def shape_of(self, labels: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the results: that of the labels, with an axis of classes in front of the spatial ones."""
        if self.classes is None:
            return labels
        leading = len(labels) - self.dims
        return (*labels[:leading], len(self.classes), *labels[leading:])

    @functools.cached_property
    def ignore_label(self) -> int | float | None:
        parameters = self.target or self.weighing
        return None if parameters is None else parameters.ignore_label

    def ignoring(self, ignore_label: int | float | None) -> Task:
        """The same with another label that marks unannotated voxels."""
        return replace(
            self,
            target=None if self.target is None else replace(self.target, ignore_label=ignore_label),
            weighing=None if self.weighing is None else replace(self.weighing, ignore_label=ignore_label),
        )


def is_real(value: Any) -> bool:
    return type(value) in (float, int) or (isinstance(value, Real) and not isinstance(value, (bool, np.bool_)))


def is_integer(value: Any) -> bool:
    return type(value) is int or (isinstance(value, Integral) and not isinstance(value, (bool, np.bool_)))


def _as_float(value: Any) -> float:
    """A real number as a float; infinite where no float is as large."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def check_voxel_size(voxel_size: Any) -> tuple[float, ...]:
    """`voxel_size` as floats, in array-axis order, world units; fractions are kept."""
    expected = "expected 2 or 3 positive finite numbers in array-axis order, such as (40, 4, 4)"
    if isinstance(voxel_size, (str, bytes, Set, Mapping)) or not isinstance(voxel_size, Iterable):
        raise TypeError(f"voxel_size={voxel_size!r}: {expected}")
    try:
        sizes = tuple(_as_float("" if isinstance(size, (str, bytes)) else size) for size in voxel_size)
    except (TypeError, ValueError):
        raise TypeError(f"voxel_size={voxel_size!r}: {expected}") from None
    if len(sizes) not in (2, 3):
        raise ValueError(f"voxel_size={sizes} has {len(sizes)} entries: {expected}")
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        raise ValueError(f"voxel_size={sizes}: {expected}")
    if min(sizes) < SMALLEST or max(sizes) > LARGEST:
        raise ValueError(f"voxel_size={sizes}: expected sizes between {SMALLEST:.0e} and {LARGEST:.0e}")
    if max(sizes) / min(sizes) > FARTHEST_APART:
        raise ValueError(f"voxel_size={sizes}: expected sizes that are at most {FARTHEST_APART:.0e} times one another")
    return sizes


def check_scale(scale: Any) -> float | None:
    if scale is None:
        return None
    expected = "expected a positive finite number in world units, or None for distances without tanh"
    if not is_real(scale):
        raise TypeError(f"scale={scale!r}: {expected}")
    if not (math.isfinite(_as_float(scale)) and scale > 0):
        raise ValueError(f"scale={scale!r}: {expected}")
    if not SMALLEST <= float(scale) <= LARGEST:  # a float32 would be compared as such
        raise ValueError(f"scale={scale!r}: expected a scale between {SMALLEST:.0e} and {LARGEST:.0e}")
    return float(scale)


def check_scales(scale: Any, channels: int | None) -> tuple[float | None, tuple[float, ...] | None]:
    """The scale, or the largest of a list of them; and that list where they differ."""
    if scale is None or is_real(scale) or isinstance(scale, (str, bytes)) or not isinstance(scale, Iterable):
        return check_scale(scale), None
    given = scale.tolist() if hasattr(scale, "tolist") else list(scale)
    if not isinstance(given, list) or None in given:
        expected = "expected a number, None, or one number per class or channel, none of them None"
        raise TypeError(f"scale={scale!r}: {expected}")
    if len(given) != channels:
        expected = "one number, or classes or channels to have one each" if channels is None else f"{channels} numbers"
        raise ValueError(f"scale={given} has {len(given)} numbers: expected {expected}")
    scales = tuple(check_scale(each) or 0.0 for each in given)
    return max(scales), scales if len(set(scales)) > 1 else None


def check_choice(name: str, value: Any, choices: Sequence[str]) -> Any:
    if value not in choices or not isinstance(value, str):
        error = ValueError if isinstance(value, str) else TypeError
        raise error(f"{name}={value!r}: expected one of {', '.join(map(repr, choices))}")
    return value


def check_ignore_label(ignore_label: Any) -> int | float | None:
    if ignore_label is None:
        return None
    expected = "expected a number that a label can have, or None"
    if not is_real(ignore_label):
        raise TypeError(f"ignore_label={ignore_label!r}: {expected}")
    if is_integer(ignore_label) and not -(2**63) <= ignore_label < 2**64:
        raise ValueError(f"ignore_label={ignore_label!r}: {expected}")
    return int(ignore_label) if is_integer(ignore_label) else _as_float(ignore_label)


def check_fill(fill: Any) -> float:
    expected = "expected a number that float32 can hold (NaN and infinities are fine)"
    if not is_real(fill):
        raise TypeError(f"fill={fill!r}: {expected}")
    value = _as_float(fill)
    if abs(value) > float(np.finfo(np.float32).max) and not (math.isinf(value) and value == fill):
        raise ValueError(f"fill={fill!r}: {expected}")
    return value


def check_threads(threads: Any) -> int:
    """The number of threads to use; None follows torch, which is set to 1 in DataLoader workers."""
    expected = "a positive whole number, or None to follow torch"
    return torch.get_num_threads() if threads is None else check_count("threads", threads, expected)


def check_count(name: str, value: Any, expected: str = "a positive whole number") -> int:
    if not is_integer(value):
        raise TypeError(f"{name}={value!r}: expected {expected}")
    if not 1 <= value < 2**31:  # what kernels count with
        raise ValueError(f"{name}={value!r}: expected {expected}{', below 2³¹' if value > 0 else ''}")
    return int(value)


def check_flag(name: str, value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name}={value!r}: expected True or False")
    return bool(value)


def check_clip(clip: Any) -> tuple[float, float]:
    expected = "expected two numbers with 0 < low <= high <= 1, such as (0.05, 0.95)"
    bounds = tuple(clip) if isinstance(clip, Iterable) and not isinstance(clip, (str, bytes)) else ()
    if len(bounds) != 2 or not all(map(is_real, bounds)):
        raise TypeError(f"clip={clip!r}: {expected}")
    low, high = map(_as_float, bounds)
    if not 0 < low <= high <= 1:
        raise ValueError(f"clip={clip!r}: {expected}")
    if low < SMALLEST:  # its weight would be infinite
        raise ValueError(f"clip={clip!r}: expected low >= {SMALLEST:.0e}")
    return low, high
