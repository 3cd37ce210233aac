"""The records that kernels take, field by field as in `kernels/job.hpp`: tests look into them."""

from __future__ import annotations

import ctypes
from typing import Any

LEADING, AXES = 4, 8
HAS_SITE, HAS_MISSING = 1, 2
ROWS, PAIR_ROWS, ROWS_PER_CHUNK, STEPS, PART = 4, 8, 4, 32, 16384

_i32, _i64, _u64, _f32, _f64, _pointer = (
    ctypes.c_int32,
    ctypes.c_int64,
    ctypes.c_uint64,
    ctypes.c_float,
    ctypes.c_double,
    ctypes.c_uint64,
)


class View(ctypes.Structure):
    """Memory of a caller: steps in bytes; data 0 is "not given"."""

    _fields_ = (("data", _pointer), ("lead", _i64 * LEADING), ("step", _i64 * 3))


class ElementFormat(ctypes.Structure):
    """How the bytes of a label or a mask are read."""

    _fields_ = (
        ("width", _i32),
        ("kind", _i32),
        ("has_ignored", _i32),
        ("foreign", _i32),
        ("ignored", _u64),
        ("infinity", _u64),
    )


class ClassTable(ctypes.Structure):
    """Which labels are in which classes."""

    _fields_ = (
        ("ids", _pointer),
        ("members", _pointer),
        ("count", _i64),
        ("classes", _i32),
        ("groups", _i32),
    )


class Job(ctypes.Structure):
    """One call on a stack of volumes, for `scan`, `plane` and, inside `Doubled`, `mark` and `sample`."""

    _fields_ = (
        ("labels", View),
        ("mask", View),
        ("target", View),
        ("weight", View),
        ("label", ElementFormat),
        ("mask_value", ElementFormat),
        ("volumes", _i64),
        ("leading", _i64 * LEADING),
        ("slabs", _i64),
        ("scans", _pointer),
        ("chunks", _pointer),
        ("inside", _pointer),
        ("annotated", _pointer),
        ("flags", _pointer),
        ("counted", _pointer),
        ("class_weight", _pointer),
        ("segments", _pointer),
        ("values", _pointer),
        ("rows", _pointer),
        ("n", _i32 * 3),
        ("words", _i32),
        ("unit", _f64),
        ("square", _f32 * 3),
        ("border", _f32 * 3),
        ("border_least", _f32),
        ("cap", _f32),
        ("factor", _f32),
        ("no_site_value", _f32),
        ("no_site_square", _f32),
        ("fill", _f32),
        ("background", _i32),
        ("world_units", _i32),
        ("factor_is_normal", _i32),
        ("everywhere", _i32),
        ("bordered", _i32),
        ("replicas", _i32),
        ("twice", _i32 * 3),
        ("limit", _i32),
        ("deepest", _i32),
        ("spare", _i32),
        ("table", ClassTable),
    )


class Weighing(ctypes.Structure):
    """One call on an array in blocks, for `count`, `settle` and `weigh`."""

    _fields_ = (
        ("labels", _pointer),
        ("mask", _pointer),
        ("shape", _i64 * AXES),
        ("slab", _i64 * AXES),
        ("label_step", _i64 * AXES),
        ("mask_step", _i64 * AXES),
        ("label", ElementFormat),
        ("mask_value", ElementFormat),
        ("slabs", _i64),
        ("parts", _i64),
        ("classes", _i32),
        ("foreground", _i32),
        ("replicas", _i64),
        ("counted", _pointer),
        ("sums", _pointer),
        ("numerators", _pointer),
        ("denominators", _pointer),
        ("class_weight", _pointer),
        ("weights", _pointer),
        ("low", _f64),
        ("high", _f64),
        ("inside", _pointer),
        ("annotated", _pointer),
        ("rows", _i64),
        ("nx", _i32),
        ("words", _i32),
    )


class Doubled(ctypes.Structure):
    """A job and its doubled grid, for `mark` and `sample`."""

    _fields_ = (("job", Job), ("grid", _pointer), ("distances", _pointer), ("volume", _i64))


RECORDS: dict[str, Any] = {record.__name__: record for record in (View, ElementFormat, ClassTable, Job, Weighing, Doubled)}
