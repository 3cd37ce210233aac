"""What a label value means: unannotated voxels, classes and ids, on host arrays."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[Any]
Classes = tuple[tuple[int, ...], ...]  # the ids of each class, ascending


def as_label(value: int | float | None, dtype: np.dtype[Any]) -> Any:
    """`value` as a scalar of `dtype`, or None where no voxel of that type can hold it."""
    if value is None:
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            scalar = dtype.type(value)
        return scalar if np.isfinite(scalar) == np.isfinite(value) else None
    if isinstance(value, float) and not value.is_integer():
        return None
    low, high = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    return dtype.type(int(value)) if low <= value <= high else None


@functools.lru_cache(maxsize=256, typed=True)  # typed: 2⁶⁰ and 2.0⁶⁰ are equal
def check_ignored(value: int | float, dtype: Any) -> int | float | None:
    """`value` as labels of that NumPy or torch type are compared with it; None where it ignores nothing.

    Raises
    ------
    ValueError
        A value that no label of that type can have.
    """
    name = str(dtype).removeprefix("torch.")
    if name == "bfloat16":
        # Host engines see float32: rounded to its upper 16 bits, ties to even.
        bits = int(_check_float(value, np.dtype(np.float32), "bfloat16").view(np.uint32))
        rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
        meant = float(np.uint32(rounded).view(np.float32)) if math.isfinite(value) else float(value)
        if math.isinf(meant) and math.isfinite(value):
            raise ValueError(f"ignore_label={value}: labels of bfloat16 hold numbers up to 3.39e+38")
        return meant
    kind = np.dtype(name)
    if kind.kind == "f":
        _check_float(value, kind, name)
    elif kind.kind == "b":
        return value if value in (0, 1) else None
    elif (isinstance(value, float) and abs(value) > 2**53 and kind.itemsize == 8) or as_label(value, kind) is None:
        low, high = (int(bound) for bound in (np.iinfo(kind).min, np.iinfo(kind).max))
        raise ValueError(
            f"ignore_label={value}: labels of {name} hold whole numbers from {low} to {high}{_same_bits(value, kind)}"
        )
    return value


def _check_float(value: int | float, dtype: np.dtype[Any], name: str) -> Any:
    scalar = as_label(value, dtype)
    if scalar is None:
        raise ValueError(f"ignore_label={value}: labels of {name} hold numbers up to {np.finfo(dtype).max:.5g}")
    return scalar


def _same_bits(value: int | float, dtype: np.dtype[Any]) -> str:
    """What was probably meant by a value that labels of that integer type cannot have."""
    if not math.isfinite(value) or value != int(value) or not -(2**63) <= value <= 2**64:
        return ""
    whole = int(value)
    if isinstance(value, float) and whole in (2**63, 2**64):
        whole -= 1  # what float() makes of the largest int64 and uint64
    bits = whole % 2 ** (8 * dtype.itemsize)
    same = int(np.array(bits, f"u{dtype.itemsize}").view(dtype.newbyteorder("=")))
    why = ", and floats above 2⁵³ are not exact" if isinstance(value, float) and abs(value) > 2**53 else ""
    return f"{why}; the one with the same bits is {same}"


def is_annotated(labels: Labels, ignore_label: int | float | None) -> npt.NDArray[np.bool_]:
    """True where a voxel carries a label: not NaN, and not `ignore_label`."""
    annotated = ~np.isnan(labels) if labels.dtype.kind == "f" else np.ones(labels.shape, bool)
    ignored = None if ignore_label is None else check_ignored(ignore_label, labels.dtype)
    if ignored is not None:
        annotated &= labels != as_label(ignored, labels.dtype)
    return annotated


def has_site(labels: Labels, dims: int, ignore_label: int | float | None) -> npt.NDArray[np.bool_]:
    """Whether each volume has a face between two annotated voxels with different labels; shape (..., 1, 1, 1)."""
    annotated = is_annotated(labels, ignore_label)
    found = np.zeros(labels.shape[: labels.ndim - dims], bool)
    spatial = tuple(range(labels.ndim - dims, labels.ndim))
    for axis in spatial:
        low, high = ((..., part, *(slice(None),) * (labels.ndim - 1 - axis)) for part in (slice(-1), slice(1, None)))
        found |= ((labels[low] != labels[high]) & annotated[low] & annotated[high]).any(axis=spatial)
    return found.reshape(found.shape + (1,) * dims)


def in_classes(labels: Labels, num_classes: int) -> npt.NDArray[np.bool_]:
    """True where the label is one of the classes 0 … num_classes − 1."""
    inside = (labels >= 0) & (labels < num_classes)
    if labels.dtype.kind == "f":
        inside &= labels == np.floor(labels)
    return np.asarray(inside)


def check_classes(labels: Labels, num_classes: int, ignore_label: int | float | None) -> None:
    """Raise ValueError for an annotated label that is no class."""
    outside = is_annotated(labels, ignore_label) & ~in_classes(labels, num_classes)
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), labels.shape)
        raise ValueError(
            f"label {labels[where].item()!r} at {tuple(int(i) for i in where)} of labels with shape {labels.shape} "
            f"is no class: expected whole numbers in [0, {num_classes}); name ignore_label= for unannotated voxels"
        )


_FEW = 8  # ids that are compared one by one faster than they are looked up


def in_class(labels: Labels, ids: Sequence[int]) -> npt.NDArray[np.bool_]:
    """True where the label is one of the ids."""
    values = [value for value in (as_label(chosen, labels.dtype) for chosen in ids) if value is not None]
    if len(values) > _FEW:
        return np.isin(labels, np.array(values, labels.dtype))
    inside = np.zeros(labels.shape, bool)
    for value in values:
        inside |= labels == value
    return inside


UNANNOTATED = 2  # in the binary channels of `volumes`


@dataclass(frozen=True)
class Volume:
    """One volume to compute: its place in the result, its name, its labels."""

    index: tuple[int, ...]
    title: str
    labels: Labels


class Volumes:
    """The volumes of a label array, one by one. `shape` is that of the result.

    With `ids` there is a channel per id in front of all axes, with `classes` one per class in front of the spatial
    ones, with `binary` every label ≠ 0 is one object; such channels are uint8, 1 where the object is, `UNANNOTATED`
    where nothing is annotated. `titles` are those of the classes.
    """

    def __init__(
        self,
        labels: Labels,
        dims: int,
        ids: Sequence[int] | None,
        binary: bool,
        ignore_label: int | float | None,
        classes: Classes | None = None,
        titles: Sequence[str] = (),
    ) -> None:
        self._labels, self._ids, self._binary, self._ignored = labels, ids, binary, ignore_label
        self._classes, self._titles = classes, titles
        self._leading, spatial = labels.shape[: labels.ndim - dims], labels.shape[labels.ndim - dims :]
        front = () if ids is None else (len(ids),)
        inner = () if classes is None else (len(classes),)
        self.shape = (*front, *self._leading, *inner, *spatial)

    def __len__(self) -> int:
        return math.prod(self._leading) * len(self._ids or self._classes or (0,))

    def __iter__(self) -> Iterator[Volume]:
        for place in np.ndindex(self._leading):
            labels, title = self._labels[place], str(list(place)) if place else ""
            if not self._is_split:
                yield Volume(place, title, labels)
                continue
            for channel, (name, values) in enumerate(self._channels(labels)):
                index = {None: place, 0: (channel, *place)}.get(self.channel_axis, (*place, channel))
                yield Volume(index, f"{name} {title}".strip(), values)

    @property
    def channel_axis(self) -> int | None:
        """Which axis of the result counts channels; None where there is one channel alone."""
        return 0 if self._ids is not None else len(self._leading) if self._classes is not None else None

    def channels(self) -> Iterator[npt.NDArray[np.uint8]]:
        """Each channel of all volumes, of the labels' shape: 0, 1 or `UNANNOTATED`."""
        return (values for _, values in self._channels(self._labels))

    @property
    def _is_split(self) -> bool:
        return self._binary or self._ids is not None or self._classes is not None

    def _channels(self, labels: Labels) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        """The name of each channel, and its values."""
        annotated = is_annotated(labels, self._ignored)
        if self._classes is None and self._ids is None:
            yield "", _binary(labels != 0, annotated)
        elif self._classes is None:
            for chosen in self._ids or ():
                yield f"id {chosen}", _binary(labels == as_label(chosen, labels.dtype), annotated)
        else:
            for channel, ids in enumerate(self._classes):
                name = self._titles[channel] if self._titles else f"class {channel}"
                yield name, _binary(in_class(labels, ids), annotated)


