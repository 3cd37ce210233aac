"""Targets in files and Zarr stores that are either complete or not there."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from ..parameters import TargetParameters
from . import consolidated, disk, layouts, zarr_arrays, zarr_target
from .opening import Labels
from .target import Target

# A folder may have a name like x.zarr and hold such files.
READ_AS_FILES = (*layouts.SUFFIXES, ".npz")
WRITABLE = ".npy, TIFF, HDF5, NIfTI or Zarr"
PACKED = 1  # of gzip's levels, as nibabel takes it


def is_zarr(path: Path) -> bool:
    """Whether a path means a Zarr array or group rather than a file."""
    return not path.name.lower().endswith(READ_AS_FILES) and zarr_arrays.is_zarr(path)


def sidecar_of(path: Path) -> Path:
    """Where the description of a file stands: t.json for t.npy, and t.tif.json for t.tif, so that both may be there."""
    return path.with_suffix(".json") if path.suffix.lower() == ".npy" else path.with_name(f"{path.name}.json")


def check_target(path: Path, overwrite: bool, inputs: tuple[Path, ...] = (), key: str | None = None) -> None:
    """Raise unless a target may be written at `path`: a file with its sidecar, or OME-Zarr."""
    if is_zarr(path):
        stores = tuple(zarr_arrays.locate(other, key).path for other in inputs if is_zarr(other))
        zarr_target.check_writable(path, overwrite, inputs + stores)
        return
    check_writable(path, layouts.SUFFIXES, overwrite, inputs)
    check_writable(sidecar_of(path), (".json",), overwrite, inputs)


def check_apart(target: Path, weight: Path) -> None:
    """Raise unless two outputs are different ones, their descriptions too."""
    taken = _written(target)
    for path in _written(weight):
        if path in taken or any(path in other.parents or other in path.parents for other in taken):
            raise ValueError(f"{path}: is also written for {target}; choose another name")


def _written(path: Path) -> list[Path]:
    """What a target consists of: a file and its description, or the folder of a group."""
    parts = (path,) if is_zarr(path) else (path, sidecar_of(path))
    return [Path(os.path.realpath(part)) for part in parts]


def check_writable(path: Path, suffixes: Sequence[str], overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Raise unless `path` may be written: right suffix, existing folder, no file that would be lost."""
    if not path.name.lower().endswith(tuple(suffixes)):
        raise ValueError(f"{path}: expected a name that ends in {' or '.join(suffixes)}")
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
        disk.sync_folder(path.parent)


def describe(parameters: TargetParameters, engine: str, version: str, source: str, **more: Any) -> dict[str, Any]:
    """What a target was computed from and with, this package's version too, for its sidecar; `more` overrides."""
    described = parameters.described() | {"engine": engine, "version": version, "source": source} | more
    infinite = {name: str(value) for name, value in described.items() if value != value or value in (inf, -inf)}
    return described | infinite  # JSON has no NaN and no infinity


@contextlib.contextmanager
def writing_target(path: Path, target: Target, labels: Labels | None = None) -> Iterator[Any]:
    """`writing_targets` of one target."""
    with writing_targets([(path, target)], labels) as (values,):
        yield values


@contextlib.contextmanager
def writing_targets(outputs: Sequence[tuple[Path, Target]], labels: Labels | None = None) -> Iterator[list[Any]]:
    """float32 arrays on disk to fill, described: files of the formats of `layouts` with a JSON sidecar, or OME-Zarr.

    Everything is there at the end, or nothing: no output has its name before all are whole and on the disk. Zarr takes
    the format of the labels' store.

    Raises
    ------
    ValueError, OSError
        A format cannot hold its target, or a file cannot be written; the message names it.
    """
    with contextlib.ExitStack() as stack:
        opened: list[_File | zarr_target.Store] = []
        for path, target in outputs:
            if is_zarr(path):
                opened.append(stack.enter_context(zarr_target.writing(path, target, labels)))
            else:
                opened.append(stack.enter_context(_writing_file(path, target)))
        yield [output.values for output in opened]
        for output in opened:
            output.finish()
    for path, _ in outputs:
        if is_zarr(path):
            consolidated.renew(path)


@contextlib.contextmanager
def _writing_file(path: Path, target: Target) -> Iterator[_File]:
    for one in (path, sidecar_of(path)):
        disk.remove_abandoned_files(one)
    with writing(sidecar_of(path)) as described, writing(path) as temporary, contextlib.ExitStack() as stack:
        with disk.naming(path):
            file = stack.enter_context(_closing(temporary.open("x+b")))
            disk.lock(file, path)  # for `remove_abandoned_files` of other processes
            raw = file
            if path.name.lower().endswith(".gz"):  # which is written in order, while parts come in any
                scratch = tempfile.TemporaryFile(dir=temporary.parent)  # noqa: SIM115
                raw = stack.enter_context(_closing(scratch))
            layout = layouts.begin(raw, path, target)
        yield _File(path, target, Parts(raw, path, target.shape, layout), file, described)


@contextlib.contextmanager
def _closing(file: Any) -> Iterator[Any]:
    """Close a file in the end. After an error, what is in its buffer may not be written either, which says no more."""
    try:
        yield file
    except BaseException:
        with contextlib.suppress(OSError):
            file.close()
        raise
    file.close()


class _File:
    """A file that is being written, and its description."""

    def __init__(self, path: Path, target: Target, values: Parts, file: BinaryIO, described: Path) -> None:
        self.values = values
        self._path, self._target, self._file, self._described = path, target, file, described

    def finish(self) -> None:
        """Have everything on the disk."""
        with disk.naming(self._path):
            if self.values.file is not self._file:
                self.values.file.seek(0)
                with gzip.GzipFile(filename="", fileobj=self._file, mode="wb", compresslevel=PACKED, mtime=0) as packed:
                    shutil.copyfileobj(self.values.file, packed, 2**20)
            self._file.flush()
            disk.sync(self._file, self._path)
            with self._described.open("x+b") as file:
                file.write((json.dumps(self._target.description, indent=2) + "\n").encode())
                file.flush()
                disk.sync(file, sidecar_of(self._path))
        # Windows renames no file that is open.
        self._file.close()


class Parts:
    """An array of float32 in a file that is filled in parts: each the whole array, or that of an index of leading axes.

    It is written, not mapped: Windows renames no file that is mapped, and a full disk kills a process that fills one.
    """

    def __init__(self, file: BinaryIO, path: Path, shape: tuple[int, ...], layout: layouts.Layout) -> None:
        self.file, self._path, self._shape, self._begin = file, path, shape, layout.offset
        self._in_order = layout.order == tuple(range(len(shape)))
        steps, behind = [0] * len(shape), 4
        for axis in reversed(layout.order):
            steps[axis], behind = behind, behind * shape[axis]
        self._steps = steps  # bytes from one index of an axis to the next
        end = self._begin + behind
        with disk.naming(path):  # HDF5 leaves the end of its file to the values
            file.seek(0, os.SEEK_END)
            if file.tell() < end:
                file.truncate(end)

    def __setitem__(self, index: Any, values: npt.ArrayLike) -> None:
        leading = () if index is ... else tuple(index)
        part = np.broadcast_to(values, self._shape[len(leading) :])
        # Other orders have only the planes in one piece.
        inside = () if self._in_order else part.shape[:-2]
        for within in np.ndindex(inside):
            at = (*leading, *within)
            with disk.naming(self._path):
                self.file.seek(self._begin + sum(i * step for i, step in zip(at, self._steps, strict=False)))
                self.file.write(np.ascontiguousarray(part[within], "<f4").data)
                self.file.flush()
