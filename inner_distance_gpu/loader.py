"""TargetLoader: a torch DataLoader whose targets are computed ahead of the training loop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils import _pytree as pytree

from . import arrays
from .parameters import check_count
from .transform import InnerDistanceTransform


class TargetLoader:
    """Iterate over `loader` and hand out `transform(batch)`, computed up to `depth` batches ahead.

    The transform runs in one background thread of this process: its class counts see every batch of every
    worker, and the training loop waits for a target only when it is faster than the loader. On a CUDA device
    the batch is pinned and copied without blocking, and the transform runs on a stream of its own.

    Parameters
    ----------
    loader : torch.utils.data.DataLoader
        Or any iterable of batches.
    transform : callable batch -> batch
        Such as `InnerDistanceTransform(...).keyed("labels")`. An `InnerDistanceTransform` itself is used as
        `.keyed()`.
    device : torch.device, str or None
        Where tensors go before the transform: a CUDA device; None leaves them where they are.
    depth : positive int
        How many finished batches wait at most. The counts run ahead of the training loop by as much.

    Attributes
    ----------
    loader, transform, device, depth
        As given. Other attributes (`dataset`, `sampler`, `batch_size` …) are those of `loader`.

    Raises
    ------
    TypeError, ValueError
        A transform that cannot be called, a device that is not CUDA or not here, a depth below 1.

    Notes
    -----
    Batches come in the order of `loader`. An exception in a worker, the loader or the transform is raised in
    the training loop, after the batches that were finished before it. Leaving the loop ends the thread: at
    once when the iterator is closed or goes out of scope, at the latest when the batch under way is done.

    The counts change in the thread: read, save or reduce them between epochs, or after closing the iterator.
    Tensors are found in tuples, lists, named tuples and mappings; those in other objects stay where they are.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> samples = [{"raw": torch.rand(1, 16, 16), "labels": torch.eye(16).long()[None]} for _ in range(6)]
    >>> transform = InnerDistanceTransform(voxel_size=(4, 4), scale=10)
    >>> batches = TargetLoader(DataLoader(samples, batch_size=2), transform.keyed())
    >>> [batch["target"].shape for batch in batches]
    [torch.Size([2, 1, 16, 16]), torch.Size([2, 1, 16, 16]), torch.Size([2, 1, 16, 16])]
    """

    def __init__(
        self, loader: Any, transform: Callable[[Any], Any], *, device: torch.device | str | None = None, depth: int = 2
    ) -> None:
        if not callable(transform):
            raise TypeError(f"transform={transform!r}: expected a callable batch -> batch")
        self.loader = loader
        self.transform = transform.keyed() if isinstance(transform, InnerDistanceTransform) else transform
        self.device = None if device is None else _check_device(device)
        self.depth = check_count("depth", depth)

    def __len__(self) -> int:
        return len(self.loader)

    def __getattr__(self, name: str) -> Any:
        if name == "loader":  # not set yet, as in unpickling
            raise AttributeError(name)
        return getattr(self.loader, name)

    def __iter__(self) -> Iterator[Any]:
        # Workers start here, in the caller's thread: only there does torch install its signal handlers.
        batches = iter(self.loader)
        stream = _stream(self.device)
        ahead = _Ahead(batches, self._prepared, stream, self.depth)
        del batches  # the thread holds the only reference, and gives it up at its end
        try:
            while (item := ahead.next()) is not _END:
                yield _handed_over(*item)
        finally:
            ahead.stop()
            if stream is not None:  # whoever reads the counts next reads the last ones
                torch.cuda.current_stream(stream.device).wait_stream(stream)

    def _prepared(self, batch: Any) -> Any:
        if self.device is not None:
            batch = pytree.tree_map_only(torch.Tensor, self._to_device, batch)
        return self.transform(batch)

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """On `self.device`; runs in the thread, whose current device and stream are the loader's."""
        if tensor.is_cuda:  # made on another stream: its memory is not reused before this one is done with it
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
            return tensor.to(self.device, non_blocking=True)
        # Torch keeps the pinned copy until the stream has read it.
        return tensor.pin_memory().to(self.device, non_blocking=True)


def _stream(device: torch.device | None) -> torch.cuda.Stream | None:
    """Where the thread works: a stream of its own on `device`; without one the caller's, where CUDA is in use."""
    if device is None:
        return torch.cuda.current_stream() if torch.cuda.is_initialized() else None
    side = torch.cuda.Stream(device)
    side.wait_stream(torch.cuda.current_stream(side.device))  # what the caller has under way: batches, counts
    return side


_END = object()


class _Ahead:
    """A thread that fills a bounded queue with (batch, events), and that always ends when asked to."""

    def __init__(
        self, batches: Iterator[Any], prepare: Callable[[Any], Any], stream: torch.cuda.Stream | None, depth: int
    ) -> None:
        self._ready: queue.Queue[Any] = queue.Queue(depth)
        self._stopped = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(batches, prepare, stream), name="TargetLoader", daemon=True
        )
        self._thread.start()

    def next(self) -> Any:
        item = self._ready.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def stop(self) -> None:
        self._stopped.set()
        while self._thread.is_alive():  # it may wait for a place in the queue
            try:
                self._ready.get(timeout=0.01)
            except queue.Empty:
                continue
        self._thread.join()

    def _run(self, batches: Iterator[Any], prepare: Callable[[Any], Any], stream: torch.cuda.Stream | None) -> None:
        last: Any = _END
        try:
            with torch.cuda.stream(stream):  # its device becomes the current one of this thread, too
                while not self._stopped.is_set():
                    try:
                        batch = next(batches)
                    except StopIteration:
                        break
                    result = prepare(batch)
                    self._ready.put((result, _recorded(result)))
                    del batch, result
        except BaseException as error:  # for the training loop to raise
            last = error
        del batches
        if not self._stopped.is_set():
            self._ready.put(last)


def _on_cuda(batch: Any) -> list[torch.Tensor]:
    return [leaf for leaf in pytree.tree_leaves(batch) if isinstance(leaf, torch.Tensor) and leaf.is_cuda]


def _recorded(batch: Any) -> dict[torch.device, torch.cuda.Event]:
    """Device -> when this thread's stream there is done with the batch."""
    devices = {tensor.device for tensor in _on_cuda(batch)}
    return {device: torch.cuda.current_stream(device).record_event() for device in devices}


def _handed_over(batch: Any, events: dict[torch.device, torch.cuda.Event]) -> Any:
    """The batch, safe to use on the streams that are current in the training loop now."""
    for device, event in events.items():
        torch.cuda.current_stream(device).wait_event(event)
    for tensor in _on_cuda(batch) if events else ():
        tensor.record_stream(torch.cuda.current_stream(tensor.device))  # keeps its memory until that stream is done
    return batch


def _check_device(device: torch.device | str) -> torch.device:
    expected = "expected a CUDA device, or None to leave batches where they are"
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError):
        raise TypeError(f"device={device!r}: {expected}") from None
    if chosen.type != "cuda":
        raise ValueError(f"device={device!r}: {expected}")
    arrays.require_cuda(f"device={device!r}")
    if not torch.cuda.is_available():
        raise ValueError(f"device={device!r}: torch {torch.__version__} sees no CUDA device here; {expected}")
    return chosen
