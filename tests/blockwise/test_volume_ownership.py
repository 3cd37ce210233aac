"""Does an output belong to one run, whatever the tasks of earlier runs and other processes still do?"""

import contextlib
import os
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
from volumes import SCALE, VOLUMES, VOXEL
from zarr_stores import attributes, create, digests, values, zarr

from inner_distance_gpu import blockwise, inner_distance
from inner_distance_gpu.blockwise import store, writing
from inner_distance_gpu.blockwise.run_folder import RunFolder, end_runs
from inner_distance_gpu.blockwise.task import write_block

LABELS = VOLUMES["instances"]
OPTIONS = {"voxel_size": VOXEL, "scale": SCALE, "chunks": (4, 20, 17), "blocks": (4, 20, 17)}
CHANGES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.listdir", "os.scandir"}


class Killed(BaseException):
    """What stands for the end of the process."""


class Delay:
    """Does something else at the n-th system call of one thread, just before that call."""

    def __init__(self):
        self.thread = self.action = None
        self.left = 0
        sys.addaudithook(self)  # for good

    def __call__(self, event, arguments):
        if self.action is None or event not in CHANGES or threading.get_ident() != self.thread:
            return
        self.left -= 1
        if self.left < 0:
            action, self.action = self.action, None
            action()

    def at(self, call, action, function):
        """Whether the function made so many calls."""
        self.thread, self.action, self.left = threading.get_ident(), action, call
        with contextlib.suppress(OSError):
            function()
        made, self.action = self.action is None, None
        return made


DELAY = Delay()


@pytest.fixture
def source(tmp_path):
    return create(tmp_path / "labels.zarr", LABELS)


def abandoned(monkeypatch, source, target, **options):
    """A task of a run that was killed before it could do anything else."""
    found = []

    def keep(job, sites, number):
        found.append((job, sites, number))
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_block", keep)
        patch.setattr(writing, "end_runs", lambda array: None)  # nobody tidies up after a kill
        with pytest.raises(Killed):
            blockwise.write(source, target, workers=1, **OPTIONS | options)
    return found[0]


@pytest.mark.parametrize("compression", ["none", "blosc"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_task_of_an_earlier_run_changes_nothing(tmp_path, monkeypatch, source, overwrite, compression):
    call, made = 0, True
    other = {"scale": 2 * SCALE} if overwrite else {}
    while made:
        target = tmp_path / f"{call}.zarr"
        task = abandoned(monkeypatch, source, target, compression=compression)
        finished = {}

        def second(target=target, finished=finished):
            blockwise.write(source, target, workers=1, overwrite=overwrite, **OPTIONS | other, compression=compression)
            finished.update(digests(target))

        made = DELAY.at(call, second, lambda task=task: write_block(*task))
        if made:
            assert digests(target) == finished, f"a task that was delayed at its call {call} changed the output"
            assert attributes(target / "0")["complete"] is True
            expected = inner_distance(LABELS, VOXEL, **{"scale": SCALE} | other)
            np.testing.assert_array_equal(values(target / "0"), expected)
        call += 1
    assert call > 8, "calls that the hook saw"


def test_a_folder_of_a_run_that_was_removed_stays_removed(tmp_path):
    run = RunFolder.of(tmp_path, "a")
    run.path.mkdir(parents=True)
    run.put(b"1", tmp_path / "0" / "1")
    assert (tmp_path / "0" / "1").read_bytes() == b"1"
    end_runs(tmp_path)
    for change in (lambda: run.put(b"2", tmp_path / "0" / "1"), lambda: run.remove(tmp_path / "0" / "1")):
        with pytest.raises(FileNotFoundError):
            change()
    assert (tmp_path / "0" / "1").read_bytes() == b"1"
    assert not run.path.exists()


def test_a_second_beginner_is_refused(tmp_path, monkeypatch, source):
    target = tmp_path / "target.zarr"
    original = store.create

    def late(plan):
        monkeypatch.setattr(store, "create", original)
        blockwise.write(source, target, workers=1, **OPTIONS)  # another process, in the meantime
        original(plan)

    monkeypatch.setattr(store, "create", late)
    with pytest.raises(ValueError, match=r"scale: 5\.0 there, 3\.0 asked"):
        blockwise.write(source, target, workers=1, **OPTIONS | {"scale": 3.0})
    np.testing.assert_array_equal(values(target / "0"), inner_distance(LABELS, VOXEL, scale=SCALE))


def test_whether_it_is_complete_is_asked_again_under_the_lock(tmp_path, monkeypatch, source):
    target = tmp_path / "target.zarr"
    original = store.complete

    def slow(plan, overwrite):
        monkeypatch.setattr(store, "complete", original)
        answer = original(plan, overwrite)
        blockwise.write(source, target, workers=1, **OPTIONS)
        return answer

    monkeypatch.setattr(store, "complete", slow)
    assert blockwise.write(source, target, workers=1, **OPTIONS).computed == 0
    assert not (target / "0" / store.STATE).exists()


def test_an_output_that_is_deleted_ends_the_run(tmp_path, source):
    target = tmp_path / "target.zarr"

    def delete(progress):
        if progress.computed == 2:
            os.rename(target, tmp_path / "away")

    with pytest.raises(OSError, match=r"block \[.*the output was removed"):
        blockwise.write(source, target, workers=1, **OPTIONS, progress=delete)
    assert not target.exists()


def test_what_others_put_into_an_output_is_not_overwritten(tmp_path, source):
    target = tmp_path / "target.zarr"
    blockwise.write(source, target, workers=1, **OPTIONS)
    create(target / "mine", LABELS)
    before = digests(target)
    with pytest.raises(IsADirectoryError, match="holds mine"):
        blockwise.write(source, target, workers=1, **OPTIONS | {"scale": 3.0}, overwrite=True)
    assert digests(target) == before


def test_what_a_killed_creation_left_is_removed(tmp_path, monkeypatch, source):
    def killed(path, plan):
        (path / "0").mkdir(parents=True)
        os._exit(1)

    plan = blockwise.plan(source, tmp_path / "target.zarr", **OPTIONS)  # opens labels, which a forked process cannot
    child = os.fork()
    if not child:
        try:  # whatever happens here: a child that goes on would run the other tests, too
            monkeypatch.setattr(store, "build", killed)
            blockwise.run(plan, workers=1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    assert len(list(tmp_path.iterdir())) == 2
    blockwise.write(source, tmp_path / "target.zarr", workers=1, **OPTIONS)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.zarr", "target.zarr"]


def test_a_folder_where_a_chunk_should_be(tmp_path, source):
    name = next(path for path in source.iterdir() if not path.name.startswith("."))
    name.unlink()
    name.mkdir()
    with pytest.raises(OSError, match=r"block \[.*cannot be read: IsADirectoryError"):
        blockwise.write(source, tmp_path / "target.zarr", workers=1, **OPTIONS)


def test_a_plan_can_be_run_twice(tmp_path, source):
    plan = blockwise.plan(source, tmp_path / "target.zarr", **OPTIONS)
    assert blockwise.run(plan, workers=1).computed == plan.blocks
    assert blockwise.run(replace(plan), True, workers=1).computed == plan.blocks
    assert zarr.open_array(str(tmp_path / "target.zarr/0"), mode="r").attrs["complete"]
