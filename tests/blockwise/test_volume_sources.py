"""Does a volume of labels that are no local Zarr name block and file where reading or writing fails?"""

import errno
import os
import tempfile
from pathlib import Path

import pytest
from label_stores import STORES
from zarr_stores import digests

from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise import task

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
BY_NAME = {store.name: store for store in STORES}
OPTIONS = {"voxel_size": (40, 4, 4), "unit": "nm", "scale": 12, "blocks": (32, 64, 96), "chunks": (16, 32, 32)}
FILES = ["ome-tiff", "bigtiff", "hdf5", "nifti", "nrrd", "npy", "n5", "precomputed", "zip"]


def place(name, folder):
    """A store, with keywords that open it."""
    store = BY_NAME[name]
    return store.write(folder), {"key": store.key}


def data_file(where):
    """A file that a middle block is read from."""
    if where.is_file():
        return where
    return max((path for path in where.rglob("*") if path.is_file()), key=lambda path: (path.stat().st_size, path.name))


@pytest.mark.parametrize("name", FILES)
def test_labels_that_are_cut_off_in_between(tmp_path, name):
    where, options = place(name, tmp_path)
    whole = {}

    def cut(progress):
        if progress.computed == 1:
            file = data_file(where)
            whole[file] = file.read_bytes()
            os.truncate(file, len(whole[file]) // 9)

    target = tmp_path / "t.zarr"
    with pytest.raises(
        (OSError, ValueError), match=rf"(?s)block \[\d+:\d+, \d+:\d+, \d+:\d+\]: .*{where.name}"
    ) as caught:
        blockwise.write(where, target, **OPTIONS | options, workers=1, progress=cut)
    assert "cannot read it" in str(caught.value)
    for file, data in whole.items():
        file.write_bytes(data)
    assert blockwise.write(where, target, **OPTIONS | options).resumed >= 1
    (tmp_path / "there").mkdir()
    blockwise.write(where, tmp_path / "there" / "t.zarr", **OPTIONS | options)
    assert digests(target) == digests(tmp_path / "there" / "t.zarr")


@pytest.mark.parametrize("name", FILES)
def test_labels_that_may_not_be_read_any_more(name):
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o777)
        where, options = place(name, folder)
        blockwise.write(where, folder / "warm.zarr", **OPTIONS | options)  # everything is imported now
        (folder / "out").mkdir()
        (folder / "out").chmod(0o777)
        root, locked = os.geteuid() == 0, [where] if where.is_file() else [p for p in where.rglob("*") if p.is_file()]

        def lock(progress):
            if progress.computed == 1:
                for file in locked:
                    if root:
                        os.seteuid(0)
                    file.chmod(0)
                    if root:
                        os.seteuid(65534)

        if root:
            os.seteuid(65534)
        try:
            with pytest.raises((OSError, ValueError), match=r"(?s)block \[.*ermission denied"):
                blockwise.write(where, folder / "out" / "t.zarr", **OPTIONS | options, workers=1, progress=lock)
        finally:
            if root:
                os.seteuid(0)
        for file in locked:
            file.chmod(0o644)


def test_no_room_for_a_target(tmp_path, monkeypatch):
    where, options = place("n5", tmp_path)
    original, calls = task.make_durable, []

    def full(folders, array, run):
        calls.append(run)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(folders, array, run)

    with monkeypatch.context() as patch:
        patch.setattr(task, "make_durable", full)
        said = r"block \[0:32, 64:128, 0:96\] of .*t.zarr/0 cannot be written: No space left"
        with pytest.raises(OSError, match=said):
            blockwise.write(where, tmp_path / "t.zarr", **OPTIONS | options, workers=1)
    assert blockwise.write(where, tmp_path / "t.zarr", **OPTIONS | options).resumed == 1
    (tmp_path / "there").mkdir()
    blockwise.write(where, tmp_path / "there" / "t.zarr", **OPTIONS | options)
    assert digests(tmp_path / "t.zarr") == digests(tmp_path / "there" / "t.zarr")
