"""Labels of a region, read from where they are, or an error that names the block and the file."""

from __future__ import annotations

import errno
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..storage import Labels, zarr_arrays
from ..storage.chunk_codec import ChunkCodec
from ..storage.chunk_files import ChunkFiles
from .grid import Place, Slices


@functools.lru_cache(maxsize=8)
def opened(path: Path, mode: str, run: str) -> Any:
    """The Zarr array at a path, opened once per process and run: what lies there may change between two runs."""
    return zarr_arrays.open_array(path, mode)


@functools.lru_cache(maxsize=8)
def chunk_files(path: Path, run: str) -> ChunkFiles:
    return ChunkFiles.of(path)


@functools.lru_cache(maxsize=8)
def chunk_codec(path: Path, run: str) -> ChunkCodec | None:
    return ChunkCodec.of(path)


@dataclass(frozen=True)
class Source:
    """The labels at `path`. With `missing="error"` a chunk that is not stored is an error, else it is fill value.

    `run` is different for every run.
    """

    path: Path
    missing: str
    run: str

    @property
    def name(self) -> str:
        return str(self.path)

    def array(self) -> Any:
        """An array that reads what it is indexed with."""
        return zarr_arrays.open_array(self.path)

    @property
    def files(self) -> ChunkFiles:
        return chunk_files(self.path, self.run)

    def values(self, region: Slices) -> npt.NDArray[Any]:
        """The values of a region of the array."""
        codec = chunk_codec(self.path, self.run)
        if codec is not None:
            return codec.read(region)
        for index in self.files.touching(region):
            if (path := self.files.path(index)).is_dir():  # zarr-python takes it for a chunk that is not stored
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        return np.asarray(opened(self.path, "r", self.run)[region])

    def read(self, place: Place) -> npt.NDArray[Any]:
        """The labels of a block with its halo.

        Raises
        ------
        ValueError, OSError
            A chunk is missing or broken; the message names the block and the file.
        """
        region = (*(slice(i, i + 1) for i in place.volume), *place.around)
        files = self.files
        if self.missing == "error" or not files.has_fill_value:
            self._refuse_missing(place, region)
        try:
            values = self.values(region)
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # codecs raise what they like
            raise self._explained(error, place, region) from error
        return values.reshape(values.shape[len(place.volume) :])

    def count_missing(self, place: Place) -> int:
        """How many chunks are not stored, of those whose first voxel is in the block."""
        region = (*(slice(i, i + 1) for i in place.volume), *place.inner)
        files = self.files
        return sum(
            not os.path.exists(files.name(index))
            for index in files.touching(region)
            if all(axis.start <= i * n for i, n, axis in zip(index, files.chunk, region, strict=True))
        )

    def _refuse_missing(self, place: Place, region: Slices) -> None:
        files = self.files
        for index in files.touching(region):
            if not files.path(index).exists():
                why = "the array has no fill value" if not files.has_fill_value else "missing='error'"
                raise FileNotFoundError(
                    errno.ENOENT,
                    f"block {place} of {self.path}: the chunk {index} is not stored, and {why}",
                    str(files.path(index)),
                )

    def _explained(self, error: Exception, place: Place, region: Slices) -> Exception:
        """The same error with the block and, where a single chunk can be found guilty, its file."""
        files = self.files
        guilty = ""
        for index in files.touching(region):
            try:
                self.values(files.part(index, region))
            except Exception as broken:  # as above
                guilty, error = f" in {files.path(index)}", broken
                break
        message = f"block {place} of {self.path} cannot be read: {type(error).__name__}{guilty} ({error})"
        if isinstance(error, OSError):
            return OSError(message) if error.errno is None else OSError(error.errno, message)
        return ValueError(message)


@dataclass(frozen=True)
class LabelsSource:
    """Labels that are no local Zarr array, block by block; the rest as for `Source`."""

    labels: Labels
    missing: str
    run: str

    @property
    def name(self) -> str:
        return self.labels.where

    def array(self) -> Any:
        return _Indexed(self.labels)

    def read(self, place: Place) -> npt.NDArray[Any]:
        """The labels of a block with its halo.

        Raises
        ------
        ValueError, OSError
            They cannot be read, or a chunk is missing; the message names the block and the labels.
        """
        begin, end = _box(place.volume, place.around)
        try:
            if self.missing == "error" and (absent := self.labels.missing(begin, end)):
                raise FileNotFoundError(f"{self.name}: the chunk at {absent[0][0]} is not stored, and missing='error'")
            values = self.labels.read(begin, end)
        except (MemoryError, ImportError):
            raise
        except OSError as error:
            said = f"block {place}: {error.strerror or error}"
            raise OSError(error.errno, said, self.name) if error.errno else type(error)(said) from error
        except ValueError as error:
            raise ValueError(f"block {place}: {error}") from error
        return values.reshape(values.shape[len(place.volume) :])

    def count_missing(self, place: Place) -> int:
        """How many chunks are not stored, of those whose first voxel is in the block."""
        begin, end = _box(place.volume, place.inner)
        boxes = self.labels.missing(begin, end)
        return sum(all(low >= b for low, b in zip(first, begin, strict=True)) for first, _ in boxes)


def _box(volume: tuple[int, ...], region: Slices) -> tuple[tuple[int, ...], tuple[int, ...]]:
    begin = (*volume, *(axis.start for axis in region))
    return begin, (*(i + 1 for i in volume), *(axis.stop for axis in region))


class _Indexed:
    """Labels that are read where they are indexed with whole numbers and slices."""

    def __init__(self, labels: Labels) -> None:
        self._labels, self.shape = labels, labels.shape

    def __getitem__(self, index: tuple[Any, ...]) -> npt.NDArray[Any]:
        full = (*index, *(slice(None),) * (len(self.shape) - len(index)))
        bounds = [
            axis.indices(n)[:2] if isinstance(axis, slice) else (int(axis), int(axis) + 1)
            for axis, n in zip(full, self.shape, strict=True)
        ]
        values = self._labels.read([first for first, _ in bounds], [last for _, last in bounds])
        return values[tuple(slice(None, None, a.step) if isinstance(a, slice) else 0 for a in full)]
