"""Does a write that was killed at any moment go on where it stopped, and end with the bytes of an undisturbed one?"""

import json
import os
import random
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from forked import CAN_FORK, Forked
from volumes import SCALE, VOLUMES, VOXEL
from write_counted import write_counted
from zarr_stores import FORMATS, attributes, create, digests, values

from inner_distance_gpu import blockwise, inner_distance
from inner_distance_gpu.blockwise import sites, store
from inner_distance_gpu.blockwise.journal import Journal
from inner_distance_gpu.storage import disk

KILLS = int(os.environ.get("KILLS", "2"))
SMALL = {"chunks": (2, 5, 5), "blocks": (2, 5, 5), "workers": 2}
OPTIONS = {"voxel_size": VOXEL, "scale": SCALE, "background": "signed"} | SMALL


class Killed(BaseException):
    """What stands for the end of the process in tests that stay in theirs."""


@pytest.fixture
def source(tmp_path):
    return create(tmp_path / "labels.zarr", VOLUMES["instances"])


@pytest.fixture
def undisturbed(tmp_path, source):
    """An output that nothing happened to, as digests of its files."""
    (tmp_path / "undisturbed").mkdir()
    blockwise.write(source, tmp_path / "undisturbed" / "target.zarr", **OPTIONS)
    return digests(tmp_path / "undisturbed" / "target.zarr")


def interrupted(monkeypatch, source, target, after, **options):
    """A write that ends after so many blocks."""

    def end(progress):
        if progress.computed == after:
            raise Killed

    with pytest.raises(Killed):
        blockwise.write(source, target, **OPTIONS | {"workers": 1} | options, progress=end)


@pytest.mark.skipif(not CAN_FORK, reason="no forkserver")
@pytest.mark.parametrize("version", FORMATS)
def test_killed_at_random_moments(tmp_path, version):
    labels = np.tile(VOLUMES["instances"], (1, 1, KILLS))
    source = create(tmp_path / "labels.zarr", labels, version)
    target, log = tmp_path / "target.zarr", tmp_path / "log"
    options = OPTIONS | {"dtype": "int8"} if version == 3 else OPTIONS
    command = [write_counted, str(source), str(target), str(log), json.dumps(options)]
    (tmp_path / "undisturbed").mkdir()
    total = blockwise.write(source, tmp_path / "undisturbed" / "target.zarr", **options).computed
    moments = random.Random(version)
    begun, kills = 0, 0
    while kills < KILLS:
        process = Forked(*command)
        # Somewhere in what is left, so that later kills have something to end.
        wanted = begun + moments.uniform(0, (total - begun) / (KILLS - kills + 1))
        while process.poll() is None and (not log.exists() or log.read_bytes().count(b"\n") <= wanted):
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.02))
        assert process.poll() is None, "the process ended before it was killed"
        process.kill()
        process.wait()
        kills += 1
        begun = log.read_bytes().count(b"\n")
        assert attributes(target / "0")["complete"] is False
    last = Forked(*command)
    printed = last.communicate()[0]
    assert last.returncode == 0
    twice = log.read_bytes().count(b"\n") - total
    print(f"format {version}: {total} blocks, {kills} kills, {twice} blocks computed twice, {printed} in the last run")
    assert 0 <= twice <= 2 * kills, "two threads: at most two blocks are lost per kill"
    assert 0 < int(printed) < total
    assert digests(target) == digests(tmp_path / "undisturbed" / "target.zarr")


def test_the_same_call_goes_on(tmp_path, monkeypatch, source, undisturbed):
    target = tmp_path / "target.zarr"
    interrupted(monkeypatch, source, target, 7)
    assert attributes(target / "0")["complete"] is False
    seen = []
    written = blockwise.write(source, target, **OPTIONS, progress=seen.append)
    assert written.resumed >= 6
    assert written.computed + written.resumed == written.plan.blocks
    assert (seen[0].done, seen[-1].done) == (written.resumed, written.plan.blocks)
    assert digests(target) == undisturbed
    again = blockwise.write(source, target, **OPTIONS)
    assert (again.computed, again.class_voxels) == (0, written.class_voxels)


