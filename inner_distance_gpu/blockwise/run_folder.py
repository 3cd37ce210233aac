"""The folder through which one run, and no other run, changes the chunks of an output.

A task that was given to a cluster cannot always be stopped: it may go on after the run that it belongs to was killed,
while a later run writes the same blocks from other parameters. So every change to a chunk is one rename out of the
run's own folder or into it, by its full path, and a run removes the folders of all runs before it while it holds the
lock, before it gives out its first task. The path has a random part and is never created again. A rename out of a
folder that was removed fails, and so does one into it, however long the task was delayed before. Nothing that a task
does outside its folder changes anything but by such a rename, folders of chunks included, and no chunk is ever removed
in order to be written anew. A finished output has no such folder, so nothing can change it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..storage import disk, zarr_arrays
from ..storage.chunk_files import ChunkFiles

STATE = ".unfinished"  # the folder with the journals, in the array's folder: gone when the output is complete
RUNS = "runs"  # its folder with a folder for the run that is under way
_TRIES = 20  # to put a file into a folder that other tasks create at the same time
_PATIENT = 5  # tries to replace a file that another program may have open, as Windows and CIFS refuse
_MOMENT = 0.02  # s, and twice as long each time
_MAY_END = disk.IN_USE | {errno.ESTALE}  # NFS: another machine has just changed the folder
_REMOVALS = 50  # tries to remove the folder of a run whose tasks still put files there


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run in the state of the array that it writes."""

    path: Path

    @classmethod
    @functools.lru_cache(maxsize=8)
    def of(cls, array: Path, run: str) -> RunFolder:
        return cls(array / STATE / RUNS / run)

    def check(self) -> None:
        """Raise unless the output still belongs to this run."""
        if not self.path.is_dir():
            raise FileNotFoundError(
                errno.ENOENT, "the output was removed, or another run has taken it over", str(self.path.parents[2])
            )

    def put(self, data: Any, path: Path) -> None:
        """Let the file `path` have these bytes, which are on the disk before they have the name."""
        temporary = self._new()
        try:
            try:
                file = temporary.open("xb")
            except FileNotFoundError:
                self.check()
                raise
            with file:
                file.write(data)
                file.flush()
                disk.sync(file, path)
            self._rename(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise

    def remove(self, path: Path) -> None:
        """Let there be no file `path`."""
        temporary = self._new()
        try:
            os.rename(path, temporary)
        except (FileNotFoundError, NotADirectoryError):
            self.check()
            return
        temporary.unlink()

    def _new(self) -> Path:
        return self.path / secrets.token_hex(12)

    def _rename(self, temporary: Path, path: Path) -> None:
        refused = 0
        for _ in range(_TRIES):
            try:
                os.replace(temporary, path)
                return
            except FileNotFoundError:
                self.check()
                self._make_folder(path.parent)
            except OSError as error:
                refused += 1
                if error.errno not in _MAY_END or refused == _PATIENT:
                    raise
                time.sleep(_MOMENT * 2**refused)
        os.replace(temporary, path)

    def _make_folder(self, folder: Path) -> None:
        """A folder for chunks. mkdir at its place would also be done by a task whose run is over."""
        if folder.is_dir():
            return
        if not folder.parent.is_dir():
            self._make_folder(folder.parent)
        made = self._new()
        made.mkdir()
        try:
            os.rename(made, folder)
        except OSError as error:
            made.rmdir()
            # Other tasks create folders at the same time, and the caller tries again.
            if not folder.is_dir() and not isinstance(error, FileNotFoundError):
                raise


def make_durable(folders: set[Path], array: Path, run: str) -> None:
    """Have the operating system put the names of the chunks in these folders on the disk, and those of the folders."""
    for folder in folders:
        with contextlib.suppress(FileNotFoundError):  # no chunk of it is stored
            disk.sync_folder(folder)
            if folder != array:
                _make_name_durable(folder, array, run)


@functools.lru_cache(maxsize=4096)
def _make_name_durable(folder: Path, array: Path, run: str) -> None:
    """Once per folder and run: most blocks lie in folders that other blocks lie in, and a call to the disk is dear."""
    disk.sync_folder(folder.parent)
    if folder.parent != array:
        _make_name_durable(folder.parent, array, run)


def end_runs(array: Path) -> None:
    """Remove the folders of all runs, so that no task of theirs can change the array any more.

    Raises
    ------
    OSError
        One cannot be removed, and not even moved.
    """
    runs = array / STATE / RUNS
    for folder in list(runs.iterdir()) if runs.is_dir() else ():
        # Moved at first: a task that finds its folder for as long as this takes puts further files into it.
        moved = runs / f"{secrets.token_hex(12)}.ended"
        folder.rename(moved)
        for _ in range(_REMOVALS):
            shutil.rmtree(moved, ignore_errors=True)
            if not moved.exists():
                break
            time.sleep(0.02)


def sweep(array: Path) -> None:
    """Remove what killed runs of earlier versions left beside chunks and metadata: files that were to be renamed."""
    for folder, _, names in os.walk(array):
        for name in names:
            if name.endswith(".partial"):
                Path(folder, name).unlink(missing_ok=True)


def encoded_chunk(array: Path, run: str, index: tuple[int, ...], values: npt.NDArray[Any]) -> bytes | None:
    """What zarr-python would store for a chunk, or a shard, with these values; None where it stores nothing."""
    staging, stored, files = _staging(array, run, threading.get_ident())
    region = files.part(index, tuple(slice(0, n) for n in files.shape))
    staging[region] = values
    found = stored.pop(files.path(index).relative_to(array).as_posix(), None)
    return None if found is None else found if isinstance(found, bytes) else bytes(found.to_bytes())


@functools.lru_cache(maxsize=64)
def _staging(array: Path, run: str, thread: int) -> tuple[Any, dict[str, Any], ChunkFiles]:
    """An array in memory with the metadata of that on the disk, and the files that it consists of."""
    found = zarr_arrays.node(array)
    assert found is not None
    zarr = zarr_arrays.library(array, found.format)
    name = "zarr.json" if found.format == 3 else ".zarray"
    data: Any = (array / name).read_bytes()
    if zarr_arrays.is_2(zarr):
        stored: dict[str, Any] = {name: data}
        return zarr.open_array(store=stored, mode="r+"), stored, ChunkFiles.of(array)
    from zarr.core.buffer import default_buffer_prototype

    stored = {name: default_buffer_prototype().buffer.from_bytes(data)}
    opened = zarr.open_array(store=zarr.storage.MemoryStore(stored), mode="r+", zarr_format=found.format)
    return opened, stored, ChunkFiles.of(array)


def stored_values(values: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[Any]:
    """The values padded with zeros to the shape of a whole chunk, which is what a file holds at the end of an array."""
    if values.shape == shape:
        return values
    return np.pad(values, [(0, n - size) for n, size in zip(shape, values.shape, strict=True)])
