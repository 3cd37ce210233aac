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


def why_not() -> str | None:
    """Runs where the extension module is installed."""
    return native.why_not() if native.module is None else None


def run(task: Task, arrays: Arrays, threads: int) -> None:
    """Targets of every volume in the leading axes, weights, or both; the labels are read once."""
    labels, mask, target, weight, counts = arrays
    fractions = above_one = 0
    if task.target is None:
        above_one = _class_weights(task, arrays, threads)
    else:
        asked, element = _task(task.target), native.element_format(labels.dtype, task.ignore_label)
        read, classes = (labels, None) if task.classes is None else _in_classes(task, labels)
        if task.weighing is None:
            fractions = native.module.targets(asked, read, element, target, threads, classes)
        else:
            fractions, above_one = native.module.targets_and_weights(
                asked,
                read,
                element,
                target,
                *((None, element) if mask is None else _of_mask(mask)),
                weight,
                *(counts or (None, None)),
                task.weighing.clip,
                task.border == "mask",
                threads,
                classes,
            )
    if not (fractions or above_one):
        return
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
    read, classes = (labels, None) if task.classes is None else _in_classes(task, labels)
    return int(
        native.module.class_weights(
            read,
            native.element_format(labels.dtype, task.ignore_label),
            *_of_mask(np.broadcast_to(np.uint8(1), weight.shape) if mask is None else mask),
            weight,
            *(counts or (None, None)),
            task.weighing.num_classes,
            task.weighing.foreground,
            task.weighing.slab,
            task.weighing.clip,
            threads,
            classes,
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


def _in_classes(task: Task, labels: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Any]:
    """The labels with an axis of classes, along which their memory does not change, and the map of classes."""
    assert task.classes is not None
    read = np.broadcast_to(np.expand_dims(labels, -task.dims - 1), task.shape_of(labels.shape))
    return read, native.class_map(labels.dtype, task.classes)


def _of_mask(mask: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], Any]:
    """The memory of a mask, and how its bytes are read."""
    given = _native(mask)
    return given, native.element_format(given.dtype)


def _native(mask: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Masks of foreign byte order are rare enough to be swapped once."""
    return mask if mask.dtype.isnative else mask.astype(mask.dtype.newbyteorder("="))


@functools.lru_cache(maxsize=64)
def _task(parameters: TargetParameters | None, level: str = "auto", always_float: bool = False) -> Any:
    return native.module.CpuTask(native.task(parameters), level, always_float)
