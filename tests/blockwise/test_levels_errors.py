"""Do levels that cannot be made name what is wrong, leave the image as it was, and go on later?"""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from pyramids import image, multiscale
from volumes import SCALE, VOLUMES, VOXEL
from zarr_stores import ZARR_2, create, digests, values, zarr

from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise import averaging

DATA = np.random.default_rng(0).normal(size=(8, 16, 16)).astype(np.float32)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(averaging, "VOXELS", 8)


def stored(path, data=DATA, **more):
    return image(path, data, sizes=(4, 4, 4), chunks=(2, 2, 2), **more)


def edited(path, change):
    """The multiscale of an image with something else in it."""
    file = path / ".zattrs"
    attributes = json.loads(file.read_text())
    change(attributes, attributes["multiscales"][0])
    file.write_text(json.dumps(attributes))


def transformed(*steps):
    return lambda _, found: found["datasets"][0].update(coordinateTransformations=list(steps))


AFFINE = {"type": "affine", "affine": [[1, 0, 0, 0]] * 3}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a, _: a.pop("multiscales"), "has no OME-Zarr multiscale, so nothing could say"),
        (lambda a, _: a.update({"image-label": {}}), "is a label image"),
        (lambda _, m: m.update(axes=None), "has the axes None"),
        (lambda _, m: m.update(axes=[{"name": n, "type": "time"} for n in "zyx"]), "expected z, y, x"),
        (transformed(AFFINE), "0 has the transformation .*affine"),
        (transformed({"type": "scale", "scale": [1, 1]}), "with 3 numbers each"),
        (transformed({"type": "scale", "scale": [0, 1, 1]}), r"voxel size \(0.0, 1.0, 1.0\): expected positive"),
        (lambda _, m: m["datasets"].append({}), "datasets without a path"),
        (lambda _, m: m["datasets"].append({"path": "9"}), "9: no such Zarr array"),
    ],
)
def test_images_that_have_no_levels(tmp_path, change, said):
    path = stored(tmp_path / "i.zarr")
    edited(path, change)
    before = digests(tmp_path)
    with pytest.raises((ValueError, OSError), match=said) as caught:
        blockwise.write_levels(path)
    assert str(path) in str(caught.value)
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("levels", "error"),
    [(0, ValueError), (-1, ValueError), ("all", ValueError), (True, TypeError), (2.0, TypeError), (None, TypeError)],
)
def test_a_number_of_levels_that_is_none(tmp_path, levels, error):
    path = stored(tmp_path / "i.zarr")
    with pytest.raises(error, match=f"levels={levels!r}: expected 'auto' or a positive whole number"):
        blockwise.write_levels(path, levels)
    with pytest.raises(error, match=f"levels={levels!r}"):
        blockwise.write(path, tmp_path / "t.zarr", scale=3, levels=levels)
    assert not (tmp_path / "t.zarr").exists()


def test_stores_that_are_no_images(tmp_path):
    labels = create(tmp_path / "labels.zarr", DATA.astype(np.uint8))
    (tmp_path / "folder").mkdir()
    ids = image(tmp_path / "ids.zarr", DATA.astype(np.uint32), sizes=(4, 4, 4))
    for path, error, said in [
        (tmp_path / "nowhere.zarr", FileNotFoundError, "no such OME-Zarr image"),
        (tmp_path / "folder", ValueError, "not a Zarr group"),
        (labels, ValueError, "is an array; levels lie beside it"),
        (ids, ValueError, "holds uint32: expected float32 or int8"),
        ("s3://bucket/t.zarr", ValueError, "cannot read or write addresses"),
    ]:
        with pytest.raises(error, match=said):
            blockwise.write_levels(path)


def test_more_levels_than_there_can_be(tmp_path):
    source = create(tmp_path / "labels.zarr", np.stack([VOLUMES["instances"]] * 2))
    with pytest.raises(ValueError, match="have at most 7 levels"):
        blockwise.write(source, tmp_path / "t.zarr", (4, 4, 4), scale=4, levels=99)
    assert not (tmp_path / "t.zarr").exists()


