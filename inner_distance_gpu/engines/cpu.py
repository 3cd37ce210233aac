"""Engine `cpu`: the half-grid transform in C++ (`kernels/`), with SIMD and threads of its own.

Arrays go in by the buffer protocol with their own strides, alignment and byte order; nothing is copied. The
widest SIMD level that this processor runs is chosen at run time, and every level returns the same bits.
"""

from __future__ import annotations

import functools
import importlib
import importlib.machinery
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import notices
from ..arrays import ones
from ..labels import as_label
from ..parameters import Border, TargetParameters, WeightParameters

try:
    _imported = importlib.import_module(f"{__package__.rpartition('.')[0]}._host")
except ImportError as error:
    _host: ModuleType | None = None
    _missing: ImportError | None = error
else:
    _host = _imported

_BACKGROUNDS = {"zero": 0, "signed": 1, "times_label": 2}


def why_not() -> str | None:
    """Runs where the extension module is installed."""
    return None if _host is not None else _why_no_extension()


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
        built = importlib.machinery.PathFinder.find_spec(f"{package.name}._host", [str(folder)])
        if folder != package.resolve() and built is not None and (folder / "__init__.py").is_file():
            return folder.parent
    return None


def inner_distance(
    labels: npt.NDArray[Any], out: npt.NDArray[np.float32], parameters: TargetParameters, threads: int
) -> None:
    """Targets of every volume in the leading axes."""
    fractions = _extension().targets(
        _plan(parameters), _bits(labels), _meaning(labels, parameters.ignore_label), out, threads
    )
    if fractions:
        notices.fractions(fractions, labels)


def target_and_weights(
    labels: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    out: npt.NDArray[np.float32],
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    parameters: TargetParameters,
    weighing: WeightParameters,
    border: Border,
    threads: int,
) -> npt.NDArray[np.float32]:
    """Targets into `out`, weights as the result, counts in place; the labels are read once."""
    weights = np.empty(labels.shape, np.float32)
    given = None if mask is ones(mask.shape) else _native(mask)
    fractions, above_one = _extension().targets_and_weights(
        _plan(parameters),
        _bits(labels),
        _meaning(labels, parameters.ignore_label),
        out,
        None if given is None else _bits(given),
        mask.dtype.kind,
        weights,
        numerators,
        denominators,
        weighing.clip,
        border == "mask",
        threads,
    )
    if fractions:
        notices.fractions(fractions, labels)
    if above_one:
        notices.mask_above_one(mask, weighing.clip)
    return weights


def balanced_weights(
    labels: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    parameters: WeightParameters,
    threads: int,
) -> npt.NDArray[np.float32]:
    """Weights slab by slab; `numerators` and `denominators` (slabs, classes) grow in place."""
    weights = np.empty(labels.shape, np.float32)
    mask = _native(mask)
    above_one = _extension().class_weights(
        _bits(labels),
        _meaning(labels, parameters.ignore_label),
        _bits(mask),
        mask.dtype.kind,
        weights,
        numerators,
        denominators,
        parameters.num_classes,
        parameters.foreground,
        parameters.slab,
        parameters.clip,
        threads,
    )
    if above_one:
        notices.mask_above_one(mask, parameters.clip)
    return weights


def _extension() -> ModuleType:
    if _host is None:
        raise ImportError(why_not())
    return _host


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same memory as unsigned integers in native order: what a buffer can always say."""
    return array.view(f"u{array.dtype.itemsize}")


def _native(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Masks of foreign byte order are rare enough to be swapped once."""
    return mask if mask.dtype.isnative else mask.astype(mask.dtype.newbyteorder("="))


@functools.lru_cache(maxsize=64)
def _plan(parameters: TargetParameters, level: str = "auto", always_float: bool = False) -> Any:
    return _extension().Plan(
        parameters.voxel_size,
        parameters.scale or 0.0,
        _BACKGROUNDS[parameters.background],
        parameters.no_boundary == "saturate",
        parameters.fill,
        level,
        always_float,
    )


def _meaning(labels: npt.NDArray[Any], ignore_label: int | float | None) -> Any:
    return _meaning_of(labels.dtype, ignore_label)


@functools.lru_cache(maxsize=64)
def _meaning_of(dtype: np.dtype[Any], ignore_label: int | float | None) -> Any:
    native = dtype.newbyteorder("=")
    ignored = as_label(ignore_label, native)
    if ignored is not None and native.kind == "f":
        # NaN marks unannotated voxels anyway; −0.0 and 0.0 are one label.
        ignored = None if np.isnan(ignored) else native.type(ignored + native.type(0))
    bits = 0 if ignored is None else int(np.array(ignored, native).view(f"u{native.itemsize}"))
    return _extension().Meaning(native.kind, not dtype.isnative, ignored is not None, bits)
