"""The public functions: every keyword stated and explained once, and checked by `parameters`."""

from __future__ import annotations

import functools
from typing import Any

import torch

from . import arrays, dispatch, operators
from .counts import ClassCounts
from .labels.classes import ClassMap
from .parameters import CLIP, TargetParameters, Task, check_flag, check_scales, check_threads


def inner_distance(
    labels: Any,
    voxel_size: Any,
    *,
    scale: Any = None,
    background: str = "zero",
    no_boundary: str = "extent",
    ignore_label: int | float | None = None,
    fill: float = 0.0,
    classes: Any = None,
    engine: str = "auto",
    threads: int | None = None,
    out: Any = None,
) -> Any:
    """Exact signed distance of every voxel to the nearest object boundary, tanh-normalised.

    The distance runs from the centre of a voxel to the nearest site: the centre of a face between two
    annotated neighbours with different labels. It is positive where label ≠ 0.

    Parameters
    ----------
    labels : array of shape (..., z, y, x) or (..., y, x)
        NumPy, CuPy or torch, or an object with `__dlpack__`; bool, integers of any width and byte order,
        float16/32/64 or bfloat16, with any strides. The last `len(voxel_size)` axes are spatial, the axes
        before them hold independent volumes; where one of those is empty, so is the result. NaN marks unannotated
        voxels.
    voxel_size : 2 or 3 positive numbers
        In array-axis order, world units. Fractions are kept.
    scale : positive number or None, or one number per class
        The target is `tanh(±d / scale)`, world units; None leaves ±d in world units.
    background : {"zero", "signed", "times_label"}
        What a voxel of label 0 gets: 0; its negative distance; or 0, where the target is multiplied by the label as
        in DaCapo.
    no_boundary : {"extent", "saturate"}
        Distance in a volume without any site: half its shortest extent, or infinity.
    ignore_label : number or None
        This label marks unannotated voxels: they make no sites and receive `fill`. Compared after rounding to
        the type of float labels; a value that no integer label of that type can have is a ValueError.
    fill : number
        Target of unannotated voxels.
    classes : sequence of ids or of collections of ids, mapping from names to them, or None
        One channel per class, on a new axis in front of the spatial ones. A channel is, bit for bit, the target of the
        binary labels "label is in the class"; no such labels are made. An id, 0 too, may be in several classes, or in
        none. A class that does not occur is background. Whole numbers that labels of that type can have, and not
        `ignore_label`.
    engine : {"auto", "cuda", "cucim", "cpu", "reference"}
        "auto" lets the data choose: CUDA arrays run on "cuda", host arrays on the fastest host engine.
        A named engine is used or raises.
    threads : positive int or None
        Host threads; None follows torch (1 in a DataLoader worker). `reference` uses one.
    out : float32 array or None
        Receives the target: its shape, kind and device of the labels, no overlap with them.

    Returns
    -------
    float32 array
        Same kind and device as `labels`, and the same shape but for the axis of classes; `out` itself where given.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above, with the value, the shape and what is accepted.

    Warns
    -----
    LabelWarning
        Host labels with fractions, once per process.

    Notes
    -----
    Values are those of `InnerDistancePredictor` and `DistancePredictor` in DaCapo 0.3.5
    (https://github.com/janelia-cellmap/dacapo), float32 throughout; docs/differences.md lists the differences.

    Examples
    --------
    >>> import numpy as np
    >>> inner_distance(np.array([[0, 1, 1, 1]]), voxel_size=(4, 4)).tolist()
    [[0.0, 2.0, 6.0, 10.0]]
    >>> cells = np.array([[0, 3, 4, 4, 7, 7]])
    >>> inner_distance(cells, voxel_size=(4, 4), classes={"mito": (3, 4), "nucleus": 7}).tolist()
    [[[0.0, 2.0, 6.0, 2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0, 0.0, 2.0, 6.0]]]
    """
    if arrays.is_traced(labels):
        several = isinstance(scale, (list, tuple))
        if several and classes is None:
            check_scales(scale, None)  # raises
        asked = (
            voxel_size,
            None if several else scale,
            background,
            no_boundary,
            fill,
            *operators.wrapped(ignore_label),
        )
        each = (operators.classes_text(classes), None, scale if several else None)
        result = torch.ops.inner_distance_gpu.target(labels, *asked, engine, threads, *each)
        return result if out is None else out.copy_(result)
    task = _task(voxel_size, scale, classes, background, no_boundary, ignore_label, fill)
    assert task.target is not None
    array = dispatch.accept_volumes(labels, task.target.voxel_size)
    return dispatch.run(array, task, engine=engine, threads=check_threads(threads), out=out)[0]


