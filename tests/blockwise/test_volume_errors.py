"""Does a write that cannot go on name the block and the file, count nothing half-done, and go on later?"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from volumes import SCALE, VOLUMES, VOXEL
from zarr_stores import ZARR_2, attributes, create, digests, values, zarr

from inner_distance_gpu import blockwise, inner_distance
from inner_distance_gpu.blockwise.journal import Journal

LABELS = VOLUMES["dense"].astype(np.uint16)
CHUNKS = (3, 16, 16)
OPTIONS = {"voxel_size": VOXEL, "scale": SCALE, "chunks": CHUNKS, "blocks": CHUNKS, "workers": 1}
LIMITED = """
import json, resource, sys
from inner_distance_gpu import blockwise
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[4]), -1))
try:
    blockwise.write(sys.argv[1], sys.argv[2], **json.loads(sys.argv[3]))
except OSError as error:
    print(error)
"""


@pytest.fixture
def source(tmp_path):
    return create(tmp_path / "labels.zarr", LABELS, chunks=CHUNKS)


def marked(target):
    """The blocks that count as done."""
    blocks = []
    with Journal(target / "0" / ".unfinished" / "done", lambda record: blocks.append(record["block"])).open():
        return blocks


def check_true_where_marked(target):
    """Every block that is marked holds its target, and the output says that it is not complete."""
    assert attributes(target / "0")["complete"] is False
    exact, stored = inner_distance(LABELS, VOXEL, scale=SCALE), values(target / "0")
    done = marked(target)
    counts = [-(-n // size) for n, size in zip(LABELS.shape, CHUNKS, strict=True)]
    for number in done:
        corner = np.unravel_index(number, counts)
        block = tuple(slice(i * size, (i + 1) * size) for i, size in zip(corner, CHUNKS, strict=True))
        np.testing.assert_array_equal(stored[block], exact[block])
    return done


def check_goes_on(source, target, before):
    """With the cause gone, what was marked is not computed again and the result is whole."""
    written = blockwise.write(source, target, **OPTIONS)
    assert written.resumed == len(before)
    np.testing.assert_array_equal(values(target / "0"), inner_distance(LABELS, VOXEL, scale=SCALE))


@pytest.mark.parametrize("harm", ["truncated", "empty", "overwritten"])
def test_a_broken_chunk_of_the_labels(tmp_path, source, harm):
    chunk, target = source / "1.1.1", tmp_path / "target.zarr"
    whole = chunk.read_bytes()
    chunk.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "overwritten": b"?" * len(whole)}[harm])
    with pytest.raises(ValueError, match=r"(?s)block \[\d+:\d+, \d+:\d+, \d+:\d+\] of .*labels.zarr.*1\.1\.1"):
        blockwise.write(source, target, **OPTIONS)
    before = check_true_where_marked(target)
    chunk.write_bytes(whole)
    check_goes_on(source, target, before)


def test_a_chunk_that_is_not_stored(tmp_path, source):
    (source / "1.1.1").unlink()
    (source / "2.0.2").unlink()
    target = tmp_path / "target.zarr"
    said = r"(?s)block \[.*chunk \(1, 1, 1\) is not stored, and missing='error'.*1\.1\.1"
    with pytest.raises(FileNotFoundError, match=said):
        blockwise.write(source, target, missing="error", **OPTIONS)
    before = marked(target)
    # Sparse stores are legal: by default such chunks hold the fill value, and are counted.
    written = blockwise.write(source, target, **OPTIONS)
    assert (written.resumed, written.missing_chunks) == (len(before), 2)
    holes = LABELS.copy()
    holes[3:6, 16:32, 16:32] = holes[6:, :16, 32:] = 0
    np.testing.assert_array_equal(values(target / "0"), inner_distance(holes, VOXEL, scale=SCALE))
    assert attributes(target / "0")["missing_chunks"] == 2


def test_a_chunk_that_is_not_stored_where_there_is_no_fill_value(tmp_path, source):
    described = json.loads((source / ".zarray").read_text()) | {"fill_value": None}
    (source / ".zarray").write_text(json.dumps(described))
    (source / "1.1.1").unlink()
    with pytest.raises(FileNotFoundError, match="the array has no fill value"):
        blockwise.write(source, tmp_path / "target.zarr", **OPTIONS)


def test_no_room_for_a_chunk(tmp_path, source):
    # A limit on the size of files stands for a full disk: metadata and journal still fit, chunks do not.
    target = tmp_path / "target.zarr"
    options = OPTIONS | {"compression": "none", "chunks": (7, 20, 33), "blocks": (7, 20, 33)}
    blockwise.write(source, tmp_path / "whole.zarr", **options)
    command = [sys.executable, "-c", LIMITED, source, target, json.dumps(options), "10000"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "cannot be written" in said
    assert "File too large" in said
    assert "block [" in said
    assert marked(target) == []
    assert not list(target.rglob("*.partial")), "half a chunk was left"
    written = blockwise.write(source, target, **options)
    assert written.resumed == 0
    assert digests(target / "0" / "0") == digests(tmp_path / "whole.zarr" / "0" / "0")


def test_the_disk_fills_up_later(tmp_path, source, monkeypatch):
    import errno

    from inner_distance_gpu.blockwise import task

    original = task.make_durable

    def full(folders, array, run, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(folders, array, run)

    monkeypatch.setattr(task, "make_durable", full)
    with pytest.raises(OSError, match="No space left"):
        blockwise.write(source, tmp_path / "target.zarr", **OPTIONS)
    monkeypatch.undo()
    before = check_true_where_marked(tmp_path / "target.zarr")
    assert len(before) == 3
    check_goes_on(source, tmp_path / "target.zarr", before)


@contextlib.contextmanager
def without_privileges():
    """As a user that permissions mean something to."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder():
    """A folder that everybody may use; pytest's own are for their owner alone."""
    made = Path(tempfile.mkdtemp())
    made.chmod(0o777)
    # Imports everything now: without privileges Python's own files may be out of reach.
    warm = create(made / "warm" / "labels.zarr", LABELS)
    blockwise.write(warm, made / "warm" / "target.zarr", **OPTIONS)
    shutil.rmtree(made / "warm")
    yield made
    for path in [made, *made.rglob("*")]:
        path.chmod(0o777)
    shutil.rmtree(made)