def _binary(inside: npt.NDArray[np.bool_], annotated: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    return np.where(annotated, inside, np.uint8(UNANNOTATED))


def class_volumes(labels: Labels, dims: int, classes: Classes, ignore_label: int | float | None) -> Labels:
    """The stack of binary volumes that classes stand for, as the channels of `Volumes`; its axis is as theirs."""
    annotated = is_annotated(labels, ignore_label)
    return np.stack([_binary(in_class(labels, ids), annotated) for ids in classes], axis=labels.ndim - dims)


def check_ids(ids: Sequence[int], labels: Labels, ignore_label: int | float | None) -> None:
    """Raise ValueError for ids that are named twice or that no annotated voxel has."""
    if len(set(ids)) != len(ids):
        raise ValueError(f"ids {list(ids)}: expected every id once")
    annotated = is_annotated(labels, ignore_label)
    present = np.unique(labels[annotated])
    values = [as_label(chosen, labels.dtype) for chosen in ids]
    absent = [chosen for chosen, value in zip(ids, values, strict=True) if value is None or value not in present]
    if absent:
        some = ", ".join(str(value.item()) for value in present[:20])
        more = f", … ({len(present)} in all)" if len(present) > 20 else ""
        raise ValueError(f"ids {absent} do not occur in labels of shape {labels.shape}; these do: {some}{more}")
