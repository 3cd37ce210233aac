"""ClassCounts: how often each class was seen, per slab, as running numerators and denominators."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist

from .engines import counting

P = ParamSpec("P")
R = TypeVar("R")
_Views = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def _changeable(function: Callable[P, R]) -> Callable[P, R]:
    """Tensors made in inference mode could not be changed outside it: counts are never among them."""

    @functools.wraps(function)
    def outside(*args: P.args, **keywords: P.kwargs) -> R:
        if not torch.is_inference_mode_enabled():  # nearly always; entering a context costs microseconds
            return function(*args, **keywords)
        with torch.inference_mode(False):
            return function(*args, **keywords)

    return outside


class ClassCounts:
    """Moving class counts: the fraction of class `c` in slab `s` is `numerators[s, c] / denominators[s, c]`.

    Both are float64 torch tensors of shape (slabs, classes) on the device of the labels that were
    counted: a numerator counts voxels (exact up to 2⁵³), a denominator sums the mask and starts at 1.

    Parameters
    ----------
    numerators, denominators : arrays of shape (slabs, classes)
        Copied as float64. Numerators are at least 0, denominators above 0.

    Raises
    ------
    ValueError
        Shapes that differ or are not (slabs, classes), numbers out of range.

    Examples
    --------
    >>> counts = ClassCounts.start(slabs=1, classes=2)
    >>> counts.to_dicts()
    [{0: (0, 1.0), 1: (0, 1.0)}]
    >>> ClassCounts.from_dicts([{0: (30, 101.0), 1: (70, 101.0)}]).numerators
    tensor([[30., 70.]], dtype=torch.float64)
    """

    # Two tensors, where they lay, NumPy's views of them: asking torch for views takes longer than counting.
    _viewed: tuple[torch.Tensor, torch.Tensor, tuple[int, int], _Views] | None = None
    _last_stream: torch.cuda.Stream | None = None  # of the call that counted last

    # DaCapo: dicts, changed in place by every call, with denominators added up in float32.
    def __init__(self, numerators: Any, denominators: Any, *, _checked: bool = True) -> None:
        # torch.compile reads the way without checks, see `around`: torch 2.6 follows no __new__, but this.
        self.numerators: torch.Tensor = numerators
        self.denominators: torch.Tensor = denominators
        # What all ranks agreed on at the last `all_reduce`; None stands for the initial 0 of 1.
        self._reduced: torch.Tensor | None = None
        if _checked:
            self._copy_checked(numerators, denominators)

    @_changeable
    def _copy_checked(self, numerators: Any, denominators: Any) -> None:
        self.numerators, self.denominators = (
            torch.as_tensor(numbers, dtype=torch.float64).detach().clone(memory_format=torch.contiguous_format)
            for numbers in (numerators, denominators)
        )
        shape = tuple(self.numerators.shape)
        if len(shape) != 2 or 0 in shape or self.denominators.shape != self.numerators.shape:
            raise ValueError(
                f"numerators have shape {shape}, denominators {tuple(self.denominators.shape)}: "
                "expected (slabs, classes) for both"
            )
        if self.device.type == "cpu" and not self._in_range():
            raise ValueError(
                f"numerators {self.numerators.tolist()}, denominators {self.denominators.tolist()}: "
                "expected finite numerators >= 0 and finite denominators > 0"
            )
        self._reduced = self._stacked()

    def _in_range(self) -> bool:
        finite = torch.isfinite(self._stacked()).all()
        return bool(finite and (self.numerators >= 0).all() and (self.denominators > 0).all())

    @classmethod
    @_changeable
    def start(cls, slabs: int, classes: int, device: torch.device | str = "cpu") -> ClassCounts:
        """Counts before anything was counted: 0 of 1 in every slab and class."""
        zeros = torch.zeros(slabs, classes, dtype=torch.float64, device=device)
        return cls.around(zeros, torch.ones_like(zeros))

    @classmethod
    def around(
        cls, numerators: torch.Tensor, denominators: torch.Tensor, origin: ClassCounts | None = None
    ) -> ClassCounts:
        """Counts that hold these very tensors, unchecked; counted on from `origin`, or from the start."""
        counts = cls(numerators, denominators, _checked=False)
        agreed = None if origin is None else origin._reduced
        counts._reduced = None if agreed is None else agreed.to(numerators.device)
        return counts

    @property
    def shape(self) -> tuple[int, int]:
        """(slabs, classes)"""
        slabs, classes = self.numerators.shape
        return slabs, classes

    @property
    def device(self) -> torch.device:
        return self.numerators.device

    @property
    def is_on_host(self) -> bool:
        return self.numerators.is_cpu

    def _stacked(self) -> torch.Tensor:
        return torch.stack([self.numerators, self.denominators])

    def _agreed(self) -> torch.Tensor:
        """What all ranks agreed on, stacked."""
        if self._reduced is None:
            return torch.stack([torch.zeros_like(self.numerators), torch.ones_like(self.denominators)])
        return self._reduced

    def to_dicts(self) -> list[dict[int, tuple[int, float]]]:
        """DaCapo's `moving_class_counts`: per slab a dict class -> (numerator, denominator). Synchronises a device."""
        with self._unchanged_by_calls():
            pairs = zip(self.numerators.tolist(), self.denominators.tolist(), strict=True)
        return [{c: (int(n), d) for c, (n, d) in enumerate(zip(*slab, strict=True))} for slab in pairs]

    @classmethod
    def from_dicts(cls, dicts: Iterable[Mapping[int, tuple[float, float]]]) -> ClassCounts:
        """Counts from DaCapo's list of dicts, one per slab, each with the classes 0 … n − 1 as keys.

        Raises
        ------
        ValueError
            An empty list, slabs with different classes, keys that are not 0 … n − 1, no pair of numbers.
        """
        slabs = [dict(slab) for slab in dicts]
        classes = range(len(slabs[0])) if slabs else range(0)
        if not classes or any(set(slab) != set(classes) for slab in slabs):
            raise ValueError(
                f"counts with classes {[sorted(slab, key=repr) for slab in slabs]}: expected a list with "
                "one dict per slab, each {0: (numerator, denominator), 1: ...} with the same classes"
            )
        try:
            rows = [[(float(n), float(d)) for n, d in (slab[c] for c in classes)] for slab in slabs]
        except (TypeError, ValueError):
            raise ValueError(f"counts {slabs}: expected a pair (numerator, denominator) for each class") from None
        table = torch.tensor(rows, dtype=torch.float64)
        return cls(table[..., 0], table[..., 1])

    def reset(self) -> None:
        """Back to 0 of 1, in place."""
        self.take(ClassCounts.start(*self.shape, device=self.device))

    @_changeable
    def all_reduce(self, group: Any = None) -> None:
        """Add up, in place, what each rank of `group` counted since the last reduction.

        Every rank has to call it. The state at the last reduction (at first: the counts each rank
        started from, which must be the same everywhere) enters once. Afterwards all ranks hold the
        same numbers. Without an initialised process group there is one rank and nothing to add.
        Reduce before saving a checkpoint that every rank will load.
        """
        with self._unchanged_by_calls():
            agreed, before = self._agreed(), self._stacked()
        counted = before - agreed
        if dist.is_available() and dist.is_initialized():
            home = torch.device("cuda") if dist.get_backend(group) == "nccl" else torch.device("cpu")
            counted = counted.to(home)
            dist.all_reduce(counted, group=group)
        total = agreed + counted.to(self.device)
        with self._unchanged_by_calls():  # what calls counted while the ranks talked is kept for the next reduction
            now = total + (self._stacked() - before)
            self.numerators.copy_(now[0])
            self.denominators.copy_(now[1])
            self._reduced = total.clone()

    @contextlib.contextmanager
    def _unchanged_by_calls(self) -> Iterator[None]:
        """While these counts are read or set as a whole: no other thread counts, and calls before are seen."""
        ordered = not self.is_on_host and self.device.type == "cuda" and torch.cuda.is_initialized()
        with counting.nowhere(), self.in_order_of_streams() if ordered else contextlib.nullcontext():
            yield

    @contextlib.contextmanager
    def in_order_of_streams(self) -> Iterator[None]:
        """For one call on a device, under the lock of such counts: its stream waits for that of the call before.

        The event lies behind the call, so calls on two streams that count on from the same numbers run in turn.
        """
        stream = torch.cuda.current_stream(self.device)
        last = self._last_stream
        if last is not None and last != stream and not torch.cuda.is_current_stream_capturing():
            stream.wait_event(last.record_event())
        try:
            yield
        finally:
            self._last_stream = stream

    def host_views(self) -> _Views | None:
        """Both as NumPy arrays of the same memory, for one call: torch may move it later. None on a device."""
        own_up, own_down = self.numerators, self.denominators
        places = (own_up.data_ptr(), own_down.data_ptr())
        if self._viewed is not None:
            up, down, at, views = self._viewed
            if at == places and up is own_up and down is own_down:
                return views
        if not self.is_on_host:
            return None
        views = (own_up.numpy(), own_down.numpy())
        self._viewed = own_up, own_down, places, views
        return views

    def __getstate__(self) -> dict[str, Any]:
        """Host tensors as arrays: to a spawned process torch would send the memory, where both would then count."""
        with self._unchanged_by_calls():
            state = {name: value for name, value in vars(self).items() if name not in ("_viewed", "_last_stream")}
            return {
                name: v.numpy().copy() if isinstance(v, torch.Tensor) and v.is_cpu else v for name, v in state.items()
            }

    @_changeable
    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, torch.from_numpy(value) if isinstance(value, np.ndarray) else value)

    @_changeable
    def with_numbers(self, numerators: Any, denominators: Any, device: torch.device) -> ClassCounts:
        """New counts with these numbers; what the ranks agreed on stays."""
        of = functools.partial(torch.as_tensor, device=device)
        return ClassCounts.around(of(numerators), of(denominators), self)

    @_changeable
    def take(self, other: ClassCounts) -> None:
        """Take over the numbers of `other`, into the same tensors where the device is the same."""
        with self._unchanged_by_calls():
            if other.device == self.device:
                self.numerators.copy_(other.numerators)
                self.denominators.copy_(other.denominators)
            else:
                self.numerators, self.denominators = other.numerators.clone(), other.denominators.clone()
            self._reduced = other._reduced

    def move_on(self, numerators: torch.Tensor, denominators: torch.Tensor) -> None:
        """Take over numbers that were counted on from these, in place where they lie on the same device."""
        with contextlib.nullcontext() if torch.compiler.is_compiling() else counting.nowhere():  # a graph has no locks
            self._move_on(numerators, denominators)

    def _move_on(self, numerators: torch.Tensor, denominators: torch.Tensor) -> None:
        if numerators.device == self.device:
            self.numerators.copy_(numerators)
            self.denominators.copy_(denominators)
        else:
            self.numerators, self.denominators = numerators, denominators
            self._reduced = None if self._reduced is None else self._reduced.to(numerators.device)

    def state(self) -> torch.Tensor:
        """Everything, what the ranks agreed on included, as one float64 tensor (4, slabs, classes)."""
        with self._unchanged_by_calls():
            return torch.cat([self._stacked(), self._agreed()])

    def load_state(self, state: torch.Tensor) -> None:
        """Take over what `state` returned, onto the device the counts are on."""
        if not isinstance(state, torch.Tensor) or tuple(state.shape) != (4, *self.shape):
            found = tuple(state.shape) if isinstance(state, torch.Tensor) else type(state).__name__
            raise ValueError(
                f"saved counts are {found}: expected a tensor of shape (4, slabs, classes) = {(4, *self.shape)}; "
                "was the transform built with the same channels?"
            )
        saved = state.to(self.device, torch.float64)
        loaded = ClassCounts(saved[0], saved[1])
        loaded._reduced = saved[2:].clone()
        self.take(loaded)

    def to(self, device: torch.device | str) -> ClassCounts:
        """Counts with the same numbers on `device`."""
        return self.with_numbers(self.numerators, self.denominators, torch.device(device))

    def __repr__(self) -> str:
        return f"ClassCounts(numerators={self.numerators.tolist()}, denominators={self.denominators.tolist()})"
