"""Does a signal that ends the command `volume` leave an output to go on with, and nothing else?"""

import os
import signal
import subprocess
import sysconfig
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from forked import Forked, run_program
from zarr_stores import create, digests

from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise.schedule import Threads

PROGRAM = str(Path(sysconfig.get_path("scripts"), "inner-distance-gpu"))
OPTIONS = ["--voxel-size", "1,1,1", "--scale", "2", "--blocks", "8,8,8", "--chunks", "8,8,8", "--engine", "cpu"]
LIMIT = 60  # s to end in: a busy machine takes several to end a process that has torch in it

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")


def write(folder):
    """What the command does, in this process: starting another one takes seconds."""
    return blockwise.write(
        folder / "labels.zarr",
        folder / "target.zarr",
        (1, 1, 1),
        scale=2,
        blocks=(8,) * 3,
        chunks=(8,) * 3,
        engine="cpu",
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Labels, and the files of an output that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    labels = np.kron(np.random.default_rng(0).integers(0, 3, (6, 6, 6)), np.ones((8, 8, 8))).astype(np.uint8)
    create(folder / "labels.zarr", labels)
    write(folder)
    return folder / "labels.zarr", digests(folder / "target.zarr")


@pytest.fixture
def command(tmp_path, expected):
    (tmp_path / "labels.zarr").symlink_to(expected[0])
    return ["volume", tmp_path / "labels.zarr", tmp_path / "target.zarr", *OPTIONS]


@pytest.fixture
def program(command):
    """The command under way; with faulthandler, so that one that hangs can be asked where."""
    environment = os.environ | {"PYTHONFAULTHANDLER": "1"}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    started = subprocess.Popen([PROGRAM, *command], env=environment, **pipes)
    yield started
    started.kill()
    started.wait()


def check_ended(program, number):
    """It ends by itself, with the exit code of that signal and without a traceback."""
    program.send_signal(number)
    try:
        said = program.communicate(timeout=LIMIT)[1]
    except subprocess.TimeoutExpired:
        program.send_signal(signal.SIGABRT)
        pytest.fail(f"it has not ended after {LIMIT} s:\n{program.communicate()[1]}")
    assert program.returncode == 128 + number, said
    assert "Traceback" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle(tmp_path, expected, program, number):
    journal = tmp_path / "target.zarr/0/.unfinished/done"
    while program.poll() is None and not (journal.exists() and journal.stat().st_size > 500):
        time.sleep(0.01)
    check_ended(program, number)
    assert sorted(os.listdir(tmp_path)) == ["labels.zarr", "target.zarr"]
    assert sorted(os.listdir(journal.parent)) == ["done", "runs"]
    assert os.listdir(journal.parent / "runs") == [], "what a block was being written to"
    marked = journal.read_bytes().count(b"\n")
    assert write(tmp_path).resumed == marked > 0
    assert digests(tmp_path / "target.zarr") == expected[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_output_has_its_name(tmp_path, command, number):
    program = Forked(run_program, *command)
    while program.poll() is None and len(os.listdir(tmp_path)) < 2:
        time.sleep(0.001)
    check_ended(program, number)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".")]


def test_a_block_that_was_begun_is_finished_and_counted():
    begun, done = threading.Event(), []

    def compute(number):
        if number == 1:
            begun.wait()
            raise KeyboardInterrupt
        begun.set()
        time.sleep(0.3)  # it ends after the interruption
        return {"block": number}

    with pytest.raises(KeyboardInterrupt):
        Threads(2).run(compute, iter([0, 1, 2, 3]), done.append)
    assert done == [{"block": 0}]