def test_a_chunk_that_may_not_be_read(folder):
    source, target = create(folder / "labels.zarr", LABELS, chunks=CHUNKS), folder / "target.zarr"
    (source / "1.1.1").chmod(0)
    with without_privileges(), pytest.raises(PermissionError, match=r"(?s)block \[.*labels.zarr.*1\.1\.1"):
        blockwise.write(source, target, **OPTIONS)
    for path in [source / "1.1.1", target, *target.rglob("*")]:
        path.chmod(0o777)
    check_goes_on(source, target, check_true_where_marked(target))


def test_a_destination_that_is_read_only(folder):
    source, target = create(folder / "labels.zarr", LABELS, chunks=CHUNKS), folder / "target.zarr"
    folder.chmod(0o555)
    with without_privileges(), pytest.raises(PermissionError, match=str(folder)):
        blockwise.write(source, target, **OPTIONS)
    assert [path.name for path in folder.iterdir()] == ["labels.zarr"]
    folder.chmod(0o777)

    def lock(progress):
        if progress.computed == 2:
            for path in [target / "0", *(target / "0").iterdir()]:
                if path.is_dir() and not path.name.startswith("."):
                    path.chmod(0o555)

    with without_privileges(), pytest.raises(PermissionError, match=r"block \[.*cannot be written: Permission"):
        blockwise.write(source, target, **OPTIONS, progress=lock)
    for path in target.rglob("*"):
        path.chmod(0o777)
    check_goes_on(source, target, check_true_where_marked(target))


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda s: (s / ".zarray").write_text("{"), "metadata cannot be read"),
        (lambda s: (s / ".zarray").write_text("{}"), "metadata cannot be read"),
        (lambda s: (s / ".zattrs").write_text("{"), "metadata cannot be read"),
        (lambda s: (s / ".zarray").unlink(), "not a Zarr array or group"),
        (lambda s: shutil.rmtree(s), "no such Zarr array"),
        (lambda s: create(s, LABELS[0]), r"have shape \(40, 33\)"),
        (lambda s: create(s, LABELS.astype(complex)), "complex128"),
    ],
)
def test_wrong_metadata(tmp_path, source, harm, said):
    harm(source)
    with pytest.raises((ValueError, TypeError, OSError), match=said):
        blockwise.write(source, tmp_path / "target.zarr", **OPTIONS)
    assert not (tmp_path / "target.zarr").exists()


