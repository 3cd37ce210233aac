"""The extension module, which plans the calls of both native engines and runs those of `cpu`.

What the bytes of an array mean and what decides a target are said to it here, once for both engines.
"""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

import numpy as np

from ..labels import as_label
from ..parameters import TargetParameters

try:
    from .. import _host as _imported
except ImportError as error:  # a source tree that was never built, or a processor that no wheel is for
    module: ModuleType | None = None
    _missing = str(error)
else:
    module = _imported

_BACKGROUNDS = {"zero": 0, "signed": 1, "times_label": 2}
BFLOAT16 = "bfloat16"


def why_not() -> str | None:
    """None where the extension module is installed, else what to do."""
    if module is not None:
        return None
    return (
        f"its extension module could not be imported: {_missing}; build it with a C++17 compiler and CMake: "
        "pip install . in the source tree"
    )


def extension() -> ModuleType:
    if module is None:
        raise ImportError(why_not())
    return module


@functools.lru_cache(maxsize=256)
def task(parameters: TargetParameters) -> Any:
    """What decides a target, as the extension module takes it."""
    return extension().Task(
        parameters.voxel_size,
        parameters.scale or 0.0,
        _BACKGROUNDS[parameters.background],
        parameters.no_boundary == "saturate",
        parameters.fill,
    )


@functools.lru_cache(maxsize=256)
def element_format(dtype: np.dtype[Any] | str, ignore_label: int | float | None = None) -> Any:
    """How the bytes of labels or a mask are read; `dtype` is NumPy's, or BFLOAT16, which NumPy does not know."""
    if dtype == BFLOAT16:
        bits = _ignored_bits(np.dtype(np.float32), ignore_label)  # host engines see bfloat16 as float32
        bits = None if bits is None or bits & 0xFFFF else bits >> 16
        return extension().ElementFormat(BFLOAT16, 2, False, bits is not None, bits or 0)
    assert not isinstance(dtype, str)
    native = dtype.newbyteorder("=")
    bits = _ignored_bits(native, ignore_label)
    return extension().ElementFormat(native.kind, native.itemsize, not dtype.isnative, bits is not None, bits or 0)


def _ignored_bits(dtype: np.dtype[Any], ignore_label: int | float | None) -> int | None:
    """The bits that mark unannotated voxels; None where no voxel of that type can, or NaN, which always does."""
    ignored = as_label(ignore_label, dtype)
    if ignored is None:
        return None
    if dtype.kind == "f":
        if np.isnan(ignored):
            return None
        ignored = dtype.type(ignored + dtype.type(0))  # −0.0 and 0.0 are one label
    return int(np.array(ignored, dtype).view(f"u{dtype.itemsize}"))
