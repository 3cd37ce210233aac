"""Labels of a region, read from Zarr, or an error that names the block and the file."""

from __future__ import annotations

import errno
import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..storage import zarr_arrays
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
