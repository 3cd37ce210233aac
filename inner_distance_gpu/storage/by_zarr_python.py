"""Zarr arrays that tensorstore refuses, read by zarr-python: zip files, and codecs that only numcodecs has."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import zarr_arrays, zarr_nodes
from .chunk_files import ChunkFiles
from .stored import AnsweredError, Box, Stated, StoredArray

DOCUMENTS = ("zarr.json", ".zarray", ".zattrs", ".zgroup")


def check_metadata(path: Path) -> None:
    """Raise a MetadataError, which names the file, where the JSON files of a local node are not what Zarr says."""
    found = zarr_nodes.node(path)
    if found is None:
        return
    if found.kind == "group":
        zarr_nodes.datasets(found)
    else:
        ChunkFiles.of(path)


def open_array(
    place: str, path: str, chunk: tuple[int, ...], stated: Stated, refusal: str, archive: Path | None = None
) -> StoredArray:
    """The array at a local path, or at a path within a zip file.

    Raises
    ------
    AnsweredError
        zarr-python cannot read it either.
    """
    try:
        array = _in_zip(place, archive, path) if archive else zarr_arrays.open_array(Path(path))
    except Exception as error:
        raise AnsweredError(f"{place}: cannot read it ({refusal}; zarr-python: {error})") from error
    files = None if archive else ChunkFiles.of(Path(path))
    shape = tuple(int(n) for n in array.shape)

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        if files is not None and not files.has_fill_value and (absent := missing(begin, end)):
            raise FileNotFoundError(f"{place}: the chunk at {absent[0][0]} is not stored, and there is no fill value")
        opened = _in_zip(place, archive, path) if archive else array  # processes must not share a zip file's place
        return np.asarray(opened[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))])

    def missing(begin: Sequence[int], end: Sequence[int]) -> list[Box]:
        if files is None:
            return []
        region = tuple(slice(b, e) for b, e in zip(begin, end, strict=True))
        whole = tuple(slice(0, n) for n in shape)
        boxes = [files.part(index, whole) for index in files.touching(region) if not files.path(index).exists()]
        return [(tuple(axis.start for axis in box), tuple(axis.stop for axis in box)) for box in boxes]

    folder = None if archive else Path(path)
    return StoredArray(
        shape, np.dtype(array.dtype), tuple(chunk), stated, read, "OME-Zarr and attributes", missing, folder
    )


def _in_zip(place: str, archive: Path, path: str) -> Any:
    zarr = zarr_arrays.library(archive, 2)
    store = zarr.ZipStore if zarr_arrays.is_2(zarr) else zarr.storage.ZipStore
    return zarr.open_array(store(str(archive), mode="r"), path=path, mode="r")


def unpack_metadata(place: str, archive: Path, folder: Path) -> None:
    """Unpack the metadata of a zip file, and none of its data, into a folder.

    Raises
    ------
    AnsweredError
        It is no zip file, or holds no Zarr.
    """
    try:
        with zipfile.ZipFile(archive) as packed:
            names = [name for name in packed.namelist() if name.rsplit("/", 1)[-1] in DOCUMENTS]
            for name in names:
                packed.extract(name, folder)
    except zipfile.BadZipFile as error:
        raise AnsweredError(f"{place}: cannot read it ({error})") from error
    if not names:
        raise AnsweredError(f"{place}: cannot read it: a zip file without Zarr metadata")
