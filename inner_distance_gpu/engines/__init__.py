"""Which engines there are, which of them run here, and which one a call gets."""

from __future__ import annotations

import functools
import importlib
import math
import os
from typing import Any, NamedTuple, Protocol, cast

import torch

from ..parameters import Task, check_choice
from . import notices

_NAMES = ("cuda", "cucim", "cpu", "reference")
_CHOICES = ("auto", *_NAMES)
ON_DEVICE = ("cuda", "cucim")
_run_here: set[str] = set()  # engines that were asked whether they do: a call need not ask again

MEMORY_ERRORS = (MemoryError, torch.cuda.OutOfMemoryError)
_LARGER = "volumes larger than memory: blockwise.inner_distance or blockwise.write"
_TAKES_LESS = {
    "cpu": "fewer volumes per call, smaller crops, threads=1, or out= with memory you have, take less; " + _LARGER,
    "cuda": "fewer volumes per call or smaller crops take less, or engine='cpu'; " + _LARGER,
}
_DOUBLED = "it works on the doubled grid, 4 times the voxels in 2D and 8 times in 3D; engine='cpu' takes less, "


class Arrays(NamedTuple):
    """What one call reads and writes: NumPy arrays for a host engine, torch tensors on the device for another.

    `labels` have the shape (…, *spatial), and so has the rest, but where the task has classes: there is an axis of them
    in front of the spatial ones. `mask=None` is ones. `target` and `weight` are float32, None where the task does not
    ask for them. `counts` are numerators and denominators, float64
    of shape (slabs, classes) in C order, which grow in place.
    """

    labels: Any
    mask: Any
    target: Any
    weight: Any
    counts: tuple[Any, Any] | None = None


class Engine(Protocol):
    """What every engine in this folder provides, as functions of its module."""

    def why_not(self) -> str | None:
        """None where the engine runs here, or what is missing and how to get it."""

    def run(self, task: Task, arrays: Arrays, threads: int) -> None:
        """Write what the task asks for into `arrays`; device engines do not wait until it is written.

        With a target and weights, there are two classes and one slab per channel or one in all, a channel is the last
        leading axis, and with `border="mask"` a voxel weighs 0 where its distance is larger than that to the nearest
        border of the array, by more than `BORDER_SLACK`; it is counted.
        """


def available() -> dict[str, str | None]:
    """Which engines run on this machine.

    Returns
    -------
    dict
        Engine name -> None where it runs, else why not and what to install.

    Examples
    --------
    >>> available()["reference"] is None
    True
    """
    return {name: _why_not(name) for name in _NAMES}


def check_name(engine: Any) -> str:
    return cast(str, check_choice("engine", engine, _CHOICES))


def on_device(name: str) -> bool:
    """Whether an engine works on device memory."""
    return name in ON_DEVICE


def choose(engine: str, on_host: bool, shape: tuple[int, ...]) -> tuple[str, Engine]:
    """The engine of that name, or for "auto" the one the data choose. Raises where it cannot run here."""
    name = engine if isinstance(engine, str) and engine in _CHOICES else check_name(engine)
    if name == "auto":
        name = _fastest_host() if on_host else "cuda"
    if name not in _run_here and not _runs(name):
        require(name, f"engine={engine!r} for {'host' if on_host else 'CUDA'} labels of shape {shape}")
    return name, _module(name)


def _runs(name: str) -> bool:
    """Whether the engine runs here. One that does goes on doing so, in this process; others are asked in every call."""
    if name not in _run_here and _why_not(name) is None:
        _run_here.add(name)
    return name in _run_here


def forget() -> None:
    """As in a new process: every engine is asked again whether it runs here."""
    _run_here.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=forget)  # a forked process may not use CUDA


def require(name: str, asked: str | None = None) -> None:
    """Raise ValueError where the engine cannot run here, with what is missing and what runs."""
    reason = _why_not(name)
    if reason is not None:
        runs = ", ".join(repr(other) for other, why in available().items() if why is None)
        raise ValueError(f"{asked or f'engine={name!r}'}: {name!r} cannot run here ({reason}). Runs here: {runs}")


def fastest() -> str:
    """The name of the fastest engine that runs here, the GPU first: what `auto` means on the command line."""
    return "cuda" if _why_not("cuda") is None else _fastest_host()


def _fastest_host() -> str:
    if "cpu" in _run_here or _runs("cpu"):
        return "cpu"
    notices.slow_engine(_why_not("cpu"))
    return "reference"


def out_of_memory(
    error: BaseException, name: str, shape: tuple[int, ...], target: tuple[int, ...], dtype: Any
) -> BaseException:
    """An error of the same kind that says what was asked of which engine, and what takes less memory."""
    kind = MemoryError if isinstance(error, MemoryError) else type(error)
    less = _TAKES_LESS.get(name) or _DOUBLED + _TAKES_LESS["cpu"]
    return kind(
        f"engine {name!r} ran out of memory for labels of {dtype} and shape {shape}, whose target is "
        f"{4 * math.prod(target)} bytes: {error or 'no more is known'}. What takes less: {less}"
    )


def _why_not(name: str) -> str | None:
    return _module(name).why_not()


@functools.cache
def _module(name: str) -> Engine:
    return cast(Engine, importlib.import_module(f"{__name__}.{'cuda.run' if name == 'cuda' else name}"))
