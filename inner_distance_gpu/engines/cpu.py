"""Engine `cpu`: the half-grid transform in C++ (`kernels/`), with SIMD and threads of its own.

Arrays go in by the buffer protocol with their own strides, alignment and byte order; nothing is copied. The
widest SIMD level that this processor runs is chosen at run time, and every level returns the same bits.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import numpy.typing as npt

from ..parameters import TargetParameters, Task
from . import Arrays, native, notices

_ONES = np.dtype(np.uint8)  # of the mask where none is given


def why_not() -> str | None:
    """Runs where the extension module is installed."""
    return native.why_not()


def run(task: Task, arrays: Arrays, threads: int) -> None:
    """Targets of every volume in the leading axes, weights, or both; the labels are read once."""
    labels, mask, target, weight, _ = arrays
    element = native.element_format(labels.dtype, task.ignore_label)
    if task.weighing is None:
        fractions, above_one = (
            native.extension().targets(_task(task.target), _bits(labels), element, target, threads),
            0,
        )
    else:
        numerators, denominators = arrays.counts or (None, None)
        given = None if mask is None else _native(mask)
        of_mask = native.element_format(_ONES if given is None else given.dtype)
        if task.target is None:
            fractions, above_one = (
                0,
                native.extension().class_weights(
                    _bits(labels),
                    element,
                    np.broadcast_to(np.uint8(1), labels.shape) if given is None else _bits(given),
                    of_mask,
                    weight,
                    numerators,
                    denominators,
                    task.weighing.num_classes,
                    task.weighing.foreground,
                    task.weighing.slab,
                    task.weighing.clip,
                    threads,
                ),
            )
        else:
            fractions, above_one = native.extension().targets_and_weights(
                _task(task.target),
                _bits(labels),
                element,
                target,
                None if given is None else _bits(given),
                of_mask,
                weight,
                numerators,
                denominators,
                task.weighing.clip,
                task.border == "mask",
                threads,
            )
        if above_one:
            notices.mask_above_one(mask, task.weighing.clip)
    if fractions:
        notices.fractions(fractions, labels)


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same memory as unsigned integers in native order: what a buffer can always say."""
    return array.view(f"u{array.dtype.itemsize}")


def _native(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Masks of foreign byte order are rare enough to be swapped once."""
    return mask if mask.dtype.isnative else mask.astype(mask.dtype.newbyteorder("="))


@functools.lru_cache(maxsize=64)
def _task(parameters: TargetParameters | None, level: str = "auto", always_float: bool = False) -> Any:
    return native.extension().CpuTask(native.task(parameters), level, always_float)
