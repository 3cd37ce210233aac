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
from . import Arrays, counting, native, notices

_ONES = np.dtype(np.uint8)  # of the mask where none is given


def why_not() -> str | None:
    """Runs where the extension module is installed."""
    return native.why_not() if native.module is None else None


def run(task: Task, arrays: Arrays, threads: int) -> None:
    """Targets of every volume in the leading axes, weights, or both; the labels are read once."""
    labels, mask, target, weight, counts = arrays
    fractions = above_one = 0
    if task.weighing is None:
        element = native.element_format(labels.dtype, task.ignore_label)
        fractions = native.module.targets(
            _task(task.target), _labels(task, labels), element, target, threads, _classes(task, labels)
        )
    elif task.target is None:
        above_one = _class_weights(task, arrays, threads)
    else:
        fractions, above_one = native.module.targets_and_weights(
            _task(task.target),
            _labels(task, labels),
            native.element_format(labels.dtype, task.ignore_label),
            target,
            *_of_mask(mask),
            weight,
            *(counts or (None, None)),
            task.weighing.clip,
            task.border == "mask",
            threads,
            _classes(task, labels),
        )
    try:
        if fractions:
            notices.fractions(fractions, labels)
        if above_one and task.weighing is not None:
            notices.mask_above_one(mask, task.weighing.clip)
    except BaseException:  # warnings are errors
        if counts is not None:
            _take_back(task, arrays, threads)
        raise


def _class_weights(task: Task, arrays: Arrays, threads: int) -> int:
    """Weights of slabs of any shape and any number of classes; whether an integer mask is above 1 somewhere."""
    labels, mask, _, weight, counts = arrays
    assert task.weighing is not None
    return int(
        native.module.class_weights(
            _labels(task, labels),
            native.element_format(labels.dtype, task.ignore_label),
            *_of_mask(np.broadcast_to(np.uint8(1), weight.shape) if mask is None else mask),
            weight,
            *(counts or (None, None)),
            task.weighing.num_classes,
            task.weighing.foreground,
            task.weighing.slab,
            task.weighing.clip,
            threads,
            _classes(task, labels),
        )
    )


def _take_back(task: Task, arrays: Arrays, threads: int) -> None:
    """Subtract what this call has counted: it raises. Other threads may have counted on since, so nothing is restored.

    Counting once more costs nothing where no warning is an error; a snapshot would cost every call.
    """
    numerators, denominators = arrays.counts or (None, None)
    counted = np.zeros_like(numerators), np.ones_like(denominators)
    _class_weights(task, arrays._replace(counts=counted), threads)
    with counting.on_host:
        numerators -= counted[0]
        denominators -= counted[1] - 1


def _labels(task: Task, labels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The memory of labels; with an axis of classes, along which it does not change."""
    if task.classes is None:
        return _bits(labels)
    return np.broadcast_to(np.expand_dims(_bits(labels), -task.dims - 1), task.shape_of(labels.shape))


def _classes(task: Task, labels: npt.NDArray[Any]) -> Any:
    return None if task.classes is None else native.class_map(labels.dtype, task.classes)


def _bits(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The same memory as unsigned integers in native order: what a buffer can always say."""
    return array.view(f"u{array.dtype.itemsize}")


def _of_mask(mask: npt.NDArray[Any] | None) -> tuple[npt.NDArray[Any] | None, Any]:
    """The memory of a mask, None for ones, and how its bytes are read."""
    given = None if mask is None else _native(mask)
    return (
        None if given is None else _bits(given),
        native.element_format(_ONES if given is None else given.dtype),
    )


def _native(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Masks of foreign byte order are rare enough to be swapped once."""
    return mask if mask.dtype.isnative else mask.astype(mask.dtype.newbyteorder("="))


@functools.lru_cache(maxsize=64)
def _task(parameters: TargetParameters | None, level: str = "auto", always_float: bool = False) -> Any:
    return native.module.CpuTask(native.task(parameters), level, always_float)
