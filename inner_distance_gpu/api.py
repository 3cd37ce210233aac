"""The functional API: every argument is checked once, an engine is chosen once, the caller's kind goes back."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from . import arrays, engines, traced
from .arrays import Array
from .counts import ClassCounts
from .engines import counting, notices
from .labels import annotated, check_classes, check_ignored
from .parameters import (
    Border,
    TargetParameters,
    WeightParameters,
    check_clip,
    check_count,
    check_flag,
    check_ignore_label,
    check_slab,
    check_threads,
    slab_grid,
)


def inner_distance(
    labels: Any,
    voxel_size: Any,
    *,
    scale: float | None = None,
    background: str = "zero",
    no_boundary: str = "extent",
    ignore_label: int | float | None = None,
    fill: float = 0.0,
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
    scale : positive number or None
        The target is `tanh(±d / scale)`, world units; None leaves ±d in world units.
    background : {"zero", "signed", "times_label"}
        0 where label = 0; the negative side kept; or the result times the label (DaCapo to the letter).
    no_boundary : {"extent", "saturate"}
        Distance in a volume without any site: half its shortest extent, or infinity.
    ignore_label : number or None
        This label marks unannotated voxels: they make no sites and receive `fill`. Compared after rounding to
        the type of float labels; a value that no integer label of that type can have is a ValueError.
    fill : number
        Target of unannotated voxels.
    engine : {"auto", "cuda", "cucim", "cpu", "reference"}
        "auto" lets the data choose: CUDA arrays run on "cuda", host arrays on the fastest host engine.
        A named engine is used or raises.
    threads : positive int or None
        Host threads; None follows torch (1 in a DataLoader worker). `reference` uses one.
    out : float32 array or None
        Receives the target: same shape, kind and device as the labels, no overlap with them.

    Returns
    -------
    float32 array
        Same shape, kind and device as `labels`; `out` itself where given.

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
    """
    if arrays.is_traced(labels):
        return traced.target(
            labels, voxel_size, scale, background, no_boundary, ignore_label, fill, engine, threads, out
        )
    parameters = TargetParameters.checked(voxel_size, scale, background, no_boundary, ignore_label, fill)
    array = accept_volumes(labels, parameters.voxel_size)
    destination = None if out is None else arrays.accept_out(out, array)
    return target(array, parameters, engine, check_threads(threads), out, destination)


