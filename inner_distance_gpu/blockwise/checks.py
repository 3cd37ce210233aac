"""Checks of what `plan` is asked for, where no other function of the package takes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..labels.classes import ClassMap
from ..parameters import TargetParameters, check_choice, check_count, check_flag

DTYPES = ("float32", "int8")


def check_apart(source: Path, destination: Path) -> None:
    if source == destination or destination in source.parents or source in destination.parents:
        raise ValueError(f"{destination}: holds, is or lies in the source {source}; writing there would destroy it")


def check_ids(ids: Iterable[int] | None, binary: bool) -> tuple[int, ...] | None:
    if ids is None:
        check_flag("binary", binary)
        return None
    wanted = tuple(ids)
    if any(isinstance(i, bool) or not isinstance(i, (int, np.integer)) for i in wanted):
        raise TypeError(f"ids={wanted}: expected whole numbers")
    if not wanted or len(set(wanted)) != len(wanted):
        raise ValueError(f"ids={list(wanted)}: expected at least one id, and every id once")
    if binary:
        raise ValueError(f"ids={list(wanted)} and binary=True: expected one of them")
    return tuple(int(i) for i in wanted)


def check_classes(
    classes: Any, ids: Iterable[int] | None, binary: bool, ignore_label: int | float | None
) -> ClassMap | None:
    if classes is None:
        return None
    if ids is not None or binary:
        raise ValueError(f"{'binary=True' if ids is None else f'ids={list(ids)}'} with classes=: expected one of them")
    return ClassMap.checked(classes, ignore_label)


def check_dtype(dtype: str, parameters: TargetParameters) -> None:
    check_choice("dtype", dtype, DTYPES)
    if dtype == "float32":
        return
    if parameters.background == "times_label":
        raise ValueError("dtype='int8' with background='times_label': expected targets between -1 and 1")
    if not -1 <= parameters.fill <= 1:
        raise ValueError(f"dtype='int8' with fill={parameters.fill}: expected a number between -1 and 1")


def check_shape(path: str, shape: tuple[int, ...], dims: int) -> None:
    if len(shape) < dims or 0 in shape:
        raise ValueError(
            f"{path} has shape {shape}: expected no empty axis, and "
            f"{'(..., z, y, x)' if dims == 3 else '(..., y, x)'} for a voxel size of {dims} numbers"
        )


def check_extents(name: str, given: Any, dims: int) -> tuple[int, ...] | None:
    """Voxels per spatial axis."""
    if given is None:
        return None
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise TypeError(f"{name}={given!r}: expected {dims} whole numbers, one per spatial axis")
    extents = tuple(check_count(name, extent) for extent in given)
    if len(extents) != dims:
        raise ValueError(f"{name}={extents}: expected {dims} whole numbers, one per spatial axis")
    return extents


def check_multiple(name: str, outer: tuple[int, ...] | None, unit: str, inner: tuple[int, ...]) -> None:
    if outer is not None and any(o % i for o, i in zip(outer, inner, strict=True)):
        raise ValueError(f"{name}={outer}: expected multiples of {unit}={inner}, axis by axis")
