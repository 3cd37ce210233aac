"""What happens on file systems without locks, without fsync, or where an open file cannot take another's place?

Each is played by a system call that answers as such a file system does.
"""

import contextlib
import errno
import fcntl
import os
import stat
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from inner_distance_gpu import blockwise, inner_distance, open_labels
from inner_distance_gpu.blockwise import run_folder
from inner_distance_gpu.storage import disk

LABELS = np.zeros((8, 16, 16), np.uint16)
LABELS[2:6, 4:12, 4:12] = 1
VOXEL = (40, 4, 4)


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(disk, "_said", set())


@pytest.fixture
def source(tmp_path):
    zarr.open_array(str(tmp_path / "l.zarr"), mode="w", shape=LABELS.shape, chunks=(8, 8, 8), dtype="u2")[...] = LABELS
    return tmp_path / "l.zarr"


def check(target):
    stored = zarr.open_array(str(target / "0"), mode="r")[...]
    np.testing.assert_array_equal(stored, inner_distance(LABELS, VOXEL, scale=50))


def failing(code, where=lambda *arguments, **keywords: True, real=None):
    def call(*arguments, **keywords):
        if where(*arguments, **keywords):
            raise OSError(code, os.strerror(code))
        return real(*arguments, **keywords)

    return call


def is_folder(handle):
    return stat.S_ISDIR(os.fstat(handle).st_mode)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_no_locks(monkeypatch, source, tmp_path, code):
    monkeypatch.setattr(fcntl, "flock", failing(code))
    with pytest.warns(disk.FileSystemWarning, match="no locks") as said:
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    blockwise.write(source, tmp_path / "again.zarr", VOXEL, scale=50)
    assert len(said) == 1, "once per process"
    assert str(tmp_path) in str(said[0].message)
    assert "Lustre" in str(said[0].message)
    check(tmp_path / "t.zarr")


def test_a_lock_that_fails_otherwise(monkeypatch, source, tmp_path):
    monkeypatch.setattr(fcntl, "flock", failing(errno.EIO))
    with pytest.raises(OSError, match="cannot be locked") as raised:
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    assert raised.value.errno == errno.EIO
    assert str(tmp_path / "t.zarr") in raised.value.filename


@pytest.mark.parametrize("code", [errno.EINVAL, errno.EACCES, errno.EBADF])
def test_a_folder_that_cannot_be_synced(monkeypatch, source, tmp_path, code):
    monkeypatch.setattr(os, "fsync", failing(code, is_folder, os.fsync))
    with pytest.warns(disk.FileSystemWarning, match="power cut") as said:
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    assert len(said) == 1
    check(tmp_path / "t.zarr")


def test_a_folder_that_cannot_be_opened(monkeypatch, source, tmp_path):
    def wants_folder(path, *rest, **of_rmtree):
        return not of_rmtree and os.path.isdir(path)

    monkeypatch.setattr(os, "open", failing(errno.EACCES, wants_folder, os.open))
    with pytest.warns(disk.FileSystemWarning, match="power cut"):
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    check(tmp_path / "t.zarr")


def test_files_that_cannot_be_synced(monkeypatch, source, tmp_path):
    monkeypatch.setattr(os, "fsync", failing(errno.ENOSYS))
    with pytest.warns(disk.FileSystemWarning, match="power cut") as said:
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    assert len(said) == 1
    check(tmp_path / "t.zarr")


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("which", ["files", "folders"])
def test_a_disk_that_fails_is_an_error(monkeypatch, source, tmp_path, code, which):
    fails = is_folder if which == "folders" else lambda handle: not is_folder(handle)
    monkeypatch.setattr(os, "fsync", failing(code, fails, os.fsync))
    with pytest.raises(OSError, match="cannot be put on the disk") as raised:
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    assert raised.value.errno == code
    assert raised.value.filename


class Msvcrt(types.ModuleType):
    """Windows' locks: a byte of a file, from the place where the file stands."""

    LK_NBLCK = 2

    def __init__(self):
        super().__init__("msvcrt")
        self.locked = {}

    def locking(self, handle, how, count):
        assert (how, count) == (self.LK_NBLCK, 1)
        place = (os.fstat(handle).st_ino, os.lseek(handle, 0, os.SEEK_CUR))
        if place in self.locked:
            raise PermissionError(errno.EACCES, "Permission denied")
        self.locked[place] = handle


