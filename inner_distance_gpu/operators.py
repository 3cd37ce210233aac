"""The torch operators behind calls that are traced: what `torch.compile` and `torch.export` put into a graph.

Three functional operators in the namespace `inner_distance_gpu`, for every engine: `target`, `target_and_weights`
and `weights`. They change none of their arguments; new counts are results. The fake implementations check shapes,
kinds and keywords while a graph is made; values (masks, classes) are checked when it runs, as in eager calls.

Eager calls do not come here: the public functions take this way where `arrays.is_traced` says so. torch.compile reads
`wrapped` and `weights_of`: nothing but plain arguments, tensors and the operators may occur in them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from . import arrays, dispatch, engines
from .counts import ClassCounts
from .engines import notices
from .labels import Classes
from .labels.classes import ClassMap
from .parameters import (
    TargetParameters,
    Task,
    WeightParameters,
    check_choice,
    check_clip,
    check_count,
    check_scales,
    check_threads,
    check_voxel_size,
)

Tensor = torch.Tensor

# No number of a schema holds both int64 and uint64: `wraps` says that 2⁶⁴ was taken from an ignored label.
_IGNORED = "Scalar? ignore_label, bool wraps"
_TARGET = f"float[] voxel_size, float? scale, str background, str no_boundary, float fill, {_IGNORED}"
_COUNTED = "Tensor? mask, Tensor? numerators, Tensor? denominators"
_RUN = "str engine, int? threads"
# What an earlier version did not have comes last, with a default: programs that it exported still load.
_SEVERAL = "str? classes=None, Tensor? samples=None, float[]? scales=None"
SCHEMAS = {
    "target": f"(Tensor labels, {_TARGET}, {_RUN}, {_SEVERAL}) -> Tensor",
    "target_and_weights": (
        f"(Tensor labels, {_COUNTED}, {_TARGET}, int channels, float[] clip, str border, {_RUN}, {_SEVERAL}) "
        "-> (Tensor, Tensor, Tensor, Tensor)"
    ),
    "weights": (
        f"(Tensor labels, {_COUNTED}, int num_classes, SymInt[]? slab, float[] clip, {_IGNORED}, "
        f"bool? validate, {_RUN}) -> (Tensor, Tensor, Tensor)"
    ),
}


def wrapped(ignore_label: Any) -> tuple[Any, bool]:
    """An ignored label as operators take it: an integer that int64 does not hold is wrapped round, and said to be."""
    wraps = isinstance(ignore_label, int) and ignore_label >= 2**63
    return (ignore_label - 2**64 if wraps else ignore_label), wraps


def classes_text(classes: Any) -> str | None:
    """Classes as operators take them: 3+4,7 stands for [(3, 4), 7]."""
    if classes is None:
        return None
    words = []
    for chosen in classes.values() if isinstance(classes, dict) else classes:
        ids = [chosen] if isinstance(chosen, int) else list(chosen)
        words.append("+".join([str(value) for value in ids]))
    return ",".join(words)


@functools.lru_cache(maxsize=256)
def _classes(text: str | None) -> Classes | None:
    if text is None:
        return None
    try:
        ids = [[int(value) for value in part.split("+")] if part else [] for part in text.split(",")]
    except ValueError:
        raise ValueError(f"classes={text!r}: expected whole numbers, such as '3+4,7' for [(3, 4), 7]") from None
    return ClassMap.checked(ids if text else []).ids


def _at_each(
    parameters: TargetParameters,
    labels: Tensor,
    classes: Classes | None,
    samples: Tensor | None,
    scales: list[float] | None,
) -> TargetParameters:
    """The parameters with voxel sizes per sample, and with a scale per class or per channel in front of space."""
    if scales is not None:
        leading = labels.shape[: max(labels.ndim - len(parameters.voxel_size), 0)]
        channels = leading[-1:] if classes is None else (len(classes),)
        largest, several = check_scales(list(map(_concrete, scales)), *channels or (None,))
        parameters = replace(parameters, scale=largest, scales=several)
    if samples is None:
        return parameters
    if samples.device.type != "cpu":
        raise TypeError(f"samples are on {samples.device}: expected numbers on the host")
    if samples.ndim != 2 or len(samples) != labels.shape[0]:
        raise ValueError(
            f"samples have shape {tuple(samples.shape)} for labels of shape {tuple(labels.shape)}: expected a voxel "
            "size per sample of the first axis"
        )
    return parameters.at_each([check_voxel_size(row) for row in samples.tolist()])


def _filled(rest: tuple[Any, ...], count: int) -> tuple[Any, ...]:
    """`count` arguments of an operator: torch leaves out those in the end that have their default."""
    return (*rest, *(None,) * (count - len(rest)))


def weights_of(labels: Tensor, mask: Any, counts: ClassCounts | None, *asked: Any) -> tuple[Tensor, ClassCounts]:
    """What `balanced_weights` returns while a graph is made; `asked` as in the operator's schema."""
    before = (None, None) if counts is None else (counts.numerators, counts.denominators)
    weight, numerators, denominators = torch.ops.inner_distance_gpu.weights(labels, mask, *before, *asked)
    return weight, ClassCounts.around(numerators, denominators, counts)


