"""Which blocks are done: a file that only grows, of lines that are whole or do not count."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO


class Journal:
    """Records on disk. What `append` was given is there after a crash or a power cut once `append` has returned.

    One process at a time may have a journal open; threads of it may share it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[dict[str, Any]] = []
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def open(self) -> Iterator[Journal]:
        """Read what is there, cut off a line that a crash left unfinished, and keep the file for appending.

        Raises
        ------
        BlockingIOError
            Another process has it open.
        """
        with self.path.open("a+b") as file:
            _lock(file, self.path)
            file.seek(0)
            self.records, end = _read(file)
            file.truncate(end)
            os.fsync(file.fileno())
            self._file = file
            try:
                yield self
            finally:
                self._file = None

    def append(self, record: dict[str, Any]) -> None:
        text = json.dumps(record, separators=(",", ":")).encode()
        with self._lock:
            assert self._file is not None, "the journal is not open"
            self._file.write(b"%08x %s\n" % (zlib.crc32(text), text))
            self._file.flush()
            os.fsync(self._file.fileno())
            self.records.append(record)


def _read(file: BinaryIO) -> tuple[list[dict[str, Any]], int]:
    """The records up to the first line that is damaged, and where that line begins."""
    records, end = [], 0
    for line in file:
        checksum, _, text = line.rstrip(b"\n").partition(b" ")
        if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
            break
        records.append(json.loads(text))
        end += len(line)
    return records, end


def _lock(file: BinaryIO, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # not on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise BlockingIOError(error.errno, "another process is writing this output", str(path)) from None


def make_durable(paths: set[Path], root: Path) -> None:
    """Have the operating system put files that exist, and the names of all of them below `root`, on the disk."""
    folders: set[Path] = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            _sync(path)
        folders.update(parent for parent in path.parents if parent == root or root in parent.parents)
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        with contextlib.suppress(FileNotFoundError):
            _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