def test_locks_on_windows(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", msvcrt := Msvcrt())
    path = tmp_path / "journal"
    with path.open("a+b") as first, path.open("a+b") as second:
        first.write(b"a line\n")
        first.flush()
        disk.lock(first, path)
        with pytest.raises(BlockingIOError, match="another process"):
            disk.lock(second, path)
        assert [offset for _, offset in msvcrt.locked] == [2**31 - 2], "not where others read"
        first.seek(0)
        assert first.read() == b"a line\n"
        first.write(b"another\n")
    assert path.read_bytes() == b"a line\nanother\n"


def test_the_temporary_name_goes_and_is_never_in_a_message(tmp_path):
    path = tmp_path / ("ü" * 120 + ".npy")
    with disk.beside(path) as temporary:
        assert not temporary.exists()
        temporary.write_bytes(b"whole")
        disk.put(temporary, path)
    assert path.read_bytes() == b"whole"
    with pytest.raises(PermissionError) as raised, disk.beside(path) as temporary:
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))
    assert raised.value.filename == str(path)
    with contextlib.suppress(ZeroDivisionError), disk.beside(path) as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [path]


def test_an_output_that_is_open_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "replace", failing(errno.EACCES))
    (tmp_path / "new").write_bytes(b"")
    with pytest.raises(PermissionError, match=r"open in another program.*another name") as raised:
        disk.put(tmp_path / "new", tmp_path / "t.npy")
    assert raised.value.filename == str(tmp_path / "t.npy")


def of_chunks(source, *rest, **keywords):
    return run_folder.RUNS in Path(source).parts


@pytest.mark.parametrize("code", [errno.EACCES, errno.EBUSY, errno.ESTALE])
def test_a_file_that_is_in_use_for_a_moment(monkeypatch, source, tmp_path, code):
    """A viewer that reads it on CIFS or Windows, or another machine's change on NFS."""
    monkeypatch.setattr(run_folder, "_MOMENT", 0)
    times = iter(range(3))
    refused = failing(code, lambda *paths: of_chunks(*paths) and next(times, None) is not None, os.replace)
    monkeypatch.setattr(os, "replace", refused)
    blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    assert next(times, None) is None, "it was refused"
    check(tmp_path / "t.zarr")
    monkeypatch.setattr(os, "replace", failing(code, of_chunks, os.replace))
    with pytest.raises(OSError, match=r"block .* cannot be written") as raised:
        blockwise.write(source, tmp_path / "u.zarr", VOXEL, scale=50)
    assert raised.value.errno == code


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EXDEV])
def test_a_file_system_that_cannot_rename(monkeypatch, source, tmp_path, code):
    monkeypatch.setattr(os, "rename", failing(code))
    with pytest.raises(OSError, match=r"the output cannot be created.*cannot rename.*write to another") as raised:
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    assert raised.value.filename == str(tmp_path / "t.zarr")
    monkeypatch.setattr(os, "replace", failing(code))
    (tmp_path / "new").write_bytes(b"")
    with pytest.raises(OSError, match=r"cannot be created or replaced.*cannot rename.*write to another"):
        disk.put(tmp_path / "new", tmp_path / "t.npy")
    assert sorted(os.listdir(tmp_path)) == ["l.zarr", "new"]


def is_open(path):
    return any(os.path.realpath(handle) == str(path) for handle in Path("/proc/self/fd").iterdir())


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="looks for open files in /proc")
def test_an_open_file_that_is_removed_stays_on_nfs(monkeypatch, source, tmp_path):
    """There it has another name until it is closed, and its folder cannot be removed before."""
    unlink, rmdir = Path.unlink, Path.rmdir

    def renamed(path, *rest, **keywords):
        return path.rename(path.with_name(".nfs01")) if is_open(path) else unlink(path, *rest, **keywords)

    def without_closed(folder):
        for left in folder.glob(".nfs*"):
            if not is_open(left):
                unlink(left)
        rmdir(folder)

    monkeypatch.setattr(Path, "unlink", renamed)
    monkeypatch.setattr(Path, "rmdir", without_closed)
    blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    assert not (tmp_path / "t.zarr" / "0" / ".unfinished").exists()


def test_hdf5_that_another_program_writes(tmp_path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "l.h5", "w") as file:
        file["labels"] = LABELS
    with (tmp_path / "l.h5").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="cannot read it: another program has it open for writing; close it"):
            open_labels(tmp_path / "l.h5")
    assert open_labels(tmp_path / "l.h5").shape == LABELS.shape


def test_nothing_is_said_where_all_is_there(source, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        blockwise.write(source, tmp_path / "t.zarr", VOXEL, scale=50)
    check(tmp_path / "t.zarr")
