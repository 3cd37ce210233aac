"""What a label value means: unannotated voxels, classes and ids, on host arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[Any]


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


def annotated(labels: Labels, ignore_label: int | float | None) -> npt.NDArray[np.bool_]:
    """True where a voxel carries a label: not NaN, and not `ignore_label`."""
    known = ~np.isnan(labels) if labels.dtype.kind == "f" else np.ones(labels.shape, bool)
    ignored = as_label(ignore_label, labels.dtype)
    if ignored is not None:
        known &= labels != ignored
    return known


def in_classes(labels: Labels, num_classes: int) -> npt.NDArray[np.bool_]:
    """True where the label is one of the classes 0 … num_classes − 1."""
    inside = (labels >= 0) & (labels < num_classes)
    if labels.dtype.kind == "f":
        inside &= labels == np.floor(labels)
    return np.asarray(inside)


def check_classes(labels: Labels, num_classes: int, ignore_label: int | float | None) -> None:
    """Raise ValueError for an annotated label that is no class."""
    outside = annotated(labels, ignore_label) & ~in_classes(labels, num_classes)
    if outside.any():
        where = np.unravel_index(int(np.argmax(outside)), labels.shape)
        raise ValueError(
            f"label {labels[where].item()!r} at {tuple(int(i) for i in where)} of labels with shape {labels.shape} "
            f"is no class: expected whole numbers in [0, {num_classes}); name ignore_label= for unannotated voxels"
        )


UNANNOTATED = 2  # in a channel made by `channel_of`


def channel_of(labels: Labels, chosen: int | None, ignore_label: int | float | None) -> npt.NDArray[np.uint8]:
    """One binary channel: 1 where label = `chosen` (None: label ≠ 0), 0 elsewhere, 2 where unannotated."""
    if chosen is None:
        inside = labels != 0
    else:
        value = as_label(chosen, labels.dtype)
        inside = np.zeros(labels.shape, bool) if value is None else labels == value
    channel = np.asarray(inside).astype(np.uint8)
    channel[~annotated(labels, ignore_label)] = UNANNOTATED
    return channel
