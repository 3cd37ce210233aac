"""Targets in files and Zarr stores that are either complete or not there."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..parameters import TargetParameters
from . import disk, zarr_arrays

# A folder may have a name like x.zarr and hold such files.
READ_AS_FILES = (".npy", ".npz", ".tif", ".tiff")


def is_zarr(path: Path) -> bool:
    """Whether a path means a Zarr array or group rather than a file."""
    return path.suffix.lower() not in READ_AS_FILES and zarr_arrays.is_zarr(path)


def sidecar_of(path: Path) -> Path:
    """Where the description of `path` stands: the same name with .json."""
    return path.with_suffix(".json")


def check_target(path: Path, overwrite: bool, inputs: tuple[Path, ...] = (), key: str | None = None) -> None:
    """Raise unless a target may be written at `path`: a .npy with its sidecar, or a Zarr array."""
    if is_zarr(path):
        stores = tuple(zarr_arrays.locate(other, key).path for other in inputs if is_zarr(other))
        zarr_arrays.check_writable(path, overwrite, inputs + stores)
        return
    check_writable(path, ".npy", overwrite, inputs)
    check_writable(sidecar_of(path), ".json", overwrite, inputs)


def check_writable(path: Path, suffix: str, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Raise unless `path` may be written: right suffix, existing folder, no file that would be lost."""
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path}: expected a name that ends in {suffix}")
    if os.path.islink(os.path.realpath(path)):
        raise ValueError(f"{path}: is a link that leads to itself")
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: the folder {folder} does not exist")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; expected a file name")
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise ValueError(f"{path}: is also an input; writing there would destroy it")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; --overwrite replaces it")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well and vanishes otherwise.

    A link stays: what it points to is written.
    """
    path = Path(os.path.realpath(path))
    with disk.beside(path) as temporary:
        yield temporary
        disk.put(temporary, path)


def describe(parameters: TargetParameters, engine: str, version: str, source: str, **more: Any) -> dict[str, Any]:
    """What a target was computed from and with, this package's version too, for its sidecar; `more` overrides."""
    described = asdict(parameters) | {"engine": engine, "version": version, "source": source} | more
    infinite = {name: str(value) for name, value in described.items() if value != value or value in (inf, -inf)}
    return described | infinite  # JSON has no NaN and no infinity


@contextlib.contextmanager
def writing_target(
    path: Path, shape: tuple[int, ...], description: dict[str, Any], like: Path | None = None
) -> Iterator[Any]:
    """A float32 array on disk to fill, described: a .npy with a JSON sidecar, or a Zarr array with attributes.

    Everything is there at the end, or nothing. A Zarr array takes the format of the store `like`.
    """
    if is_zarr(path):
        with zarr_arrays.writing(path, shape, description, like) as array:
            yield array
        return
    for one in (path, sidecar_of(path)):
        disk.remove_abandoned_files(one)
    with writing(sidecar_of(path)) as sidecar, writing(path) as temporary:
        with temporary.open("xb") as file:
            disk.lock(file, path)  # for `remove_abandoned_files` of other processes
            yield _Parts(file, path, shape)
        sidecar.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")


class _Parts:
    """A float32 .npy file that is filled in parts: each the whole array, or what an index of leading axes means.

    It is written, not mapped: Windows renames no file that is mapped, and a full disk kills a process that fills one.
    """

    def __init__(self, file: BinaryIO, path: Path, shape: tuple[int, ...]) -> None:
        self._file, self._path, self._shape = file, path, shape
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        self._begin = file.tell()

    def __setitem__(self, index: Any, values: npt.ArrayLike) -> None:
        leading = () if index is ... else index
        part = self._shape[len(leading) :]
        number = sum(i * math.prod(self._shape[axis + 1 : len(leading)]) for axis, i in enumerate(leading))
        try:
            self._file.seek(self._begin + number * math.prod(part) * 4)
            self._file.write(np.ascontiguousarray(np.broadcast_to(values, part), "<f4").data)
            self._file.flush()
        except OSError as error:
            raise OSError(error.errno, f"cannot be written ({error.strerror})", str(self._path)) from error
