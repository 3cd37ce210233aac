"""Slabs: blocks of the labels with counts of their own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..parameters import is_integer


def check_slab(slab: Any, shape: tuple[int, ...]) -> tuple[int, ...]:
    """`slab` with −1 replaced by the whole axis; None is one slab, the whole array."""
    if slab is None:
        return shape
    expected = (
        f"expected one block extent per axis of the labels, shape {shape}: "
        "a positive whole number, or -1 for the whole axis"
    )
    if isinstance(slab, (str, bytes)) or not isinstance(slab, Iterable):
        raise TypeError(f"slab={slab!r}: {expected}")
    extents = tuple(slab)
    if not all(map(is_integer, extents)):
        raise TypeError(f"slab={slab!r}: {expected}")
    if len(extents) != len(shape) or any(extent < 1 and extent != -1 for extent in extents):
        raise ValueError(f"slab={slab!r}: {expected}")
    return tuple(n if extent == -1 else min(int(extent), n) for extent, n in zip(extents, shape, strict=True))


def slab_grid(slab: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """How many slabs there are along each axis, at least one; the last one may be ragged."""
    return tuple(-(-n // extent) if n else 1 for extent, n in zip(slab, shape, strict=True))
