"""TargetLoader: a torch DataLoader whose targets are computed ahead of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from . import arrays
from .batches import containers as batches
from .batches.ahead import Ahead
from .batches.keyed import Keyed
from .parameters import check_count
from .transform import InnerDistanceTransform


class TargetLoader:
    """Iterate over `loader` and hand out `transform(batch)`, computed up to `depth` batches ahead.

    The caller's thread fetches from `loader`; a thread of this process does nothing but the transform. Its class
    counts see every batch of every worker. On a CUDA device the batch is pinned and copied without blocking, and the
    transform runs on a stream of its own.

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
        How many batches are fetched ahead of the one that is handed out. The counts run ahead by as much.

    Attributes
    ----------
    loader, transform, device, depth
        As given. Other attributes (`dataset`, `sampler`, `batch_size` …) are those of `loader`.
    state_dict, load_state_dict
        Only where `loader` has both, such as torchdata's StatefulDataLoader. The state is
        `{"loader": …, "counts": …}`, both as of the batch that was handed out last; `counts` is None where the
        transform has none. A state of `loader` alone can be loaded as well.

    Raises
    ------
    TypeError, ValueError
        A transform that cannot be called, a device that is not CUDA or not here, a depth below 1.

    Notes
    -----
    Batches come in the order of `loader`. An exception in a worker, the loader or the transform is raised in
    the training loop, after the batches before it. Leaving the loop ends the thread: at once when the iterator is
    closed or goes out of scope, at the latest when the batch under way is done; otherwise it ends with the interpreter.

    The transform runs with the grad mode, inference mode, autocast, default device, context variables and, without
    `device`, the current CUDA device and stream of the `next()` that fetched its batch.

    The counts change in the thread: read or reduce them between epochs, or after closing the iterator.
    Tensors are found in tuples, lists, mappings, dataclasses and attrs classes; those in other objects stay where
    they are.

    Examples
    --------
    >>> from torch.utils.data import DataLoader
    >>> samples = [{"raw": torch.rand(1, 16, 16), "labels": torch.eye(16).long()[None]} for _ in range(6)]
    >>> transform = InnerDistanceTransform(voxel_size=(4, 4), scale=10)
    >>> batches = TargetLoader(DataLoader(samples, batch_size=2), transform.keyed())
    >>> [batch["target"].shape for batch in batches]
    [torch.Size([2, 1, 16, 16]), torch.Size([2, 1, 16, 16]), torch.Size([2, 1, 16, 16])]
    """

    _stream: torch.cuda.Stream | None = None
    _handed_out: tuple[Any, torch.Tensor | None] | None = None  # states of loader and counts; None counts: as they are

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
        # `loader` is not set yet in unpickling; how to copy or pickle `loader` says nothing about this object.
        if name == "loader" or (name.startswith("__") and name.endswith("__")):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        if name in ("state_dict", "load_state_dict"):
            return self._stateful(name)
        return getattr(self.loader, name)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_stream", "_handed_out")}

    def __iter__(self) -> Ahead:
        return Ahead(self)

    def prepared(self, batch: Any) -> Any:
        """The batch on `device`, transformed: the work of the thread."""
        if self.device is not None:
            moved = batches.mapped(self._to_device, batch)
            batch = self.transform.with_voxel_sizes_of(batch, moved) if isinstance(self.transform, Keyed) else moved
        return self.transform(batch)

    def side_stream(self) -> torch.cuda.Stream | None:
        """Where the thread works on `device`: one stream for all passes, since torch caches memory per stream."""
        if self._stream is None and self.device is not None:
            self._stream = torch.cuda.Stream(self.device)
        return self._stream

    def note(self, loader: Any, counts: torch.Tensor | None) -> None:
        """What `state_dict` says from now on; counts of None are those that there are when it is asked."""
        self._handed_out = (loader, counts)

    def _to_device(self, tensor: torch.Tensor) -> torch.Tensor:
        """On `self.device`; runs in the thread, whose current device and stream are the loader's."""
        if tensor.is_cuda:  # made on another stream: its memory is not reused before this one is done with it
            tensor.record_stream(torch.cuda.current_stream(tensor.device))
            return tensor.to(self.device, non_blocking=True)
        # Torch keeps the pinned copy until the stream has read it.
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _stateful(self, name: str) -> Callable[..., Any]:
        """`state_dict` or `load_state_dict`, where the loader has both."""
        for needed in ("state_dict", "load_state_dict"):
            if not hasattr(self.loader, needed):
                raise AttributeError(f"{type(self.loader).__name__!r} object has no attribute {needed!r}")
        return self._state if name == "state_dict" else self._load_state

    def _state(self) -> dict[str, Any]:
        """Loader and class counts, as of the batch that was handed out last."""
        loader, counts = self._handed_out or (self.loader.state_dict(), None)
        return {"loader": loader, "counts": batches.counts_state(self.transform) if counts is None else counts}

    def _load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state of this loader, or from one of `loader` alone, which leaves the counts as they are."""
        whole = set(state) == {"loader", "counts"}
        counted = state["counts"] if whole else None
        counts = batches.counts_of(self.transform)
        if counted is not None:
            if counts is None:
                raise ValueError(f"the state holds class counts, but transform={self.transform!r} has none")
            counts.load_state(counted)
        self.loader.load_state_dict(state["loader"] if whole else state)
        self._handed_out = None


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
