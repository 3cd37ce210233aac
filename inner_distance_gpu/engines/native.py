"""The extension module, which plans the calls of both native engines and runs those of `cpu`.

How the bytes of an array are read and what decides a target are translated for it here, once for both engines.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import sys
from pathlib import Path
from typing import Any

import numpy as np

from ..labels import Classes, as_label
from ..parameters import TargetParameters

try:
    _imported = importlib.import_module("._host", __package__)
except ImportError as error:
    module: Any = None
    _missing: ImportError | None = error
else:
    module = _imported

_BACKGROUNDS = {"zero": 0, "signed": 1, "times_label": 2}
BFLOAT16 = "bfloat16"


def why_not() -> str | None:
    """None where the extension module is installed, else what to do."""
    return None if module is not None else _why_no_extension()


@functools.cache
def _why_no_extension() -> str:
    """Which of its causes a failed import has, and the remedy of that one."""
    package = Path(__file__).parents[1]
    here = "the source tree" if (package.parent / "kernels" / "host.cpp").is_file() else "the package"
    if not isinstance(_missing, ModuleNotFoundError):
        return (
            f"its extension module could not be imported: {_missing}; it was built for another Python, system or "
            "processor: install the package anew, pip install --force-reinstall --no-deps, "
            "from its source tree where no wheel fits"
        )
    hidden = _installed_elsewhere(package)
    if hidden is not None:
        return (
            f"its extension module is not in {here} {package.parent}, "
            f"which Python found first and which hides the package installed in {hidden}; start Python in another "
            "folder, or with python -P, or install the source tree itself with pip install --editable ."
        )
    if here == "the package":
        return (
            f"its extension module is not in {package}, where the rest of the package lies; install the package "
            "anew: pip install --force-reinstall --no-deps inner_distance_gpu"
        )
    return (
        f"its extension module was never built for this Python in the source tree {package.parent}; build it with a "
        "C++17 compiler and CMake: pip install . in that folder, and start Python in another one, or "
        "pip install --editable ."
    )


def _installed_elsewhere(package: Path) -> Path | None:
    """Another folder on Python's path with this package and its extension module, for this Python."""
    for entry in dict.fromkeys(sys.path):
        folder = Path(entry or ".").resolve() / package.name
        built = importlib.machinery.PathFinder.find_spec("_host", [str(folder / "engines")])
        if folder != package.resolve() and built is not None and (folder / "__init__.py").is_file():
            return folder.parent
    return None


def extension() -> Any:
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


@functools.lru_cache(maxsize=256)
def class_map(dtype: np.dtype[Any] | str, classes: Classes) -> Any:
    """Which labels are in which class, by their bits; `dtype` as in `element_format`, and the ids are checked."""
    if dtype == BFLOAT16:
        codes = [[int(np.float32(value).view(np.uint32)) >> 16 for value in ids] for ids in classes]
        return extension().ClassMap(2, codes)
    assert not isinstance(dtype, str)
    native = dtype.newbyteorder("=")
    return extension().ClassMap(
        native.itemsize, [[_bits(as_label(value, native), native) for value in ids] for ids in classes]
    )


def _bits(scalar: Any, dtype: np.dtype[Any]) -> int:
    return int(np.array(scalar, dtype).view(f"u{dtype.itemsize}"))


def _ignored_bits(dtype: np.dtype[Any], ignore_label: int | float | None) -> int | None:
    """The bits that mark unannotated voxels; None where no voxel of that type can, or NaN, which always does."""
    ignored = as_label(ignore_label, dtype)
    if ignored is None:
        return None
    if dtype.kind == "f":
        if np.isnan(ignored):
            return None
        ignored = dtype.type(ignored + dtype.type(0))  # −0.0 and 0.0 are one label
    return _bits(ignored, dtype)
