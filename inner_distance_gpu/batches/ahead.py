"""One pass over a loader, its transform computed ahead in a thread: what lies between `next()` and the executor."""

from __future__ import annotations

import contextlib
import contextvars
import copy
import functools
import os
import sys
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch

from ..engines import counting
from . import containers as batches

if TYPE_CHECKING:
    from ..loader import TargetLoader

Events = Mapping[torch.device, torch.cuda.Event]
State = dict[str, Any]


class Ahead(Iterator[Any]):
    """Fetches batches in the caller's thread, and hands them out with their targets, `depth` batches later.

    How many batches were fetched when a batch is handed out depends on `depth` alone, never on how long the
    transform or the training step takes: what a data set draws from a generator is the same in every run.
    """

    def __init__(self, loader: TargetLoader) -> None:
        self._closed = False
        self._pending: deque[Future[Any]] = deque()
        self._turn_taken = False  # the newest entry is an error or the end: nothing is fetched behind it
        self._process = os.getpid()
        self._loader = loader
        self._thread: list[int] = []  # the identity of the executor's thread, once it runs
        self._executor = ThreadPoolExecutor(1, "TargetLoader", _remember_thread, (self._thread,))
        self._batches = iter(loader.loader)  # workers start here
        self._is_stateful = hasattr(loader, "state_dict")
        loader.note(self._state_of_loader(), None)
        self._stream = loader.side_stream()
        if self._stream is not None:  # batches and counts that the caller has under way
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))

    def __next__(self) -> Any:
        if os.getpid() != self._process:
            raise RuntimeError(
                f"this iterator of a TargetLoader was started in process {self._process}, and its thread is not in "
                f"process {os.getpid()}: start another iterator here"
            )
        if self._closed:
            raise StopIteration
        while not self._turn_taken and len(self._pending) <= self._loader.depth:
            self._pending.append(self._submitted())
        try:
            # No name for the future here: an exception would then keep itself, and this iterator, alive in a cycle.
            batch, state, counts, events = self._pending[0].result()
        except StopIteration:
            self._loader.note(self._state_of_loader(), None)
            self.close()
            raise
        finally:
            if self._pending and self._pending[0].done():  # an interrupted wait leaves the batch for the next call
                self._pending.popleft()
            self._turn_taken &= bool(self._pending)
        self._loader.note(state, counts)
        return _handed_over(batch, counts, events)

    def close(self) -> None:
        """End the thread: batches that it has not begun are dropped, the one under way is finished."""
        if os.getpid() != self._process:
            return
        # Garbage collection may end an iterator in its own thread, which cannot wait for itself, or in one that has
        # a lock for which that thread waits.
        may_wait = threading.get_ident() not in self._thread and not counting.is_held()
        self._executor.shutdown(wait=may_wait, cancel_futures=True)
        self._closed = True
        self._pending.clear()
        self._batches = iter(())
        if self._stream is not None and not sys.is_finalizing():  # whoever reads the counts next reads the last ones
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)

    def __del__(self) -> None:
        if hasattr(self, "_stream"):  # else the loader could not be iterated
            self.close()

    def _submitted(self) -> Future[Any]:
        """The next batch, for the thread to transform; or the error, or the end, at its place in the order."""
        try:
            batch = next(self._batches)
            state = self._state_of_loader()
        except Exception as error:
            self._turn_taken = True
            return _failed(error)
        stream = self._stream
        ready: Events = {}
        if torch.cuda.is_initialized():
            if stream is None:
                stream = torch.cuda.current_stream()
            else:
                ready = _recorded(batch)
        counts = functools.partial(batches.counts_state, self._loader.transform) if self._is_stateful else _nothing
        return self._executor.submit(
            contextvars.copy_context().run,
            _transformed,
            self._loader.prepared,
            batch,
            state,
            counts,
            _state_of_thread(),
            stream,
            ready,
        )

    def _state_of_loader(self) -> Any:
        # A copy: a data set may return what it goes on changing.
        return copy.deepcopy(self._loader.loader.state_dict()) if self._is_stateful else None


class _FetchError(Exception):
    """The traceback of an error in fetching, as text: the cause of the error that the training loop sees."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._text = text

    def __str__(self) -> str:
        return f'\n"""\n{self._text}"""'


def _failed(error: Exception) -> Future[Any]:
    """The error, kept until it is its turn, without its frames.

    They are those of the training loop, too, and would keep an iterator that is dropped before with its thread and
    its workers until the next garbage collection.
    """
    if not isinstance(error, StopIteration):
        text = "".join(traceback.format_exception(error))
        error.__cause__, error.__context__ = _FetchError(text), None
    error.__traceback__ = None
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _nothing() -> None:
    return None


def _remember_thread(identity: list[int]) -> None:
    identity.append(threading.get_ident())


def _transformed(
    prepare: Callable[[Any], Any],
    batch: Any,
    state: Any,
    counts: Callable[[], torch.Tensor | None],
    contexts: list[Callable[[], AbstractContextManager[Any]]],
    stream: torch.cuda.Stream | None,
    ready: Events,
) -> tuple[Any, Any, torch.Tensor | None, Events]:
    """What the thread does: the transform in the state of the thread that fetched the batch, on `stream`."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.cuda.stream(stream))  # its device becomes the current one of this thread, too
        for context in contexts:
            stack.enter_context(context())
        for device, event in ready.items():
            torch.cuda.current_stream(device).wait_event(event)
        try:
            result = prepare(batch)
        except StopIteration as error:  # which would look like the end of the loader
            raise RuntimeError("the transform raised StopIteration") from error
        counted = counts()
        return result, state, counted, _recorded((result, counted))


def _state_of_thread() -> list[Callable[[], AbstractContextManager[Any]]]:
    """What torch keeps per thread, as contexts for another thread to enter. NumPy's state is in context variables."""
    contexts: list[Callable[[], AbstractContextManager[Any]]] = [
        functools.partial(torch.inference_mode, torch.is_inference_mode_enabled()),
        functools.partial(torch.set_grad_enabled, torch.is_grad_enabled()),
    ]
    for kind in ("cpu", "cuda"):
        if torch.is_autocast_enabled(kind):
            dtype, cached = torch.get_autocast_dtype(kind), torch.is_autocast_cache_enabled()
            contexts.append(functools.partial(torch.autocast, kind, dtype, True, cached))
    device = torch.get_default_device()
    if device.type != "cpu":
        contexts.append(functools.partial(torch.device, device))
    return contexts


def _on_cuda(batch: Any) -> list[torch.Tensor]:
    return [tensor for tensor in batches.tensors(batch) if tensor.is_cuda]


def _recorded(batch: Any) -> Events:
    """Device -> when this thread's stream there is done with the batch."""
    devices = {tensor.device for tensor in _on_cuda(batch)}
    return {device: torch.cuda.current_stream(device).record_event() for device in devices}


def _handed_over(batch: Any, counts: torch.Tensor | None, events: Events) -> Any:
    """The batch, safe to use on the streams that are current in the training loop now."""
    for device, event in events.items():
        torch.cuda.current_stream(device).wait_event(event)
    for tensor in _on_cuda((batch, counts)) if events else ():
        tensor.record_stream(torch.cuda.current_stream(tensor.device))  # keeps its memory until that stream is done
    return batch
