"""Local paths, and what not every file system can do with them: locks, fsync, a file in the place of another.

Where it is safe to go on without, a `FileSystemWarning` says so once per process; otherwise an OSError names the path,
the cause and a way out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

# What system calls answer where the file system, rather than the disk, is the cause: it does not have this call.
_NOT_THERE = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}
_NO_LOCKS = _NOT_THERE | {errno.ENOLCK}
_NO_FOLDERS = _NOT_THERE | {errno.EACCES, errno.EPERM, errno.EBADF, errno.EISDIR}
_LOCKED = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}
_LOCKED_BYTE = 2**31 - 2  # on Windows a lock keeps others from reading the byte, so it lies behind the contents
_NO_RENAMES = {errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EXDEV}
IN_USE = {errno.EACCES, errno.EPERM, errno.EBUSY}  # also of a file that another program has open
_CHECKS = 4  # that a folder stays removed
WORKING = "working"  # the file that a process locks in the temporary folder in which it creates an output
_NAME_LETTERS = 40  # of a name that go into a temporary one: file systems allow 255 bytes in all, 4 a letter

_said: set[str] = set()
_saying = threading.Lock()


def local_path(name: str | Path) -> Path:
    """The path that a user named.

    Raises
    ------
    ValueError
        It is an address. A path would lose a slash of it, so no message could repeat it.
    """
    if isinstance(name, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", name):
        raise ValueError(f"{name}: cannot read or write addresses; expected the path of a local file or folder")
    return Path(name)


class FileSystemWarning(UserWarning):
    """This file system cannot do something that protects an output; the work goes on without."""


def lock(file: BinaryIO, path: Path) -> None:
    """Lock a file that is open for writing, until it is closed. Without locks on its file system: a warning.

    Raises
    ------
    BlockingIOError
        Another process has locked it.
    OSError
        It cannot be locked for another reason.
    """
    try:
        _lock(file)
    except OSError as error:
        if error.errno in _LOCKED:
            raise BlockingIOError(error.errno, "another process is writing this output", str(path)) from None
        if error.errno not in _NO_LOCKS:
            raise OSError(error.errno, f"cannot be locked ({error.strerror})", str(path)) from error
        _say_once(
            "lock",
            f"{path}: this file system has no locks ({error.strerror}), so nothing stops a second process that writes "
            "the same output: start one at a time. Lustre has locks where it is mounted with -o flock",
        )


def _lock(file: BinaryIO) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        file.seek(_LOCKED_BYTE)
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined, unused-ignore]
        return
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sync(file: BinaryIO, path: Path) -> None:
    """Have the operating system put on the disk what an open file holds. Where it cannot: a warning.

    Raises
    ------
    OSError
        The disk failed or is full.
    """
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise OSError(error.errno, f"cannot be put on the disk ({error.strerror})", str(path)) from error
        _say_unsafe(path, error)


def make_durable(paths: set[Path], root: Path) -> None:
    """Have the operating system put paths that exist, and the names of all of them below `root`, on the disk."""
    folders: set[Path] = {path for path in paths if path.is_dir()}
    for path in paths - folders:
        # Windows puts a file on the disk only for those who may write it.
        with contextlib.suppress(FileNotFoundError), path.open("r+b") as file:
            sync(file, path)
    for path in paths:
        folders.update(parent for parent in path.parents if parent == root or root in parent.parents)
    for folder in sorted(folders, key=lambda folder: -len(folder.parts)):
        with contextlib.suppress(FileNotFoundError):
            sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Have the operating system put the names in a folder on the disk. Where it cannot: a warning.

    Raises
    ------
    OSError
        The folder is gone, or the disk failed.
    """
    if os.name == "nt":  # folders cannot be opened there
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno not in _NO_FOLDERS:
            raise OSError(error.errno, f"cannot be put on the disk ({error.strerror})", str(folder)) from error
        _say_unsafe(folder, error)


def _say_unsafe(path: Path, error: OSError) -> None:
    _say_once(
        "sync",
        f"{path}: this file system cannot be told to put files on the disk ({error.strerror}). An output survives a "
        "killed process, but after a power cut or a crash of the machine compute it anew",
    )