def test_labels_that_change_their_shape_in_between(tmp_path, source):
    def end(progress):
        if progress.computed == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        blockwise.write(source, tmp_path / "target.zarr", **OPTIONS, progress=end)
    create(source, LABELS[:5], chunks=CHUNKS)
    with pytest.raises(ValueError, match=r"source_shape: \[7, 40, 33\] there, \[5, 40, 33\] asked"):
        blockwise.write(source, tmp_path / "target.zarr", **OPTIONS)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"scale": None}, ValueError, "no finite halo"),
        ({"scale": -1}, ValueError, "scale=-1"),
        ({"voxel_size": None}, ValueError, "give voxel_size"),
        ({"voxel_size": (1, 1)}, ValueError, None),
        ({"dtype": "int16"}, ValueError, "'int16'"),
        ({"dtype": "int8", "fill": float("nan")}, ValueError, "between -1 and 1"),
        ({"dtype": "int8", "background": "times_label"}, ValueError, "times_label"),
        ({"chunks": (3, 16)}, ValueError, r"chunks=\(3, 16\)"),
        ({"chunks": 3}, TypeError, "chunks=3"),
        ({"chunks": (3, 16, 0)}, ValueError, "chunks=0"),
        ({"blocks": (4, 16, 16)}, ValueError, r"blocks=\(4, 16, 16\): expected multiples of chunks=\(3, 16, 16\)"),
        ({"shards": (3, 16, 16)}, ValueError, "format 2"),
        ({"compression": "lzma"}, ValueError, "'lzma'"),
        ({"compression": "zstd:99"}, ValueError, "between 1 and 22"),
        ({"compression": "none:1"}, ValueError, "'none:1'"),
        ({"compression": None}, TypeError, "None"),
        ({"missing": "skip"}, ValueError, "'skip'"),
        ({"engine": "fast"}, ValueError, "'fast'"),
        ({"engine": "cucim"}, ValueError, "cannot run here"),
        ({"workers": 0}, ValueError, "workers=0"),
        ({"ids": []}, ValueError, "at least one"),
        ({"ids": [1, 1]}, ValueError, "once"),
        ({"ids": [1.5]}, TypeError, "whole"),
        ({"ids": [1], "binary": True}, ValueError, "binary"),
        ({"binary": 1}, TypeError, "binary=1"),
        ({"halo": "near"}, ValueError, "'near'"),
        ({"key": "s0"}, FileNotFoundError, "s0"),
        ({"scheduler": "tcp://127.0.0.1:1"}, ValueError, "workers=1"),
    ],
)
def test_bad_arguments(no_gpu, tmp_path, source, change, error, said):
    if said is None:  # two spatial axes behind an axis of seven volumes: allowed, and no extents for three axes
        said = "one per spatial axis"
    before = digests(tmp_path)
    with pytest.raises(error, match=said):
        blockwise.write(source, tmp_path / "target.zarr", **OPTIONS | change)
    assert digests(tmp_path) == before


def test_destinations_that_are_refused(tmp_path, source):
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "file.zarr").write_text("text")
    create(tmp_path / "array.zarr", LABELS)
    zarr.open_group(str(tmp_path / "group.zarr"), mode="w", **({} if ZARR_2 else {"zarr_format": 2}))
    there = [tmp_path / f"{name}.zarr" for name in ("folder", "file", "array", "group")]
    before = digests(tmp_path)
    for target, error, said in [
        (source, ValueError, "would destroy"),
        (source / "inside", ValueError, "would destroy"),
        (tmp_path, ValueError, "would destroy"),
        (tmp_path / "nowhere" / "t.zarr", FileNotFoundError, "does not exist"),
        (tmp_path / "target", ValueError, "ends in .zarr"),
        (tmp_path / "array.zarr" / "t", ValueError, "is an array"),
        *((path, IsADirectoryError, "not replaced") for path in there),
    ]:
        for overwrite in (False, True):
            with pytest.raises(error, match=said):
                blockwise.write(source, target, **OPTIONS, overwrite=overwrite)
            assert digests(tmp_path) == before
