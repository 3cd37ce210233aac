"""Labels from .npy, .npz and PNG files: these state no voxel size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from .stored import AnsweredError, Stated, StoredArray, missing_library

NOTHING = "nothing: a file of this kind states none"


def open_npy(place: str, path: Path) -> StoredArray:
    """The array of a .npy file, mapped into memory."""
    array = np.lib.format.open_memmap(path, mode="r")
    chunk = (1,) * (array.ndim - 1) + array.shape[-1:]

    def read(begin: Any, end: Any) -> Any:
        # Mapped anew: a file that is shorter by now is an error here, and ends the process in an old map. A caller may
        # write into what it read.
        mapped = np.lib.format.open_memmap(path, mode="c")
        return mapped[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))]

    return StoredArray(array.shape, array.dtype, chunk, Stated(("",) * array.ndim), read, NOTHING)


def open_npz(place: str, path: Path, key: str | None) -> StoredArray:
    """One array of a .npz archive: the only one, or the one called "labels" where `key` is None."""
    with np.load(path, allow_pickle=False) as archive:
        names = list(archive.files)
        chosen = key if key is not None else names[0] if len(names) == 1 else "labels"
        if chosen not in names:
            raise AnsweredError(f"{place}: no array {chosen!r} among {names}; name one with --key")
        array = np.asarray(archive[chosen])
    return in_memory(array, ("",) * array.ndim, array.shape)


def open_png(place: str, path: Path) -> StoredArray:
    """A PNG of one label per pixel. A palette only colours the ids, so it is left out."""
    try:
        from PIL import Image
    except ImportError:
        raise missing_library(place, "PNG", "Pillow", "volumes") from None
    with Image.open(path) as picture:
        if picture.mode not in ("1", "L", "P", "I", "I;16", "I;16B", "F"):
            raise AnsweredError(
                f"{place}: is a colour image ({picture.mode}) of shape {picture.size[::-1]}; "
                "expected one label per pixel"
            )
        array = np.array(picture)
    return in_memory(array, ("y", "x"), array.shape)


def in_memory(array: Any, axes: tuple[str, ...], chunk: tuple[int, ...]) -> StoredArray:
    """An array that NumPy holds or maps."""

    def read(begin: Any, end: Any) -> Any:
        return array[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))]

    return StoredArray(array.shape, array.dtype, chunk, Stated(axes), read, NOTHING)
