"""The Dask graph that computes blocks with halos: few tasks per chunk, each source chunk used as it is.

The halo is gathered one axis after the other: a task depends on the neighbours along one axis, not on all 26. Chunks
that are smaller than the halo are merged into blocks.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Index = tuple[int, ...]


@dataclass(frozen=True)
class Span:
    """A block along one axis, and the source chunks that hold it and its halo.

    They are the chunks `read`, from voxel `low` of the first up to voxel `high` of the last; `inner` is the block in
    what is read. `chunks` are those that the block itself consists of.
    """

    read: range
    chunks: range
    low: int
    high: int
    inner: slice


def spans(chunks: Sequence[int], reach: int) -> list[Span]:
    """The blocks along an axis with these chunks: each at least as long as its halo, or the whole axis."""
    starts = [0, *itertools.accumulate(chunks)]
    firsts = [0]
    for i in range(1, len(chunks)):
        if min(starts[i] - starts[firsts[-1]], starts[-1] - starts[i]) >= max(reach, 1):
            firsts.append(i)
    return [_span(starts, range(*ends), reach) for ends in itertools.pairwise([*firsts, len(chunks)])]


def _span(starts: list[int], chunks: range, reach: int) -> Span:
    begin, end = max(starts[chunks.start] - reach, 0), min(starts[chunks.stop] + reach, starts[-1])
    first, last = chunks.start, chunks.stop
    while starts[first] > begin:
        first -= 1
    while starts[last] < end:
        last += 1
    inner = slice(starts[chunks.start] - begin, starts[chunks.stop] - begin)
    return Span(range(first, last), chunks, begin - starts[first], end - starts[last - 1], inner)


@dataclass(frozen=True)
class Steps:
    """What tasks do; each function is picklable.

    `compute(within, labels)` returns the result of the voxels `within` of a block with its halo. Where results depend
    on whether their volume has a site anywhere, it returns something unfinished: `sites(unfinished)` says which of its
    volumes have a site in the block, and `finish(unfinished, with_sites)` returns the result.
    """

    compute: Callable[[tuple[slice, ...], Any], Any]
    sites: Callable[[Any], npt.NDArray[np.bool_]] | None = None
    finish: Callable[[Any, npt.NDArray[np.bool_]], Any] | None = None


class Graph:
    """The tasks `(name, *index)` of an array, made of the tasks `(source, *index)` of one with the same chunks.

    `blocks` are the spans along each axis; the last `dims` axes are spatial. `tasks` is the layer for Dask. With
    `inserted` results have one more axis in front of the spatial ones, of one chunk.
    """

    def __init__(
        self,
        name: str,
        source: str,
        chunks: tuple[tuple[int, ...], ...],
        blocks: list[list[Span]],
        dims: int,
        steps: Steps,
        inserted: bool = False,
    ) -> None:
        self.tasks: dict[Any, Any] = {}
        self._name, self._chunks, self._blocks, self._dims = name, chunks, blocks, dims
        self._inserted = inserted
        self._task, self._reference = _task_types()
        merged = any(len(span.chunks) > 1 for axis in blocks for span in axis)
        target = f"{name}-block" if merged else name
        unfinished = f"{name}-unfinished" if steps.finish else target
        self._compute(self._join(source), unfinished, steps.compute)
        if steps.finish:
            self._finish(unfinished, target, steps)
        if merged:
            self._cut(target)

    def _add(self, layer: str, index: Index, function: Callable[..., Any] | None, *arguments: Any) -> None:
        key = (layer, *(self._with_axis(index, 0) if layer == self._name else index))
        self.tasks[key] = self._task(key, function, *arguments)

    def _with_axis(self, each: tuple[Any, ...], inserted: Any) -> tuple[Any, ...]:
        """What results have for each of their axes, `inserted` for the one that the source does not have."""
        at = len(each) - self._dims
        return (*each[:at], inserted, *each[at:]) if self._inserted else each

    def _references(self, layer: str) -> Callable[[Index], Any]:
        """References to the tasks of a layer; equal ones are one object, for they are many."""
        return functools.cache(lambda index: self._reference((layer, *index)))

    def _indices(self) -> Iterator[Index]:
        return np.ndindex(*(len(axis) for axis in self._blocks))

    def _join(self, layer: str) -> str:
        """Blocks with their halos; returns the name of their layer."""
        extents = [len(sizes) for sizes in self._chunks]
        for axis in reversed(range(len(extents))):
            along = self._blocks[axis]
            if all(len(span.read) == len(span.chunks) == 1 for span in along):
                continue
            extents[axis] = len(along)
            refer, layer = self._references(layer), f"{self._name}-halo-{axis}"
            for index in np.ndindex(*extents):
                span = along[index[axis]]
                parts = [refer((*index[:axis], i, *index[axis + 1 :])) for i in span.read]
                self._add(layer, index, join, axis, span.low, span.high, *parts)
        return layer

    def _compute(self, labels: str, layer: str, compute: Callable[..., Any]) -> None:
        refer = self._references(labels)
        for index in self._indices():
            within = tuple(axis[i].inner for axis, i in zip(self._blocks, index, strict=True))
            self._add(layer, index, compute, within, refer(index))

    def _finish(self, unfinished: str, layer: str, steps: Steps) -> None:
        """Ask each block for its sites, then whole volumes, one axis after the other."""
        found, refer = f"{self._name}-sites", self._references(unfinished)
        for index in self._indices():
            self._add(found, index, steps.sites, refer(index))
        extents = [len(axis) for axis in self._blocks]
        leading = len(extents) - self._dims
        for axis in reversed(range(leading, len(extents))):
            parts, found = self._references(found), f"{self._name}-sites-{axis}"
            along, extents[axis] = range(extents[axis]), 1
            for index in np.ndindex(*extents):
                self._add(found, index, any_of, *(parts((*index[:axis], i, *index[axis + 1 :])) for i in along))
        volume = self._references(found)
        for index in self._indices():
            with_sites = volume((*index[:leading], *(0,) * self._dims))
            self._add(layer, index, steps.finish, refer(index), with_sites)

    def _cut(self, layer: str) -> None:
        """The chunks out of blocks that consist of several."""
        refer = self._references(layer)
        places = [
            [
                place
                for number, span in enumerate(along)
                for place in _places(number, sizes[span.chunks.start : span.chunks.stop])
            ]
            for along, sizes in zip(self._blocks, self._chunks, strict=True)
        ]
        for index in np.ndindex(*(len(axis) for axis in places)):
            numbers, cuts = zip(*(axis[i] for axis, i in zip(places, index, strict=True)), strict=True)
            self._add(self._name, index, operator.getitem, refer(numbers), self._with_axis(cuts, slice(None)))


def _places(number: int, sizes: Sequence[int]) -> Iterator[tuple[int, slice]]:
    """For the chunks of a block: its number and their voxels in it."""
    starts = [0, *itertools.accumulate(sizes)]
    return ((number, slice(*ends)) for ends in itertools.pairwise(starts))


def join(axis: int, low: int, high: int, *parts: Any) -> Any:
    """Arrays one behind the other, from voxel `low` of the first up to voxel `high` of the last."""
    before = (slice(None),) * axis
    cut = list(parts)
    cut[-1] = cut[-1][(*before, slice(high))]
    cut[0] = cut[0][(*before, slice(low, None))]
    return cut[0] if len(cut) == 1 else np.concatenate(cut, axis=axis)


def any_of(*found: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return np.asarray(np.logical_or.reduce(found))


def _task_types() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """How this version of Dask writes a task and a reference to one; older ones write both as tuples."""
    try:
        from dask.task_spec import Task, TaskRef
    except ImportError:
        return lambda _, *call: call, lambda key: key
    return Task, TaskRef
