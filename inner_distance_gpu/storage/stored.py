"""What every family of formats gives: an array in a file, and what the file states of its axes and its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .chunk_files import MetadataError

Box = tuple[tuple[int, ...], tuple[int, ...]]  # begin and end


@dataclass(frozen=True)
class Stated:
    """Per axis of the stored array; None where the file says nothing.

    Attributes
    ----------
    axes
        One-letter names, "" where unknown.
    sizes
        Voxel sizes.
    units
        As the file spells them; "" where it says nothing.
    places
        Of voxel 0: of its centre, or of its corner with `corners`.
    by
        What states the voxel size, for messages.
    dialect
        Which of the metadata of its format a file has: "ImageJ" or "OME" for a TIFF file; "" where there is one kind.
    affine
        The matrix of a NIfTI image, row by row, which says more than sizes and places; () without.
    """

    axes: tuple[str, ...]
    sizes: tuple[float | None, ...] = ()
    units: tuple[str, ...] = ()
    places: tuple[float | None, ...] = ()
    corners: bool = False
    by: str = ""
    dialect: str = ""
    affine: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class StoredArray:
    """An array in a file or store.

    Attributes
    ----------
    chunk
        Voxels per axis that are read at least, whatever is asked for.
    read
        (begin, end) within the array, to its values.
    missing
        (begin, end) to the boxes of the chunks in it that are not stored.
    folder
        Of a local Zarr array; None for anything else.
    looked_for
        What would have stated a voxel size, for the error where nothing does.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunk: tuple[int, ...]
    stated: Stated
    read: Callable[[Sequence[int], Sequence[int]], npt.NDArray[Any]]
    looked_for: str
    missing: Callable[[Sequence[int], Sequence[int]], list[Box]] = field(default=lambda begin, end: [])
    folder: Path | None = None


class AnsweredError(ValueError):
    """A message that names the place already."""


@contextlib.contextmanager
def opening(place: str) -> Iterator[None]:
    """Let whatever a library raises be an error that begins with the place as the user spelt it.

    Raises
    ------
    FileNotFoundError, OSError, ValueError, MemoryError
    """
    try:
        yield
    except AnsweredError as error:
        raise ValueError(str(error)) from None
    except MemoryError:
        raise
    except Exception as error:  # Libraries let struct, index, codec and JSON errors of a broken file through.
        said = first_line(error)
        if isinstance(error, MetadataError) or str(error).startswith(place):
            raise
        message = f"{place}: cannot read it ({said})"
        if isinstance(error, PermissionError):
            raise PermissionError(error.errno, "cannot read it: permission denied", place) from error
        if isinstance(error, BlockingIOError):  # HDF5 locks its files
            said = "cannot read it: another program has it open for writing; close it there"
            raise BlockingIOError(error.errno, said, place) from error
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, f"cannot read it ({error.strerror or said})", place) from error
        raise ValueError(message) from error


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = str(error).strip().splitlines()
    return (
        f"{type(error).__name__}: {lines[0]}"
        if lines and not isinstance(error, ValueError)
        else (lines[0] if lines else type(error).__name__)
    )


def missing_library(place: str, what: str, library: str, extra: str) -> AnsweredError:
    return AnsweredError(f"{place}: {what} needs {library}: pip install 'inner_distance_gpu[{extra}]'")


def letter(name: Any) -> str:
    """The one-letter name of an axis: "c" for "c^" or "channel"; "" for a name that says nothing."""
    text = str(name or "").strip().lower().rstrip("^")
    text = {"channel": "c", "channels": "c", "time": "t", "batch": "b"}.get(text, text)
    return text if len(text) == 1 and text.isalpha() else ""


def trailing(values: Sequence[float] | None, ndim: int) -> tuple[float | None, ...]:
    """Numbers of the last axes, one per axis: None in front."""
    numbers = [] if values is None else [float(value) for value in values]
    if len(numbers) > ndim:
        raise ValueError(f"{len(numbers)} numbers {numbers} for an array of {ndim} axes")
    return (*(None,) * (ndim - len(numbers)), *numbers)
