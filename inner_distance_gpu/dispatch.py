"""From a caller's arrays to an engine and back: accept them, choose an engine once, run one task there.

Every call ends here: the functions, the transform, the predictors and the operators differ in the task they state.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from . import arrays, engines
from .arrays import Array
from .counts import ClassCounts
from .engines import counting, groups, notices
from .engines.memory import HOST, DeviceMemory, Memory
from .engines.slabs import check_slab, slab_grid
from .labels import check_classes, check_ignored, is_annotated
from .labels.classes import check_class_ids
from .parameters import Task, WeightParameters, check_clip, check_count, check_ignore_label


def accept_volumes(labels: Any, voxel_size: tuple[float, ...]) -> Array:
    """Labels that hold volumes with `len(voxel_size)` spatial axes."""
    array = arrays.accept(labels, "labels")
    dims = len(voxel_size)
    if len(array.shape) < dims:
        raise ValueError(
            f"labels have shape {array.shape}: voxel_size={voxel_size} asks for {dims} spatial axes, "
            f"expected {'(..., z, y, x)' if dims == 3 else '(..., y, x)'}"
        )
    if 0 in array.shape and 0 in array.shape[-dims:]:
        # DaCapo: an obscure error from SciPy; likewise for the rank above.
        raise ValueError(
            f"labels have shape {array.shape}: expected no empty axis among the last {dims}, which are spatial; "
            "only axes in front of them may be empty"
        )
    return array


def accept_class_volumes(labels: Any, voxel_size: tuple[float, ...]) -> Array:
    """The same for a channel per class, which takes the place of an axis of one behind the batch."""
    return arrays.without_axis(accept_volumes(labels, voxel_size), len(voxel_size))


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


def run(
    labels: Array,
    task: Task,
    mask: Any = None,
    counts: ClassCounts | None = None,
    *,
    engine: str,
    threads: int,
    out: Any = None,
    in_place: bool = False,
) -> tuple[Any, Any, ClassCounts | None]:
    """What `task` asks of accepted labels, in one pass over them: target, weight and counts, None for the rest.

    A target goes into `out` where that is given. With `in_place` the counts may grow where they are, and then are what
    is returned; otherwise the counts that come in do not change.
    """
    shape = labels.shape if task.classes is None else task.shape_of(labels.shape)
    destination = None if out is None else arrays.accept_out(out, labels, shape)
    name, runner = engines.choose(engine, labels.on_host, labels.shape)
    memory: Memory = DeviceMemory(labels) if name in engines.ON_DEVICE else HOST
    if task.ignore_label is not None or task.classes is not None:
        task = for_labels(task, labels)
    check = labels.on_host if task.validate is None else task.validate
    parameters, weighing, start = task.target, task.weighing, runner.run
    if parameters is not None and (parameters.samples or parameters.scales) is not None:
        groups.check(task, labels.shape, shape)
        start = functools.partial(groups.run, runner)
    given = before = None
    if weighing is not None:
        given = None if mask is None else accept_mask(mask, labels, weighing.spatial, check, task.classes)
        before = _before(counts, labels, shape, weighing)
        in_place |= counts is None
    try:
        in_out = None if destination is None else memory.destination(destination)
        target: Any = memory.empty(shape) if parameters is not None and in_out is None else in_out
        weight: Any = None if weighing is None else memory.empty(shape)
        after = before
        if 0 not in labels.shape:
            try:
                there: Any = memory.to_engine(labels)
                of_classes = weighing is not None and not weighing.foreground
                if check and (of_classes or (memory is not HOST and (given is not None or there.is_floating_point()))):
                    _look(labels, given, task, memory)
                of_mask = None if given is None else memory.mask_to_engine(given, shape)
                own = None if before is None or not in_place else _shared(before, labels, memory)
                call = engines.Arrays(there, of_mask, target, weight, own)
                if before is None or (own is not None and labels.on_host):  # the engine locks where it counts
                    start(task, call, threads)
                else:
                    work = functools.partial(start, task, threads=threads)
                    after = _count(work, call, before, labels, memory, in_place)
            finally:
                if isinstance(memory, DeviceMemory):
                    memory.settle()
        elif before is not None and not in_place:
            after = before.with_numbers(*_copied(before, memory), arrays.device_of(labels))
        if destination is not None and in_out is None:
            memory.to_out(target, destination)
        elif destination is None and target is not None:
            out = memory.to_caller(target, labels)
        return out, None if weight is None else memory.to_caller(weight, labels), after
    except engines.MEMORY_ERRORS as error:
        raise engines.out_of_memory(error, name, labels.shape, shape, labels.data.dtype) from error


def _count(
    work: Callable[[engines.Arrays], None],
    call: engines.Arrays,
    before: ClassCounts,
    labels: Array,
    memory: Memory,
    in_place: bool,
) -> ClassCounts:
    """Do the work of a call where numbers on a device grow or copies do, and return the counts afterwards."""
    if call.counts is not None:
        with counting.on_device(), before.in_order_of_streams():
            work(call)
            return before
    with counting.on_device() if in_place else contextlib.nullcontext():
        numbers = _copied(before, memory)
        work(call._replace(counts=numbers))
        after = before.with_numbers(*numbers, arrays.device_of(labels))
        if not in_place:
            return after
        before.take(after)
        return before


def _shared(counts: ClassCounts, labels: Array, memory: Memory) -> tuple[Any, Any] | None:
    """The numbers themselves, in C order, where they lie with the labels and an engine can add to them; else None."""
    if memory is HOST:  # its engines add under a lock of their own
        views = counts.host_views() if labels.on_host else None
        return views if views is not None and views[0].flags.c_contiguous and views[1].flags.c_contiguous else None
    up, down = counts.numerators, counts.denominators
    in_order = up.is_contiguous() and down.is_contiguous() and not (up.is_neg() or down.is_neg())
    return (up, down) if in_order and up.device == memory.device and up.is_cpu == labels.on_host else None


def _copied(counts: ClassCounts, memory: Memory) -> tuple[Any, Any]:
    """Copies of the numbers, in C order, for an engine to add to."""
    if memory.device is not None:
        own = (n.resolve_neg() for n in (counts.numerators, counts.denominators))
        dense = torch.contiguous_format
        numerators, denominators = (n.to(memory.device, copy=True, memory_format=dense) for n in own)
        return numerators, denominators
    views = counts.host_views()
    if views is None:
        return counts.numerators.cpu().numpy(), counts.denominators.cpu().numpy()
    with counting.on_host:
        return views[0].copy(), views[1].copy()


def for_labels(task: Task, labels: Array) -> Task:
    """The same with `ignore_label` as these labels have it.

    Raises
    ------
    ValueError
        Their type has no such value, or not the id of a class; or a class holds the ignored one.
    """
    given = task.ignore_label
    ignored = None if given is None else check_ignored(given, labels.data.dtype)
    if task.classes is not None:
        check_class_ids(task.classes, labels.data.dtype, ignored)
    return task if ignored == given else task.ignoring(ignored)


def _look(labels: Array, mask: Array | None, task: Task, memory: Memory) -> None:
    """Raise for values that are no classes; warn of such as are probably meant otherwise."""
    weighing, values = task.weighing, arrays.to_host(labels)  # once: it may be a copy from a device
    if weighing is not None and not weighing.foreground:
        check_classes(values, weighing.num_classes, weighing.ignore_label)
    if memory is HOST:  # its engines warn themselves, while they read
        return
    sums = None if mask is None else arrays.to_host(mask)
    if values.dtype.kind != "f" and (sums is None or sums.dtype.kind not in "iu"):
        return
    there = is_annotated(values, task.ignore_label)
    notices.look_for_fractions(values, there)
    if task.classes is not None:
        there = np.expand_dims(there, -task.dims - 1)
    if sums is not None and weighing is not None:
        notices.look_at_mask(sums, there, weighing.clip)


def accept_mask(
    mask: Any, labels: Array, spatial: int, check: bool, classes: tuple[tuple[int, ...], ...] | None = None
) -> Array | None:
    """A mask that broadcasts to the labels; with classes, one with an axis more than the labels has theirs."""
    if mask is None:
        return None
    array = arrays.accept(mask, "mask")
    # DaCapo: any shape that NumPy broadcasts, along z too.
    leading = max(len(labels.shape) - spatial, 0)
    shape = labels.shape
    has_classes = classes is not None and len(array.shape) == len(shape) + 1
    if classes is not None and has_classes:
        shape = (*shape[:leading], len(classes), *shape[leading:])
        leading += 1
    missing = len(shape) - len(array.shape)
    fits = array.shape == shape or (
        0 <= missing <= leading
        and all(
            m == n or (m == 1 and axis < leading)
            for axis, (m, n) in enumerate(zip(array.shape, shape[max(missing, 0) :], strict=False), start=missing)
        )
    )
    if not fits:
        with_axis = "" if classes is None else f", with or without an axis of {len(classes)} classes behind them"
        raise ValueError(
            f"mask has shape {array.shape}, the labels have {labels.shape}: expected the same shape, "
            f"but for the first {max(len(labels.shape) - spatial, 0)} axes, which may be 1 or missing{with_axis}"
        )
    if array.device != labels.device:
        raise ValueError(f"mask is on {array.device}, the labels are on {labels.device}: expected the same device")
    if check:
        _check_mask(arrays.to_host(array))
    return arrays.with_axis(array, spatial) if classes is not None and not has_classes else array


def _check_mask(values: npt.NDArray[Any]) -> None:
    if values.dtype.kind not in "if":
        return
    with np.errstate(invalid="ignore"):
        wrong = ~((values >= 0) & np.isfinite(values))
    if wrong.any():
        raise ValueError(f"mask of shape {values.shape} holds {values[wrong][0].item()!r}: expected finite values >= 0")


def shape_of_counts(labels: tuple[int, ...], parameters: WeightParameters) -> tuple[int, int]:
    """(slabs, classes) for labels of that shape."""
    return math.prod(slab_grid(parameters.slab, labels)), parameters.num_classes


_shape_of_counts = functools.lru_cache(maxsize=256)(shape_of_counts)  # where no extent is symbolic


def check_counts(counts: ClassCounts | None, labels: Array, shape: tuple[int, int]) -> None:
    """Raise where the counts of these labels have another shape (slabs, classes)."""
    if counts is None:
        return
    if not isinstance(counts, ClassCounts):
        raise TypeError(f"counts={counts!r}: expected ClassCounts (ClassCounts.from_dicts takes DaCapo's list) or None")
    if counts.numerators.shape != shape:
        raise ValueError(
            f"counts have shape {counts.shape}: expected (slabs, classes) = {shape} for labels of shape {labels.shape}"
        )


def _before(
    counts: ClassCounts | None, labels: Array, shape: tuple[int, ...], parameters: WeightParameters
) -> ClassCounts:
    of_counts = _shape_of_counts(shape, parameters)
    if counts is None:
        return ClassCounts.start(*of_counts, device=arrays.device_of(labels))
    check_counts(counts, labels, of_counts)
    if not counts.numerators.is_cpu and counts.device.type == "cuda":
        arrays.require_cuda(f"counts on {counts.device}")
    return counts
