"""Voxel sizes per sample and scales per channel: volumes with equal parameters go to an engine together.

Weights depend on neither, so that they, and the counts, are those of one call for all volumes. A border mask does: it
is asked of each group, in a call whose counts are thrown away.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch

from ..labels import Classes
from ..parameters import Task, WeightParameters

if TYPE_CHECKING:
    from . import Arrays, Engine

Selection = slice | list[int]
T = TypeVar("T", bound=Hashable)


def check(task: Task, labels: tuple[int, ...], results: tuple[int, ...]) -> None:
    """Raise where there is no sample for each voxel size, or no channel for each scale."""
    assert task.target is not None
    samples, scales, dims = task.target.samples, task.target.scales, task.dims
    # Without classes the axis in front of the spatial ones is that of channels where there are several.
    axes = len(labels) - dims - (scales is not None and task.classes is None)
    if samples is not None and (axes < 1 or labels[0] != len(samples)):
        raise ValueError(
            f"voxel_size has {len(samples)} rows for labels of shape {labels}: expected one per sample of the first "
            "axis"
        )
    if scales is not None and (len(results) == dims or results[-dims - 1] != len(scales)):
        raise ValueError(f"scale has {len(scales)} numbers for labels of shape {labels}: expected one per channel")


def run(engine: Engine, task: Task, arrays: Arrays, threads: int) -> None:
    """As `Engine.run`, for a task whose target has voxel sizes per sample or scales per channel."""
    parameters = task.target
    assert parameters is not None
    at = arrays.target.ndim - task.dims - 1
    outside = _empty(arrays.target, bool) if task.border == "mask" else None
    for voxel_size, samples in _groups(parameters.samples, parameters.voxel_size):
        labels, target = _taken(arrays.labels, 0, samples), _taken(arrays.target, 0, samples)
        beyond = None if outside is None else _taken(outside, 0, samples)
        for scale, channels in _groups(parameters.scales, parameters.scale):
            equal = replace(parameters, voxel_size=voxel_size, scale=scale, samples=None, scales=None)
            one = Task(equal, classes=task.classes if task.classes is None else _classes(task.classes, channels))
            own = labels if task.classes is not None else _taken(labels, at, channels)
            part = _taken(target, at, channels)
            if beyond is None:
                engine.run(one, arrays._replace(labels=own, mask=None, target=part, weight=None, counts=None), threads)
            else:
                near = _beyond_border(engine, task, one, arrays._replace(labels=own, target=part), threads)
                beyond[(*(slice(None),) * at, channels) if at >= 0 else ...] = near
            _put(target, at, channels, part)
        _put(arrays.target, 0, samples, target)
        if outside is not None:
            _put(outside, 0, samples, beyond)
    if task.weighing is not None:
        engine.run(replace(task, target=None, border="keep"), arrays._replace(target=None), threads)
        if outside is not None:
            arrays.weight[outside] = 0


def _beyond_border(engine: Engine, task: Task, one: Task, arrays: Arrays, threads: int) -> Any:
    """Fill the target, and return where a border mask has weight 0: found with weights that nobody keeps."""
    assert one.target is not None
    assert task.weighing is not None
    assert arrays.counts is not None
    shape, dims = tuple(arrays.target.shape), one.dims
    channels = shape[-dims - 1] if len(shape) > dims else 1
    weighing = WeightParameters.per_channel(shape, dims, channels, task.weighing.clip, one.target.ignore_label)
    zeros = arrays.counts[0][:1] * 0
    zeros = zeros.repeat(channels, 0) if isinstance(zeros, np.ndarray) else zeros.repeat(channels, 1)
    weight = _empty(arrays.target, np.float32)
    counts = zeros, zeros + 1
    engine.run(
        replace(one, weighing=weighing, border="mask"),
        arrays._replace(mask=None, weight=weight, counts=counts),
        threads,
    )
    return weight == 0


def _groups(values: Sequence[T] | None, otherwise: T) -> list[tuple[T, Selection]]:
    """Each value with its places; without values one for all."""
    if values is None:
        return [(otherwise, slice(None))]
    places: dict[T, list[int]] = {}
    for place, value in enumerate(values):
        places.setdefault(value, []).append(place)
    return [(value, _selection(found)) for value, found in places.items()]


def _selection(places: list[int]) -> Selection:
    """A slice where the places are evenly spaced: it reads and writes the memory itself."""
    step = places[1] - places[0] if len(places) > 1 else 1
    even = slice(places[0], places[-1] + 1, step)
    return even if list(range(places[0], places[-1] + 1, step)) == places else places


def _taken(array: Any, axis: int, chosen: Selection) -> Any:
    """Those places along an axis: a view for a slice, else a copy."""
    return array if chosen == slice(None) else array[(*(slice(None),) * axis, chosen)]


def _put(array: Any, axis: int, chosen: Selection, part: Any) -> None:
    """Write a copy back; what was taken with a slice is there."""
    if isinstance(chosen, list):
        array[(*(slice(None),) * axis, chosen)] = part


def _classes(classes: Classes, chosen: Selection) -> Classes:
    return classes[chosen] if isinstance(chosen, slice) else tuple(classes[place] for place in chosen)


def _empty(like: Any, dtype: Any) -> Any:
    """Memory of that type, of the shape, kind and device of `like`, in C order."""
    if isinstance(like, np.ndarray):
        return np.empty(like.shape, dtype)
    return torch.empty(like.shape, dtype=torch.bool if dtype is bool else torch.float32, device=like.device)