def _task(voxel_size: Any, scale: Any, classes: Any, *rest: Any) -> Task:
    """The task of these keywords, which are not checked again where they are numbers and words seen before."""
    if classes is None and type(voxel_size) is tuple and _UNCHANGING.issuperset(map(type, (scale, *voxel_size))):
        try:
            return _known_task(voxel_size, scale, classes, *rest)
        except TypeError:  # a keyword that is wrong, or that has no hash
            pass
    return _checked_task(voxel_size, scale, classes, *rest)


def _checked_task(
    voxel_size: Any, scale: Any, classes: Any, background: Any, no_boundary: Any, ignore_label: Any, fill: Any
) -> Task:
    chosen = None if classes is None else ClassMap.checked(classes, ignore_label).ids
    scales = None if chosen is None else len(chosen)
    parameters = TargetParameters.checked(voxel_size, scale, background, no_boundary, ignore_label, fill, scales)
    return Task(parameters, classes=chosen)


_UNCHANGING = frozenset({int, float, type(None)})
_known_task = functools.lru_cache(maxsize=256, typed=True)(_checked_task)  # as a label, 2⁶⁰ is not the float 2.0⁶⁰


def balanced_weights(
    labels: Any,
    num_classes: int = 2,
    *,
    mask: Any = None,
    slab: Any = None,
    clip: tuple[float, float] = CLIP,
    counts: ClassCounts | None = None,
    ignore_label: int | float | None = None,
    validate: bool | None = None,
    engine: str = "auto",
    threads: int | None = None,
) -> tuple[Any, ClassCounts]:
    """Weights that give every class the same share of the loss, from class counts that are carried from call to call.

    Per slab the counts grow by (voxels of the class where mask ≠ 0, sum of the mask); the fraction of a
    class is `clip(numerator / denominator)`; a voxel weighs `mask / (num_classes × fraction)`.

    Parameters
    ----------
    labels : array of any shape
        Classes 0 … num_classes − 1, as in `inner_distance`. NaN marks unannotated voxels.
    num_classes : positive int
        How many classes there are, the background included.
    mask : array or None
        Finite, not negative; None is ones. Shape of the labels, but for leading axes (all but the last two)
        that are 1 or missing. On the labels' device.
    slab : one int per axis of the labels, or None
        Extents of blocks with counts of their own, in C order; −1 is the whole axis, the last block may be
        ragged. None is one slab, the whole array.
    clip : (low, high)
        Bounds of a class's fraction, 0 < low <= high <= 1. The default is (0.05, 0.95).
    counts : ClassCounts or None
        Counts so far, of shape (slabs, classes); None starts at 0 of 1. Not changed.
    ignore_label : number or None
        Voxels with this label weigh 0 and are not counted.
    validate : bool or None
        Whether to read the labels and the mask and raise for values out of range. None checks host
        arrays and does not read device arrays; True costs one synchronisation there. Labels out of
        range that nobody checked weigh 0 and are not counted.
    engine, threads
        As in `inner_distance`.

    Returns
    -------
    weights : float32 array
        Same shape, kind and device as `labels`.
    counts : ClassCounts
        New counts, this call included.

    Raises
    ------
    TypeError, ValueError
        Arguments that are not as above, with the value, the shape and what is accepted.

    Warns
    -----
    LabelWarning
        An integer mask with values above 1 on the host, or anywhere with `validate=True`; once per process.

    Notes
    -----
    The rule is that of `balance_weights` in DaCapo 0.3.5, with exact numerators and float64 denominators.

    Examples
    --------
    >>> import numpy as np
    >>> weights, counts = balanced_weights(np.array([[0, 0, 0, 1]]))
    >>> counts.to_dicts()
    [{0: (3, 5.0), 1: (1, 5.0)}]
    >>> weights.tolist()  # 1 / (2 × 3/5) and 1 / (2 × 1/5)
    [[0.8333333134651184, 0.8333333134651184, 0.8333333134651184, 2.5]]
    """
    if arrays.is_traced(labels):
        asked = (num_classes, slab, clip, *operators.wrapped(ignore_label), validate, engine, threads)
        return operators.weights_of(labels, mask, counts, *asked)
    array, weighing = dispatch.accept_classes(labels, num_classes, slab, clip, ignore_label)
    task = Task(weighing=weighing, validate=None if validate is None else check_flag("validate", validate))
    _, weight, after = dispatch.run(array, task, mask, counts, engine=engine, threads=check_threads(threads))
    assert after is not None  # the task weighs
    return weight, after
