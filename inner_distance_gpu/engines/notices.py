"""Warnings, each once per process: of labels or masks that probably mean something else, and of a slow engine."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_INSIDE = (f"{Path(__file__).parents[1]}{os.sep}", f"{Path(torch.nn.modules.__file__).parent}{os.sep}")
SHEAR = 0.01  # a cosine: half a degree off the right angle
_lock = threading.RLock()  # a handler of warnings may compute a target
_said: set[str] = set()
_thread = threading.local()


class LabelWarning(UserWarning):
    """Labels or a mask that probably mean something else than their values say. Once per process and kind."""


class EngineWarning(RuntimeWarning):
    """`auto` takes a slow engine. Once per process."""


@contextlib.contextmanager
def unsaid() -> Iterator[None]:
    """No warnings about labels and masks in this thread: calls from a graph do not look at values."""
    before = getattr(_thread, "silent", False)
    _thread.silent = True
    try:
        yield
    finally:
        _thread.silent = before


def forget() -> None:
    """As in a new process: every warning may be given again."""
    _said.clear()


def wanted(kind: str) -> bool:
    """Whether this kind of warning about values may be given: it was not given before, and no graph runs."""
    return kind not in _said and not getattr(_thread, "silent", False)


def fractions(count: int, labels: npt.NDArray[Any]) -> None:
    """Warn of `count` annotated voxels whose label has a fraction."""
    if count and wanted("fractions"):
        _say(
            "fractions",
            f"labels of {labels.dtype} and shape {labels.shape}: {count} of {labels.size} voxels "
            f"({count / labels.size:.1%}) hold numbers with a fraction, as after linear resampling or in a map of "
            "probabilities. Each change of value is an object boundary. Resample labels with the nearest neighbour, "
            "or round or threshold them first",
            LabelWarning,
        )


def look_for_fractions(labels: npt.NDArray[Any], annotated: npt.NDArray[np.bool_]) -> None:
    """Warn of fractions in labels that no engine has counted."""
    if labels.dtype.kind == "f" and wanted("fractions"):
        with np.errstate(invalid="ignore"):  # a signalling NaN
            broken = labels != np.floor(labels)
        fractions(int(np.count_nonzero(broken & annotated)), labels)


def mask_above_one(mask: npt.NDArray[Any], clip: tuple[float, float]) -> None:
    """Warn of an integer mask that counts voxels more than once."""
    if wanted("mask"):
        most = int(mask.max())
        _say(
            "mask",
            f"mask of {mask.dtype} and shape {mask.shape} holds values up to {most}. The share of a class is its "
            f"number of voxels divided by the sum of the mask, here up to {most} times too small; below "
            f"clip[0] = {clip[0]:g} all classes weigh the same. Where the mask only selects voxels, give mask > 0",
            LabelWarning,
        )


def look_at_mask(mask: npt.NDArray[Any], annotated: npt.NDArray[np.bool_] | bool, clip: tuple[float, float]) -> None:
    """Warn of an integer mask above 1, where no engine has compared its sum with its voxels."""
    if mask.dtype.kind in "iu" and wanted("mask") and bool(np.any((mask > 1) & annotated)):
        mask_above_one(mask, clip)


def shear(directions: npt.NDArray[np.float64], key: Any) -> None:
    """Warn of voxels whose edges, unit vectors in the columns, are not at right angles."""
    if not wanted("shear"):
        return
    cosines = np.abs(directions.T @ directions - np.eye(directions.shape[1]))
    if cosines.max() > SHEAR:
        _say(
            "shear",
            f"{key!r} has a sheared affine: edges of its voxels are {np.degrees(np.arccos(cosines.max())):.0f}° apart, "
            "while distances are computed as if they were at right angles. Give voxel_size= where that is meant, as "
            "after a shear that augments, or resample the labels",
            LabelWarning,
        )


def slow_engine(reason: str | None) -> None:
    """Warn that `auto` takes the engine `reference`."""
    if "slow engine" not in _said:
        _say(
            "slow engine",
            "engine='auto' takes 'reference' for host arrays, which is hundreds of times slower than 'cpu': 'cpu' "
            f"cannot run here ({reason}). engine='reference' does the same without this warning",
            EngineWarning,
        )


def _say(kind: str, message: str, category: type[Warning]) -> None:
    with _lock:
        if kind not in _said:
            warnings.warn(message, category, stacklevel=_callers_level())
            _said.add(kind)  # not reached where warnings are errors: the next call is one too


def _callers_level() -> int:
    """The `stacklevel`, seen from `_say`, of whoever called this package, torch in between left out."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        level, frame = level + 1, frame.f_back
    return level