def test_a_target_that_is_not_complete(tmp_path):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])

    def end(progress):
        raise KeyboardInterrupt

    options = {"voxel_size": VOXEL, "scale": SCALE, "chunks": (2, 8, 8)}
    with pytest.raises(KeyboardInterrupt):
        blockwise.write(source, tmp_path / "t.zarr", **options, progress=end)
    with pytest.raises(ValueError, match=r"t.zarr: is not complete; the command that began it goes on"):
        blockwise.write_levels(tmp_path / "t.zarr")
    assert blockwise.write(source, tmp_path / "t.zarr", **options, levels=2).levels


@pytest.mark.parametrize("what", ["an array", "a folder", "a file", "a level of other voxels"])
def test_something_else_is_where_a_level_would_be(tmp_path, what):
    path = stored(tmp_path / "i.zarr")
    if what == "an array":
        create(path / "1", DATA)
    elif what == "a folder":
        (path / "1").mkdir()
    elif what == "a file":
        (path / "1").write_text("text")
    else:
        blockwise.write_levels(path, 2)
        described = json.loads((path / "1" / ".zarray").read_text()) | {"shape": [4, 8, 7]}
        (path / "1" / ".zarray").write_text(json.dumps(described))
        edited(path, lambda _, found: found["datasets"].pop())
    before = digests(path)
    with pytest.raises(FileExistsError, match=r"1: is there, and is no level that was begun here"):
        blockwise.write_levels(path)
    assert digests(path) == before


@pytest.mark.parametrize("harm", ["truncated", "a folder"])
def test_a_chunk_that_cannot_be_read(tmp_path, harm):
    path = stored(tmp_path / "i.zarr")
    chunk = path / "0" / "2.3.4"
    whole = chunk.read_bytes()
    chunk.unlink()
    if harm == "truncated":
        chunk.write_bytes(whole[:7])
    else:
        chunk.mkdir()
    with pytest.raises((ValueError, OSError), match=r"(?s)block \[4:8, 4:8, 8:12\] of .*i.zarr/0 cannot be.*2\.3\.4"):
        blockwise.write_levels(path, workers=1)
    assert len(multiscale(path)["datasets"]) == 1
    shutil.rmtree(chunk) if harm == "a folder" else chunk.unlink()
    chunk.write_bytes(whole)
    made = blockwise.write_levels(path)
    assert made.resumed == 16 + 4 + 2  # blocks of 2 × 4 × 4: the one that failed is at (1, 1, 2)
    there = stored(tmp_path / "there" / "i.zarr")
    blockwise.write_levels(there)
    assert digests(path) == digests(there)


def test_a_disk_that_is_full(tmp_path, monkeypatch):
    path, original = stored(tmp_path / "i.zarr"), averaging.make_durable
    written = []

    def full(folders, group, run):
        written.append(run)
        if len(written) == 7:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(folders, group, run)

    with monkeypatch.context() as patch:
        patch.setattr(averaging, "make_durable", full)
        with pytest.raises(OSError, match=r"block \[0:2, 2:4, 4:6\] of .*i.zarr/1 cannot be written: No space left"):
            blockwise.write_levels(path, workers=1)
    assert blockwise.write_levels(path).resumed == 6
    there = stored(tmp_path / "there" / "i.zarr")
    blockwise.write_levels(there)
    assert digests(path) == digests(there)


def test_an_image_that_is_read_only():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        path = stored(Path(folder) / "i.zarr")
        blockwise.write_levels(path, 2)  # everything is imported now
        before = digests(path)
        path.chmod(0o555)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)
        try:
            with pytest.raises(PermissionError, match="its levels cannot be written: Permission denied") as caught:
                blockwise.write_levels(path)
        finally:
            if root:
                os.seteuid(0)
        assert caught.value.filename == str(path)
        assert digests(path) == before
        path.chmod(0o777)
        assert len(blockwise.write_levels(path).shapes) == 4


@pytest.mark.skipif(ZARR_2, reason="zarr-python 2 does not write format 3")
def test_an_array_that_vanishes_is_not_listed(tmp_path):
    path = image(tmp_path / "i.zarr", DATA, 3, (4, 4, 4), chunks=(2, 2, 2))

    def remove(progress):
        if progress.computed == 37:
            shutil.rmtree(path / "3")

    with pytest.raises(FileNotFoundError, match="the level was removed"):
        blockwise.write_levels(path, progress=remove)
    assert len(multiscale(path)["datasets"]) == 1
    blockwise.write_levels(path)
    assert zarr.open_group(str(path), mode="r")["3"].shape == values(path / "3").shape == (1, 2, 2)
