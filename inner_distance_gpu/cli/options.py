"""What the commands share: how an option's text becomes a value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from .. import dispatch, engines
from ..labels.classes import ClassMap
from ..storage import Labels, open_labels
from ..storage.disk import local_path
from .terminal import errors

SCALE = "World units; the command scale suggests one. The target is tanh(distance / scale); 50,20: one per class or id"
VOXEL_SIZE = "In the order of the array's axes, in world units: 40,4,4. Default: that of the labels."
CLASSES = "One channel per class: mito=3+4,nucleus=7, or 3+4,7 without names."
KEY = "Which array of an .npz or HDF5 file or of a group."
LEVEL = "Level of a pyramid; 0 is the full resolution."
SELECT = "Index along an axis, which is dropped: c=1, or c=1,t=0."
LEVELS = "How many resolutions, each the average of the one before, for viewers; auto: until one fits a chunk."
UNIT = "Name of the world unit: nm. Labels in another unit are converted."


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


def scale_of(text: str) -> int | float | list[int | float] | None:
    """The text 50 as a number, 50,20 as a list with one per class or id, none as None."""
    if text == "none":
        return None
    scales = [number("scale", part) for part in text.split(",")]
    return scales if len(scales) > 1 else scales[0]


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


def classes_of(text: str | None, ignore_label: int | float | None) -> ClassMap | None:
    """The text mito=3+4,nucleus=7, or 3+4,7 without names; None where the option was not given."""
    if text is None:
        return None
    names, classes = [], []
    for part in text.split(","):
        name, named, ids = part.rpartition("=")
        names.append(name.strip() if named else None)
        classes.append([whole("classes", value) for value in ids.split("+")])
    if None in names and set(names) != {None}:
        raise ValueError(f"--classes {text}: expected a name for every class, or for none")
    twice = sorted({name for name in names if name is not None and names.count(name) > 1})
    if twice:
        raise ValueError(f"--classes {text}: {twice[0]!r} names several classes; a union is written {twice[0]}=3+4")
    given = classes if None in names else dict(zip(names, classes, strict=True))
    return ClassMap.checked(given, ignore_label)


def print_absent(titles: Sequence[str]) -> None:
    """One line for the classes that do not occur; none where all do."""
    if titles:
        errors.print(f"not in the labels, so their channels are background: {', '.join(titles)}")


def labels_of(
    where: str,
    key: str | None,
    voxel_size: str | None,
    unit: str = "",
    level: int = 0,
    select: Mapping[str, int] = {},
) -> tuple[Labels, tuple[float, ...]]:
    """The labels that an argument means, opened, and their voxel size; a notice of theirs is printed."""
    given = None if voxel_size is None else [number("voxel-size", part) for part in voxel_size.split(",")]
    opened = open_labels(where, key, level=level, select=select, voxel_size=given, unit=unit)
    sizes = opened.require_voxel_size()
    # Only type and shape are looked at; nothing is read for it.
    dispatch.accept_volumes(np.broadcast_to(np.zeros((), opened.dtype), opened.shape), sizes)
    if opened.notice:
        errors.print(opened.notice)
    return opened, sizes


def selection(text: str | None) -> dict[str, int]:
    """The text c=1,t=0 as {"c": 1, "t": 0}."""
    chosen: dict[str, int] = {}
    for part in [] if text is None else text.split(","):
        name, equals, index = part.partition("=")
        if not equals or name.strip() in ("", *chosen):
            raise ValueError(f"--select: {text!r}: expected every axis once, with an index, as in c=1 or c=1,t=0")
        chosen[name.strip()] = whole("select", index)
    return chosen


def progress_bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def read_box(opened: Labels, box: tuple[slice, ...]) -> npt.NDArray[Any]:
    return opened.read([axis.start for axis in box], [axis.stop for axis in box])


def local_inputs(where: str) -> tuple[Path, ...]:
    """The path of labels where it is a local one, which no output may replace."""
    path = Path(where.removeprefix("file://"))
    return (path,) if path.exists() else ()