def _target(labels: Tensor, voxel_size: Any, *rest: Any) -> Tensor:
    *named, engine, threads, classes, samples, scales = _filled(rest, 11)
    parameters, chosen = _parameters(tuple(voxel_size), *named), _classes(classes)
    array = dispatch.accept_volumes(labels, parameters.voxel_size)
    task = Task(_at_each(parameters, labels, chosen, samples, scales), classes=chosen)
    with notices.unsaid():
        result: Tensor = dispatch.run(array, task, engine=engine, threads=check_threads(threads))[0]
    return result


def _fake_target(labels: Tensor, voxel_size: Any, *rest: Any) -> Tensor:
    *named, engine, threads, classes, _, scales = map(_concrete, _filled(rest, 11))
    parameters, chosen = _parameters(tuple(map(_concrete, voxel_size)), *named), _classes(classes)
    array = dispatch.accept_volumes(labels, parameters.voxel_size)
    task = Task(_at_each(parameters, labels, chosen, None, scales), classes=chosen)
    dispatch.for_labels(task, array)
    _check_run(array, engine, threads)
    return _float32(labels, task)


def _target_and_weights(
    labels: Tensor,
    mask: Tensor | None,
    numerators: Tensor | None,
    denominators: Tensor | None,
    voxel_size: Any,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *named, channels, clip, border, engine, threads, classes, samples, scales = _filled(rest, 14)
    parameters, chosen = _parameters(tuple(voxel_size), *named), _classes(classes)
    parameters = _at_each(parameters, labels, chosen, samples, scales)
    array, task = _per_channel(labels, parameters, channels, clip, border, chosen)
    before = _counts(numerators, denominators)
    with notices.unsaid():
        target, weight, after = dispatch.run(array, task, mask, before, engine=engine, threads=check_threads(threads))
    return target, weight, *_numbers(after)


def _fake_target_and_weights(
    labels: Tensor,
    mask: Tensor | None,
    numerators: Tensor | None,
    denominators: Tensor | None,
    voxel_size: Any,
    *rest: Any,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    *named, channels, clip, border, engine, threads, classes, _, scales = map(_concrete, _filled(rest, 14))
    parameters, chosen = _parameters(tuple(map(_concrete, voxel_size)), *named), _classes(classes)
    parameters = _at_each(parameters, labels, chosen, None, scales)
    array, task = _per_channel(labels, parameters, channels, clip, border, chosen)
    assert task.weighing is not None
    dispatch.for_labels(task, array)
    check_choice("border", border, ("keep", "mask"))
    _check_run(array, engine, threads)
    dispatch.accept_mask(mask, array, len(voxel_size), False, task.classes)
    shape = dispatch.shape_of_counts(task.shape_of(array.shape), task.weighing)
    dispatch.check_counts(_counts(numerators, denominators), array, shape)
    made = (_float32(labels, task) for _ in range(2))
    return *made, _float64(labels, channels, 2), _float64(labels, channels, 2)  # type: ignore[return-value]


def _weights(
    labels: Tensor, mask: Tensor | None, numerators: Tensor | None, denominators: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    num_classes, slab, clip, ignore_label, wraps, validate, engine, threads = rest
    array, parameters = dispatch.accept_classes(labels, num_classes, slab, clip, _unwrapped(ignore_label, wraps))
    before = _counts(numerators, denominators)
    with contextlib.nullcontext() if validate else notices.unsaid():
        task = Task(weighing=parameters, validate=validate)
        _, weight, after = dispatch.run(array, task, mask, before, engine=engine, threads=check_threads(threads))
    return weight, *_numbers(after)


def _fake_weights(
    labels: Tensor, mask: Tensor | None, numerators: Tensor | None, denominators: Tensor | None, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    num_classes, slab, clip, ignore_label, wraps, _, engine, threads = map(_concrete, rest)
    array, parameters = dispatch.accept_classes(labels, num_classes, slab, clip, _unwrapped(ignore_label, wraps))
    dispatch.for_labels(Task(weighing=parameters), array)
    _check_run(array, engine, threads)
    dispatch.accept_mask(mask, array, 2, check=False)
    shape = dispatch.shape_of_counts(array.shape, parameters)
    dispatch.check_counts(_counts(numerators, denominators), array, shape)
    return _float32(labels, Task()), _float64(labels, *shape), _float64(labels, *shape)


@functools.lru_cache(maxsize=256, typed=True)  # as an ignored label, 2⁶⁰ is not the float 2.0⁶⁰
def _parameters(
    voxel_size: tuple[float, ...],
    scale: float | None,
    background: str,
    no_boundary: str,
    fill: float,
    ignore_label: Any,
    wraps: bool,
) -> TargetParameters:
    return TargetParameters.checked(voxel_size, scale, background, no_boundary, _unwrapped(ignore_label, wraps), fill)


def _per_channel(
    labels: Tensor, parameters: TargetParameters, channels: int, clip: Any, border: Any, classes: Classes | None
) -> tuple[arrays.Array, Task]:
    array = dispatch.accept_volumes(labels, parameters.voxel_size)
    task = Task(parameters, None, border, classes=classes)
    shape, dims, channels = task.shape_of(array.shape), len(parameters.voxel_size), check_count("channels", channels)
    if classes is not None and channels != len(classes):
        raise ValueError(f"channels={channels} with {len(classes)} classes: expected as many")
    weighing = WeightParameters.per_channel(shape, dims, channels, check_clip(clip), parameters.ignore_label)
    return array, replace(task, weighing=weighing)


def _concrete(value: Any) -> Any:
    """A keyword to check while a graph is made; a valid value stands for a symbolic one, checked when it runs."""
    return (
        1 if isinstance(value, (torch.SymInt, torch.SymFloat)) else False if isinstance(value, torch.SymBool) else value
    )


def _unwrapped(ignore_label: Any, wraps: bool) -> Any:
    return ignore_label + 2**64 if wraps else ignore_label


def _counts(numerators: Tensor | None, denominators: Tensor | None) -> ClassCounts | None:
    """The counts that a caller of an operator holds in two tensors; unlike ClassCounts these can be anything."""
    if numerators is None and denominators is None:
        return None
    expected = "expected two float64 tensors of shape (slabs, classes) on one device, or None for both"
    if numerators is None or denominators is None:
        raise ValueError(f"{'numerators' if numerators is None else 'denominators'}=None: {expected}")
    for name, numbers in (("numerators", numerators), ("denominators", denominators)):
        if numbers.dtype != torch.float64:
            raise TypeError(f"{name} have dtype {numbers.dtype} (shape {tuple(numbers.shape)}): {expected}")
        if numbers.ndim != 2 or numbers.shape != denominators.shape or numbers.device != denominators.device:
            raise ValueError(f"{name} have shape {tuple(numbers.shape)} on {numbers.device}: {expected}")
    return ClassCounts.around(numerators, denominators)


def _numbers(counts: ClassCounts | None) -> tuple[Tensor, Tensor]:
    assert counts is not None  # the task weighed
    return counts.numerators, counts.denominators


def _check_run(labels: arrays.Array, engine: str, threads: int | None) -> None:
    engines.choose(engine, labels.on_host, labels.shape)
    check_threads(threads)


def _float32(labels: Tensor, task: Task) -> Tensor:
    return torch.empty(task.shape_of(tuple(labels.shape)), dtype=torch.float32, device=labels.device)


def _float64(labels: Tensor, slabs: int, classes: int) -> Tensor:
    return torch.empty(slabs, classes, dtype=torch.float64, device=labels.device)


_library = torch.library.Library("inner_distance_gpu", "DEF")


def _register(name: str, run: Callable[..., Any], fake: Callable[..., Any]) -> None:
    _library.define(name + SCHEMAS[name], tags=(torch.Tag.pt2_compliant_tag,))
    overload = getattr(torch.ops.inner_distance_gpu, name).default

    def without_gradient(*arguments: Any) -> Any:
        # Labels are not differentiable: the results require no gradient, whatever the labels do.
        with torch._C._AutoDispatchBelowAutograd():
            return overload(*arguments)

    for key in ("CPU", "CUDA"):
        _library.impl(name, run, key)
    _library.impl(name, without_gradient, "Autograd")
    torch.library.register_fake(f"inner_distance_gpu::{name}", fake, lib=_library)


_register("target", _target, _fake_target)
_register("target_and_weights", _target_and_weights, _fake_target_and_weights)
_register("weights", _weights, _fake_weights)
