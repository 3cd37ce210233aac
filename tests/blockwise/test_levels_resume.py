"""Do levels whose making ended at any moment go on where it stopped, and end with the bytes of an undisturbed run?"""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from pyramids import image, multiscale
from volumes import SCALE, VOLUMES, VOXEL
from zarr_stores import create, digests, values

from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise import averaging, levels, store

DATA = np.random.default_rng(0).normal(size=(8, 16, 16)).astype(np.float32)
DATA[:4, :8, :8] = 0  # chunks that are not stored
TARGET = {"voxel_size": VOXEL, "scale": SCALE, "dtype": "int8", "chunks": (2, 8, 8), "blocks": (2, 8, 8)}


class Killed(BaseException):
    """What stands for the end of the process in tests that stay in theirs."""


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(averaging, "VOXELS", 8)


@pytest.fixture
def path(tmp_path):
    return image(tmp_path / "i.zarr", DATA, sizes=(4, 4, 4), chunks=(2, 2, 2))


@pytest.fixture
def undisturbed(tmp_path):
    """The files of levels to which nothing happened; 32 + 4 + 1 blocks."""
    there = image(tmp_path / "undisturbed" / "i.zarr", DATA, sizes=(4, 4, 4), chunks=(2, 2, 2))
    assert blockwise.write_levels(there).computed == 32 + 4 + 1
    return digests(there)


def interrupted(path, after, levels="auto"):
    def end(progress):
        if progress.computed == after:
            raise Killed

    with pytest.raises(Killed):
        blockwise.write_levels(path, levels, workers=1, progress=end)


@pytest.mark.parametrize("after", [0, 1, 20, 32, 33, 36, 37])
def test_the_same_call_goes_on(path, undisturbed, after):
    before = multiscale(path)
    interrupted(path, after)
    assert multiscale(path) == before, "the metadata come last"
    assert (path / ".unfinished" / "done").exists()
    seen = []
    made = blockwise.write_levels(path, progress=seen.append)
    assert (made.resumed, made.computed) == (after, 37 - after)
    assert (seen[0].done, seen[-1].done, seen[-1].blocks) == (after, 37, 37)
    assert made.voxels <= 8 * made.computed
    assert digests(path) == undisturbed


def test_killed_beside_the_journal(path, undisturbed, monkeypatch):
    """Between a block and its mark, before the metadata, after them."""

    append = levels.Journal.append

    def killed(*arguments):
        raise Killed

    def no_mark(journal, record):
        append(journal, record) if record.get("block") != 5 else killed()

    for owner, name, end in (
        (levels.Journal, "append", no_mark),
        (levels, "_finish", killed),
        (store, "remove_state", killed),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, end)
            with pytest.raises(Killed):
                blockwise.write_levels(path)
    assert len(multiscale(path)["datasets"]) == 4
    assert blockwise.write_levels(path).computed == 0
    assert digests(path) == undisturbed


def test_more_or_fewer_levels_than_were_begun(tmp_path, path, undisturbed):
    interrupted(path, 33)
    few = blockwise.write_levels(path, 2)
    assert (few.resumed, few.computed) == (32, 0)
    assert not (path / "2").exists()
    assert not (path / ".unfinished").exists()
    blockwise.write_levels(path)
    assert digests(path) == undisturbed
    again = image(tmp_path / "again" / "i.zarr", DATA, sizes=(4, 4, 4), chunks=(2, 2, 2))
    interrupted(again, 20, 2)
    assert blockwise.write_levels(again, 4).resumed == 20
    assert digests(again) == undisturbed


def test_a_level_that_was_removed_is_made_anew(path, undisturbed):
    interrupted(path, 33)
    shutil.rmtree(path / "1")
    made = blockwise.write_levels(path)
    assert (made.resumed, made.computed) == (1, 36)
    assert digests(path) == undisturbed


def test_blocks_of_another_size_do_not_count(path, undisturbed, monkeypatch):
    interrupted(path, 33)
    monkeypatch.setattr(averaging, "VOXELS", 16)
    assert blockwise.write_levels(path).resumed == 0
    assert digests(path) == undisturbed


def test_one_process_at_a_time(tmp_path):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])
    target, refused = tmp_path / "t.zarr", []
    blockwise.write(source, target, **TARGET)

    def again(progress):
        if progress.computed == 1:
            with pytest.raises(BlockingIOError, match="another process is writing"):
                blockwise.write_levels(target)
            with pytest.raises(BlockingIOError, match="another process is writing"):
                blockwise.write(source, target, **TARGET, overwrite=True)
            refused.append(progress)

    blockwise.write_levels(target, workers=1, progress=again)
    assert len(refused) == 1


def test_an_output_with_levels_is_overwritten(tmp_path):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])
    blockwise.write(source, tmp_path / "t.zarr", **TARGET, levels="auto")
    blockwise.write(source, tmp_path / "plain.zarr", **TARGET | {"scale": 7})
    # Complete, and begun.
    blockwise.write(source, tmp_path / "t.zarr", **TARGET | {"scale": 7}, overwrite=True)
    assert digests(tmp_path / "t.zarr" / "0") == digests(tmp_path / "plain.zarr" / "0")
    assert sorted(entry.name for entry in (tmp_path / "t.zarr").iterdir() if not entry.name.startswith(".")) == ["0"]
    interrupted(tmp_path / "t.zarr", 3)
    blockwise.write(source, tmp_path / "t.zarr", **TARGET, overwrite=True)
    assert not (tmp_path / "t.zarr" / ".unfinished").exists()
    create(tmp_path / "t.zarr" / "1", DATA)
    with pytest.raises(IsADirectoryError, match="holds 1, which this command did not write"):
        blockwise.write(source, tmp_path / "t.zarr", **TARGET, overwrite=True)


def test_the_output_is_overwritten_while_its_levels_are_made(tmp_path, monkeypatch):
    """By a process that does not see the lock, as on a file system without: what it wrote stays as it is."""
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])
    target = tmp_path / "t.zarr"
    blockwise.write(source, target, **TARGET)

    def overwrite(progress):
        if progress.computed == 1:
            with monkeypatch.context() as patch:
                patch.setattr(store.disk, "lock", lambda file, path: None)
                blockwise.write(source, target, **TARGET | {"scale": 7}, overwrite=True)

    with pytest.raises(OSError, match="the output was removed, or another run has taken it over"):
        blockwise.write_levels(target, workers=1, progress=overwrite)
    blockwise.write(source, tmp_path / "plain.zarr", **TARGET | {"scale": 7})
    assert digests(target / "0") == digests(tmp_path / "plain.zarr" / "0")


CLUSTER = """
import json, sys
from inner_distance_gpu import blockwise

if __name__ == "__main__":
    from distributed import LocalCluster
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(blockwise.write_levels(sys.argv[1], scheduler=cluster.scheduler_address).computed)
"""


def test_a_cluster_writes_the_same_bytes(tmp_path, path):
    pytest.importorskip("distributed", reason="distributed is not installed (extra 'cluster')")
    there = image(tmp_path / "there" / "i.zarr", DATA, sizes=(4, 4, 4), chunks=(2, 2, 2))
    (tmp_path / "program.py").write_text(CLUSTER)
    command = [sys.executable, tmp_path / "program.py", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 3, "levels of three blocks"
    blockwise.write_levels(there)
    assert digests(path) == digests(there)
    assert json.loads((path / "3" / ".zattrs").read_text())["averaged_from"] == "2"
    assert values(path / "3").shape == (1, 2, 2)