def _say_once(what: str, message: str) -> None:
    with _saying:
        if what in _said:
            return
        _said.add(what)
    warnings.warn(message, FileSystemWarning, stacklevel=3)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[Path]:
    """A name in the folder of `path` that nothing has; what has it when the block ends is removed.

    Nothing is created here, so whatever ends the block, a signal included, finds the name known.
    """
    temporary = path.with_name(f".{path.stem[:_NAME_LETTERS]}-{secrets.token_hex(8)}{path.suffix}")
    try:
        yield temporary
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) == temporary:
            # The user knows the output by its own name.
            raise type(error)(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        _remove(temporary)


def remove_abandoned_files(path: Path) -> None:
    """Remove files that `beside` named for this path and a killed process left. One that lives has locked its own."""
    name = re.compile(re.escape(f".{path.stem[:_NAME_LETTERS]}-") + "[0-9a-f]{16}" + re.escape(path.suffix))
    for left in path.parent.iterdir() if path.parent.is_dir() else ():
        if name.fullmatch(left.name) and left.is_file():
            # Where there are no locks nobody can tell, and it stays.
            with contextlib.suppress(OSError), left.open("r+b") as file:
                _lock(file)
                left.unlink()


@contextlib.contextmanager
def folder_beside(path: Path) -> Iterator[tuple[Path, Path]]:
    """Names for a new folder and for the one it replaces, in a locked folder beside `path` that goes at the end."""
    with beside(path) as work:
        work.mkdir()
        with (work / WORKING).open("wb") as file:
            lock(file, path)  # for `remove_abandoned_folders` of other processes
            yield work / "new", work / "old"


def remove_abandoned_folders(path: Path) -> None:
    """Remove what a killed process left beside an output when it created it. One that lives has locked its folder.

    It may have been killed after the output had its name, so what is there says nothing about what lies beside it.
    """
    beginning = f".{path.stem[:_NAME_LETTERS]}-"
    pattern = re.compile(re.escape(beginning) + rf"([0-9a-f]{{16}}{re.escape(path.suffix)}|[0-9a-z_]{{8}})")
    for folder in path.parent.iterdir() if path.parent.is_dir() else ():
        if pattern.fullmatch(folder.name) is None or not folder.is_dir():
            continue
        with contextlib.suppress(OSError):
            folder.rmdir()  # empty
            continue
        names = {entry.name for entry in folder.iterdir()} if folder.is_dir() else {""}
        if names <= {WORKING, "new", "old"}:
            with contextlib.suppress(OSError):
                if WORKING in names:
                    with (folder / WORKING).open("r+b") as file:
                        lock(file, folder)
                shutil.rmtree(folder)


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let an OSError of whatever writes name the output."""
    try:
        yield
    except (BlockingIOError, FileExistsError):
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        if error.errno is None:
            raise OSError(f"{path}: cannot be written ({error})") from error
        raise OSError(error.errno, f"cannot be written ({error.strerror})", str(path)) from error


def _remove(path: Path) -> None:
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    shutil.rmtree(path, ignore_errors=True)
    if sys.exc_info()[0] is None:
        return
    for _ in range(_CHECKS):  # after a signal, threads of zarr-python write for a moment what they had begun
        time.sleep(0.05)
        if path.exists():
            shutil.rmtree(path, ignore_errors=True)


def reason(error: OSError) -> str:
    """What the operating system says, with a way out where the file system is the cause."""
    if error.errno in _NO_RENAMES:
        return (
            f"{error.strerror}; this file system cannot rename, like some mounts of object stores and layers of "
            "containers: write to another one"
        )
    return error.strerror or str(error)


def put(temporary: Path, path: Path, aside: Path | None = None) -> None:
    """Let a file or folder take the name `path`; a file that has it is replaced, a folder is moved to `aside`.

    Where that fails, or is interrupted, what was there is there again.

    Raises
    ------
    OSError
        It fails: on Windows as long as a program has one of them open.
    """
    try:
        if aside is None:
            temporary.replace(path)
        else:
            if path.exists():
                path.rename(aside)
            temporary.rename(path)
    except BaseException as error:
        if aside is not None and aside.exists() and not path.exists():
            aside.rename(path)
        if not isinstance(error, OSError) or error.errno not in IN_USE | _NO_RENAMES:
            raise
        way_out = " Is it open in another program, or its folder read-only? Close it there, or choose another name"
        message = f"cannot be created or replaced ({reason(error)})." + way_out * (error.errno in IN_USE)
        raise OSError(error.errno, message, str(path)) from error
