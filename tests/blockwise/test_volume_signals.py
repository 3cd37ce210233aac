"""Does a signal that ends the command `volume` leave an output to go on with, and nothing else?"""

import os
import signal
import subprocess
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from zarr_stores import create, digests

PROGRAM = str(Path(sysconfig.get_path("scripts"), "inner-distance-gpu"))
OPTIONS = ["--voxel-size", "1,1,1", "--scale", "2", "--blocks", "8,8,8", "--chunks", "8,8,8"]

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")


def command(folder, *more):
    return [PROGRAM, "volume", folder / "labels.zarr", folder / "target.zarr", *OPTIONS, *more]


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """Labels, and the files of an output that nothing happened to."""
    folder = tmp_path_factory.mktemp("undisturbed")
    labels = np.kron(np.random.default_rng(0).integers(0, 3, (6, 6, 6)), np.ones((8, 8, 8))).astype(np.uint8)
    create(folder / "labels.zarr", labels)
    subprocess.run(command(folder), check=True, capture_output=True)
    return folder / "labels.zarr", digests(folder / "target.zarr")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_middle(tmp_path, expected, number):
    labels, files = expected
    (tmp_path / "labels.zarr").symlink_to(labels)
    program = subprocess.Popen(command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "target.zarr/0/.unfinished/done"
    while program.poll() is None and not (journal.exists() and journal.stat().st_size > 500):
        time.sleep(0.01)
    program.send_signal(number)
    said = program.communicate(timeout=120)[1]
    assert program.returncode == 128 + number, said
    assert "Traceback" not in said
    assert sorted(os.listdir(tmp_path)) == ["labels.zarr", "target.zarr"]
    assert sorted(os.listdir(journal.parent)) == ["done", "runs"]
    assert os.listdir(journal.parent / "runs") == [], "what a block was being written to"
    marked = journal.read_bytes().count(b"\n")
    again = subprocess.run(command(tmp_path), capture_output=True, text=True, check=True)
    assert f"{marked} were done before" in again.stdout
    assert digests(tmp_path / "target.zarr") == files


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_before_the_output_has_its_name(tmp_path, expected, number):
    (tmp_path / "labels.zarr").symlink_to(expected[0])
    program = subprocess.Popen(command(tmp_path), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while program.poll() is None and len(os.listdir(tmp_path)) < 2:
        time.sleep(0.001)
    program.send_signal(number)
    said = program.communicate(timeout=120)[1]
    assert program.returncode == 128 + number, said
    left = {name for name in os.listdir(tmp_path) if name.startswith(".")}
    assert not left
