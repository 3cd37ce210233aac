"""Engine `cpu`: the half-grid transform in C++ (`kernels/`), with SIMD and threads of its own.

Arrays go in by the buffer protocol with their own strides, alignment and byte order; nothing is copied. The
widest SIMD level that this processor runs is chosen at run time, and every level returns the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import counting, notices
from ..arrays import ones
from ..parameters import Border, TargetParameters, WeightParameters
from . import native


def why_not() -> str | None:
    """Runs where the extension module is installed."""
    return native.why_not()


def inner_distance(
    labels: npt.NDArray[Any], out: npt.NDArray[np.float32], parameters: TargetParameters, threads: int
) -> None:
    """Targets of every volume in the leading axes."""
    element = native.element_format(labels.dtype, parameters.ignore_label)
    fractions = native.extension().targets(_task(parameters), _bits(labels), element, out, threads)
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
    fractions, above_one = native.extension().targets_and_weights(
        _task(parameters),
        _bits(labels),
        native.element_format(labels.dtype, parameters.ignore_label),
        out,
        None if given is None else _bits(given),
        native.element_format(mask.dtype),
        weights,
        numerators,
        denominators,
        weighing.clip,
        border == "mask",
        threads,
    )
    try:
        if fractions:
            notices.fractions(fractions, labels)
        if above_one:
            notices.mask_above_one(mask, weighing.clip)
    except BaseException:  # warnings are errors
        _take_back(labels, mask, numerators, denominators, weighing, threads)
        raise
    return weights


def _take_back(
    labels: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    weighing: WeightParameters,
    threads: int,
) -> None:
    """Subtract what this call has counted: it raises. Other threads may have counted on since, so nothing is restored.

    Counting once more costs nothing where no warning is an error; a snapshot would cost every call.
    """
    counted = np.zeros_like(numerators), np.ones_like(denominators)
    _class_weights(labels, mask, *counted, weighing, threads)
    with counting.on_host:
        numerators -= counted[0]
        denominators -= counted[1] - 1


def balanced_weights(
    labels: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    parameters: WeightParameters,
    threads: int,
) -> npt.NDArray[np.float32]:
    """Weights slab by slab; `numerators` and `denominators` (slabs, classes) grow in place."""
    weights, above_one = _class_weights(labels, mask, numerators, denominators, parameters, threads)
    if above_one:
        notices.mask_above_one(mask, parameters.clip)
    return weights


def _class_weights(
    labels: npt.NDArray[Any],
    mask: npt.NDArray[Any],
    numerators: npt.NDArray[np.float64],
    denominators: npt.NDArray[np.float64],
    parameters: WeightParameters,
    threads: int,
) -> tuple[npt.NDArray[np.float32], bool]:
    """The weights, and whether an integer mask is above 1 somewhere."""
    weights = np.empty(labels.shape, np.float32)
    mask = _native(mask)
    above_one = native.extension().class_weights(
        _bits(labels),
        native.element_format(labels.dtype, parameters.ignore_label),
        _bits(mask),
        native.element_format(mask.dtype),
        weights,
        numerators,
        denominators,
        parameters.num_classes,
        parameters.foreground,
        parameters.slab,
        parameters.clip,
        threads,
    )
    return weights, bool(above_one)


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same memory as unsigned integers in native order: what a buffer can always say."""
    return array.view(f"u{array.dtype.itemsize}")


def _native(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Masks of foreign byte order are rare enough to be swapped once."""
    return mask if mask.dtype.isnative else mask.astype(mask.dtype.newbyteorder("="))


@functools.lru_cache(maxsize=64)
def _task(parameters: TargetParameters, level: str = "auto", always_float: bool = False) -> Any:
    return native.extension().CpuTask(native.task(parameters), level, always_float)