def test_a_block_that_was_not_marked_is_written_again(tmp_path, monkeypatch, source, undisturbed):
    target = tmp_path / "target.zarr"

    def no_mark(journal, record):
        if record["block"] == 5:
            raise Killed
        append(journal, record)

    append = Journal.append
    monkeypatch.setattr(Journal, "append", no_mark)
    with pytest.raises(Killed):
        blockwise.write(source, target, **OPTIONS)
    monkeypatch.undo()
    # What a power cut may leave of a chunk that was not put on the disk yet, and a kill of one that was not renamed.
    place = blockwise.plan(source, target, **{k: v for k, v in OPTIONS.items() if k != "workers"}).job.grid.place(5)
    index = [axis.start // size for axis, size in zip(place.inner, (2, 5, 5), strict=True)]
    chunk = (target / "0").joinpath(*map(str, index))
    assert chunk.stat().st_size > 0
    chunk.write_bytes(b"")
    # Earlier versions wrote beside the chunk, and their outputs have no folder for runs.
    chunk.with_name(f"{chunk.name}.0123abcd.partial").write_bytes(b"half")
    (target / "0" / ".unfinished" / "runs").rmdir()
    blockwise.write(source, target, **OPTIONS)
    assert digests(target) == undisturbed


def test_a_block_is_on_the_disk_before_it_is_marked(tmp_path, monkeypatch, source):
    """Whatever a mark names is written, its chunk and its folder are put on the disk, and then the mark is."""
    target, synced, marks = tmp_path / "target.zarr", [], []
    grid = blockwise.plan(source, target, **{k: v for k, v in OPTIONS.items() if k != "workers"}).job.grid
    expected = inner_distance(VOLUMES["instances"], VOXEL, scale=SCALE, background="signed")
    append = Journal.append
    for name in ("sync", "sync_folder"):
        real = getattr(disk, name)
        monkeypatch.setattr(disk, name, lambda *given, real=real: (synced.append(given[-1]), real(*given)))

    def mark(journal, record):
        inner = grid.place(record["block"]).inner
        np.testing.assert_array_equal(values(target / "0")[inner], expected[inner])
        chunk = target.joinpath("0", *(str(axis.start // size) for axis, size in zip(inner, (2, 5, 5), strict=True)))
        assert chunk.parent in synced[synced.index(chunk) :]
        append(journal, record)
        assert synced[-1] == journal.path
        marks.append(record["block"])

    monkeypatch.setattr(Journal, "append", mark)
    blockwise.write(source, target, **OPTIONS | {"workers": 1})
    assert marks == list(range(len(grid)))


@pytest.mark.parametrize("harm", ["a torn line", "a damaged line", "zeros"])
def test_a_damaged_end_of_the_journal_does_not_count(tmp_path, monkeypatch, source, undisturbed, harm):
    target = tmp_path / "target.zarr"
    interrupted(monkeypatch, source, target, 9)
    journal = target / "0" / ".unfinished" / "done"
    before = journal.read_bytes()
    lines = before.splitlines(keepends=True)
    journal.write_bytes(
        {
            "a torn line": before[:-4],
            "a damaged line": b"".join(lines[:-1]) + lines[-1].replace(b'"block":', b'"clock":'),
            "zeros": before + bytes(100),
        }[harm]
    )
    counted = len(lines) - (harm != "zeros")
    interrupted(monkeypatch, source, target, 2)  # marks blocks behind the damage
    assert journal.read_bytes().count(b"\n") == counted + 2
    assert blockwise.write(source, target, **OPTIONS).resumed == counted + 2
    assert digests(target) == undisturbed


def test_killed_between_the_last_mark_and_the_end(tmp_path, monkeypatch, source, undisturbed):
    target = tmp_path / "target.zarr"

    def killed(*arguments):
        raise Killed

    for name in ("finish", "remove_state"):
        monkeypatch.setattr(store, name, killed)
        with pytest.raises(Killed):
            blockwise.write(source, target, **OPTIONS)
        monkeypatch.undo()
    assert blockwise.write(source, target, **OPTIONS).computed == 0
    assert digests(target) == undisturbed


def test_whether_there_are_sites_is_found_once(tmp_path, monkeypatch):
    # Half the extent is within reach of the scale, and the only site is in the last block.
    labels = np.ones((4, 12, 12), np.uint8)
    labels[-1, -1, -1] = 0
    source = create(tmp_path / "labels.zarr", labels)
    looked = []
    original = sites.look_for_sites
    monkeypatch.setattr(sites, "look_for_sites", lambda job, n: looked.append(n) or original(job, n))
    options = {"voxel_size": (1, 1, 1), "scale": 1, "chunks": (2, 4, 4), "blocks": (2, 4, 4), "workers": 1}
    interrupted(monkeypatch, source, tmp_path / "t.zarr", 3, background="zero", **options)
    assert sorted(looked) == list(range(18))
    blockwise.write(source, tmp_path / "t.zarr", **options)
    assert len(looked) == 18, "not again"
    # A site in the first block: the rest is not read.
    create(source, 1 - labels[::-1, ::-1, ::-1])
    looked.clear()
    blockwise.write(source, tmp_path / "u.zarr", **options | {"blocks": (2, 4, 4), "chunks": (1, 4, 4)})
    assert looked == [0]


def test_other_parameters_are_refused_and_both_are_shown(tmp_path, monkeypatch, source):
    target = tmp_path / "target.zarr"
    interrupted(monkeypatch, source, target, 3)
    before = digests(target)
    for change, said in [
        ({"scale": 6.0}, "scale: 5.0 there, 6.0 asked"),
        ({"dtype": "int8"}, "dtype: 'float32' there, 'int8' asked"),
        ({"blocks": (4, 5, 5)}, r"blocks: \[2, 5, 5\] there, \[4, 5, 5\] asked"),
        ({"engine": "reference"}, "engine: 'cpu' there, 'reference' asked"),
        ({"ids": [1]}, r"ids: None there, \[1\] asked"),
        ({"halo": 0.01}, "halo: 'exact' there, 0.01 asked"),
    ]:
        with pytest.raises(ValueError, match=f"(?s)unfinished.*{said}.*the same: .*background='signed'"):
            blockwise.write(source, target, **OPTIONS | change)
        assert digests(target) == before
    written = blockwise.write(source, target, **OPTIONS | {"scale": 6.0}, overwrite=True)
    assert (written.resumed, attributes(target / "0")["scale"]) == (0, 6.0)


def test_one_process_at_a_time(tmp_path, source):
    target = tmp_path / "target.zarr"
    refused = []

    def again(progress):
        if progress.computed == 1:
            for overwrite in (False, True):
                with pytest.raises(BlockingIOError, match="another process is writing") as caught:
                    blockwise.write(source, target, **OPTIONS, overwrite=overwrite)
                refused.append(caught)

    blockwise.write(source, target, **OPTIONS, progress=again)
    assert len(refused) == 2


def test_ctrl_c_leaves_what_can_be_resumed(call, tmp_path, source):
    labels = np.tile(VOLUMES["instances"], (1, 2, 2))
    create(source, labels)
    command = [Path(sysconfig.get_path("scripts"), "inner-distance-gpu"), "volume", source, tmp_path / "target.zarr"]
    command += ["--voxel-size", ",".join(map(str, VOXEL)), "--scale", "5", "--chunks", "2,5,5", "--blocks", "2,5,5"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "target.zarr" / "0" / ".unfinished" / "done"
    while process.poll() is None and not (journal.exists() and journal.stat().st_size > 2000):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in error
    assert "The same command goes on" in error
    assert "were done before" in call(*command[1:])[1]
    np.testing.assert_array_equal(values(tmp_path / "target.zarr" / "0"), inner_distance(labels, VOXEL, scale=5))
    assert "nothing to do" in call(*command[1:])[1]
