"""Which blocks are done: a file that only grows, of lines that are whole or do not count."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
import zlib
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any, BinaryIO

from ..storage import disk


class Journal:
    """Records on disk. What `append` was given is there after a crash or a power cut once `append` has returned.

    One process at a time may have a journal open; threads of it may share it. `take` is called with each record, those
    that `open` finds and those that are appended, one at a time: there may be millions, so none is kept here.
    """

    def __init__(self, path: Path, take: Callable[[dict[str, Any]], None] = lambda record: None) -> None:
        self.path = path
        self._take = take
        self._file: FileIO | None = None
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def open(self) -> Iterator[Journal]:
        """Read what is there, cut off a line that a crash left unfinished, and keep the file for appending.

        Raises
        ------
        BlockingIOError
            Another process has it open.
        """
        with self.path.open("a+b", buffering=0) as file:
            disk.lock(file, self.path)
            # Another process may have removed this file, with its lock, before it was locked here.
            if not os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.path))
            with self.path.open("rb") as contents:
                end = self._read(contents)
            file.truncate(end)
            disk.sync(file, self.path)
            self._file = file
            try:
                yield self
            finally:
                self._file = None

    def append(self, record: dict[str, Any]) -> None:
        text = json.dumps(record, separators=(",", ":")).encode()
        line = b"%08x %s\n" % (zlib.crc32(text), text)
        with self._lock:
            assert self._file is not None, "the journal is not open"
            try:
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                disk.sync(self._file, self.path)
            except OSError as error:
                raise OSError(
                    error.errno, f"a block cannot be marked done: {error.strerror}", str(self.path)
                ) from error
            self._take(record)

    def _read(self, file: BinaryIO) -> int:
        """Take the records up to the first line that is damaged; returns where that line begins."""
        end = 0
        for line in file:
            checksum, _, text = line.rstrip(b"\n").partition(b" ")
            if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
                break
            self._take(json.loads(text))
            end += len(line)
        return end