def balanced_weights(
    labels: Any,
    num_classes: int = 2,
    *,
    mask: Any = None,
    slab: Any = None,
    clip: tuple[float, float] = (0.05, 0.95),
    counts: ClassCounts | None = None,
    ignore_label: int | float | None = None,
    validate: bool | None = None,
    engine: str = "auto",
    threads: int | None = None,
) -> tuple[Any, ClassCounts]:
    """Weights that give every class the same share of the loss, from class counts that move along.

    Per slab the counts grow by (voxels of the class where mask ≠ 0, sum of the mask); the fraction of a
    class is `clip(numerator / denominator)`; a voxel weighs `mask / (num_classes × fraction)`.

    Parameters
    ----------
    labels : array of any shape
        Classes 0 … num_classes − 1, as in `inner_distance`. NaN marks unannotated voxels.
    num_classes : positive int
    mask : array or None
        Finite, not negative; None is ones. Shape of the labels, but for leading axes (all but the last two)
        that are 1 or missing. On the labels' device.
    slab : one int per axis of the labels, or None
        Extents of blocks with counts of their own, in C order; −1 is the whole axis, the last block may be
        ragged. None is one slab, the whole array.
    clip : (low, high)
        0 < low <= high <= 1.
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
        return traced.weights(labels, mask, counts, num_classes, slab, clip, ignore_label, validate, engine, threads)
    array, parameters = accept_classes(labels, num_classes, slab, clip, ignore_label)
    return weights(array, mask, 2, parameters, counts, validate, engine, check_threads(threads))


def accept_volumes(labels: Any, voxel_size: tuple[float, ...]) -> Array:
    """Labels that hold volumes with `len(voxel_size)` spatial axes."""
    array = arrays.accept(labels, "labels")
    dims = len(voxel_size)
    if len(array.shape) < dims:
        raise ValueError(
            f"labels have shape {array.shape}: voxel_size={voxel_size} asks for {dims} spatial axes, "
            f"expected {'(..., z, y, x)' if dims == 3 else '(..., y, x)'}"
        )
    if 0 in array.shape[-dims:]:
        # DaCapo: an obscure error from SciPy; likewise for the rank above.
        raise ValueError(
            f"labels have shape {array.shape}: expected no empty axis among the last {dims}, which are spatial; "
            "only axes in front of them may be empty"
        )
    return array


def accept_classes(
    labels: Any, num_classes: Any, slab: Any, clip: Any, ignore_label: Any
) -> tuple[Array, WeightParameters]:
    """Labels that are classes, and how they are weighed."""
    array = arrays.accept(labels, "labels")
    if not array.shape or 0 in array.shape[-2:]:
        raise ValueError(
            f"labels have shape {array.shape}: expected at least one axis, and none that is empty among the last two"
        )
    return array, WeightParameters(
        num_classes=check_count("num_classes", num_classes),
        foreground=False,
        slab=check_slab(slab, array.shape),
        clip=check_clip(clip),
        ignore_label=check_ignore_label(ignore_label),
    )


def target(
    labels: Array,
    parameters: TargetParameters,
    engine: str,
    threads: int,
    out: Any = None,
    destination: Array | None = None,
) -> Any:
    """The target of accepted labels, into `out` (accepted as `destination`) or new memory."""
    name, runner, home = _choose(engine, labels)
    parameters = for_labels(parameters, labels)
    try:
        _look(labels, home, labels.on_host, parameters)
        values, in_place = home.destination(destination, labels.shape)
        try:
            if 0 not in labels.shape:
                runner.inner_distance(home.take(labels), values, parameters, threads)
        finally:
            home.settle()
        if destination is None:
            return home.give(values, labels)
        if not in_place:
            arrays.write_out(values, destination)
    except engines.MEMORY_ERRORS as error:
        raise engines.out_of_memory(error, name, labels.shape, labels.data.dtype) from error
    return out


def weights(
    labels: Array,
    mask: Any,
    spatial: int,
    parameters: WeightParameters,
    counts: ClassCounts | None,
    validate: bool | None,
    engine: str,
    threads: int,
) -> tuple[Any, ClassCounts]:
    """The weights of accepted labels. The last `spatial` axes of a mask do not broadcast."""
    name, runner, home = _choose(engine, labels)
    parameters = for_labels(parameters, labels)
    check = labels.on_host if validate is None else check_flag("validate", validate)
    given = accept_mask(mask, labels, spatial, check)
    before = _before(counts, labels, parameters)
    empty = 0 in labels.shape
    try:
        if check and not parameters.foreground and not empty:
            check_classes(arrays.to_host(labels), parameters.num_classes, parameters.ignore_label)
        _look(labels, home, check and not empty, parameters, given, parameters.clip)
        numerators, denominators = home.copies_of_counts(before)
        values, _ = home.destination(None, labels.shape if empty else ())
        try:
            if not empty:
                masked = home.take_mask(given, labels.shape)
                values = runner.balanced_weights(
                    home.take(labels), masked, numerators, denominators, parameters, threads
                )
        finally:
            home.settle()
        return home.give(values, labels), before.with_numbers(numerators, denominators, arrays.device_of(labels))
    except engines.MEMORY_ERRORS as error:
        raise engines.out_of_memory(error, name, labels.shape, labels.data.dtype) from error


def target_and_weights(
    labels: Array,
    mask: Any,
    parameters: TargetParameters,
    weighing: WeightParameters,
    counts: ClassCounts | None,
    border: Border,
    engine: str,
    threads: int,
    in_place: bool = False,
) -> tuple[Any, Any, ClassCounts]:
    """Target, weight of two classes and counts of accepted labels, from one pass over them.

    With `in_place` the counts may grow where they are, and then are what is returned.
    """
    name, runner, home = _choose(engine, labels)
    parameters, weighing = for_labels(parameters, labels), for_labels(weighing, labels)
    given = accept_mask(mask, labels, len(parameters.voxel_size), labels.on_host)
    before = _before(counts, labels, weighing)
    in_place = counts is None or in_place

    def run(numerators: Any, denominators: Any) -> Any:
        if 0 in labels.shape:  # nothing to weigh or to count
            return home.destination(None, labels.shape)[0]
        return runner.target_and_weights(
            home.take(labels),
            home.take_mask(given, labels.shape),
            values,
            numerators,
            denominators,
            parameters,
            weighing,
            border,
            threads,
        )

    try:
        _look(labels, home, labels.on_host, parameters, given, weighing.clip)
        values, _ = home.destination(None, labels.shape)
        own = home.counts_of_their_own(before) if in_place and before.is_on_host == labels.on_host else None
        try:
            if own is not None and before.is_on_host:
                weight, after = run(*own), before  # the engine locks where it counts
            elif own is not None:
                with counting.on_device(), before.in_order_of_streams():
                    weight, after = run(*own), before
            else:
                with counting.on_device() if in_place else contextlib.nullcontext():
                    numbers = home.copies_of_counts(before)
                    weight = run(*numbers)
                    after = before.with_numbers(*numbers, arrays.device_of(labels))
                    if in_place:
                        before.take(after)
                        after = before
        finally:
            home.settle()
        return home.give(values, labels), home.give(weight, labels), after
    except engines.MEMORY_ERRORS as error:
        raise engines.out_of_memory(error, name, labels.shape, labels.data.dtype) from error


Parameters = TypeVar("Parameters", TargetParameters, WeightParameters)
Home = arrays.HostHome | arrays.DeviceHome


def for_labels(parameters: Parameters, labels: Array) -> Parameters:
    """The same with `ignore_label` as these labels have it. Raises ValueError where their type has no such value."""
    given = parameters.ignore_label
    if given is None:
        return parameters
    ignored = check_ignored(given, labels.data.dtype)
    return parameters if ignored == given else replace(parameters, ignore_label=ignored)


def _choose(engine: str, labels: Array) -> tuple[str, engines.Engine, Home]:
    """The engine for these labels, and where it works."""
    name, runner = engines.choose(engine, labels.on_host, labels.shape)
    return name, runner, arrays.DeviceHome(labels) if engines.on_device(name) else arrays.HostHome()


def _look(
    labels: Array,
    home: Home,
    check: bool,
    parameters: TargetParameters | WeightParameters,
    mask: Array | None = None,
    clip: tuple[float, float] = (0, 1),
) -> None:
    """Warn of values that are probably meant otherwise. Host engines look themselves, while they read."""
    if not check or isinstance(home, arrays.HostHome):
        return
    values = arrays.to_host(labels)
    there = annotated(values, parameters.ignore_label)
    notices.look_for_fractions(values, there)
    if mask is not None:
        notices.look_at_mask(arrays.to_host(mask), there, clip)


def accept_mask(mask: Any, labels: Array, spatial: int, check: bool) -> Array | None:
    if mask is None:
        return None
    array = arrays.accept(mask, "mask")
    # DaCapo: any shape that NumPy broadcasts, along z too.
    leading = max(len(labels.shape) - spatial, 0)
    missing = len(labels.shape) - len(array.shape)
    fits = 0 <= missing <= leading and all(
        m == n or (m == 1 and axis < leading)
        for axis, (m, n) in enumerate(zip(array.shape, labels.shape[max(missing, 0) :], strict=False), start=missing)
    )
    if not fits:
        raise ValueError(
            f"mask has shape {array.shape}, the labels have {labels.shape}: expected the same shape, "
            f"but for the first {leading} axes, which may be 1 or missing"
        )
    if array.device != labels.device:
        raise ValueError(f"mask is on {array.device}, the labels are on {labels.device}: expected the same device")
    if check:
        _check_mask(arrays.to_host(array))
    return array


def _check_mask(values: npt.NDArray[Any]) -> None:
    if values.dtype.kind not in "if":
        return
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0) & np.isfinite(values))
    if wrong.any():
        raise ValueError(f"mask of shape {values.shape} holds {values[wrong][0].item()!r}: expected finite values >= 0")


def check_counts(counts: ClassCounts | None, labels: Array, parameters: WeightParameters) -> tuple[int, int]:
    """The shape (slabs, classes) of the counts of these labels; raises where given counts have another."""
    shape = (math.prod(slab_grid(parameters.slab, labels.shape)), parameters.num_classes)
    if counts is None:
        return shape
    if not isinstance(counts, ClassCounts):
        raise TypeError(f"counts={counts!r}: expected ClassCounts (ClassCounts.from_dicts takes DaCapo's list) or None")
    if counts.shape != shape:
        raise ValueError(
            f"counts have shape {counts.shape}: expected (slabs, classes) = {shape} for labels of shape {labels.shape}"
        )
    return shape


def _before(counts: ClassCounts | None, labels: Array, parameters: WeightParameters) -> ClassCounts:
    shape = check_counts(counts, labels, parameters)
    if counts is None:
        return ClassCounts.start(*shape, device=arrays.device_of(labels))
    if not counts.is_on_host and counts.device.type == "cuda":
        arrays.require_cuda(f"counts on {counts.device}")
    return counts
