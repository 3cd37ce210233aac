"""What the commands share: how an option's text becomes a value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import dispatch, engines
from ..storage import Labels, open_labels
from ..storage.disk import local_path
from .terminal import errors

VOXEL_SIZE = "In array-axis order, world units: 40,4,4. Default: what the labels state."
KEY = "Which array of an .npz or HDF5 file or of a group."
LEVELS = "Resolutions, each the average of the one before, for viewers; auto: until one fits a chunk."
UNIT = "The world unit's name: nm. Labels that state another are converted to it."


def path(name: str | Path) -> Path:
    """The path of an argument, as `typer` parses it; an address ends the program with its whole spelling."""
    try:
        return local_path(name)
    except ValueError as error:  # typer would say no more than that the value is invalid
        raise OSError(str(error)) from None


def choose_engine(engine: str) -> str:
    """The engine's name, "auto" resolved; raises where it cannot run here."""
    name = engines.check_name(engine)
    name = engines.fastest() if name == "auto" else name
    engines.require(name)
    return name


def scale_of(text: str) -> int | float | None:
    return None if text == "none" else number("scale", text)


def number(option: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ValueError(f"--{option}: {text!r} is no number")


def whole(option: str, text: str) -> int:
    value = number(option, text)
    if not isinstance(value, int):
        raise ValueError(f"--{option}: {text!r} is no whole number")
    return value


def whole_numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    """The text 1,2,7 as (1, 2, 7); None where the option was not given."""
    return None if text is None else tuple(whole(option, part) for part in text.split(","))


def level_count(text: str) -> int | str:
    return text if text == "auto" else whole("levels", text)


def labels_of(where: str, key: str | None, voxel_size: str | None, unit: str = "") -> tuple[Labels, tuple[float, ...]]:
    """The labels that an argument means, opened, and their voxel size; a notice of theirs is printed."""
    given = None if voxel_size is None else [number("voxel-size", part) for part in voxel_size.split(",")]
    opened = open_labels(where, key, voxel_size=given, unit=unit)
    sizes = opened.require_voxel_size()
    # Only type and shape are looked at; nothing is read for it.
    dispatch.accept_volumes(np.broadcast_to(np.zeros((), opened.dtype), opened.shape), sizes)
    if opened.notice:
        errors.print(opened.notice)
    return opened, sizes


def read_box(opened: Labels, box: tuple[slice, ...]) -> npt.NDArray[Any]:
    return opened.read([axis.start for axis in box], [axis.stop for axis in box])


def local_inputs(where: str) -> tuple[Path, ...]:
    """The path of labels where it is a local one, which no output may replace."""
    path = Path(where.removeprefix("file://"))
    return (path,) if path.exists() else ()
