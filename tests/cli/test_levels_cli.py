"""Do `volume --levels` and `levels` say what they will do and did, and go on after Ctrl-C?"""

import os
import re
import signal

import numpy as np
import pytest
from pyramids import image, multiscale
from zarr_stores import create, digests, values

from inner_distance_gpu.blockwise import averaging
from inner_distance_gpu.blockwise.journal import Journal
from inner_distance_gpu.cli.terminal import console

LABELS = np.zeros((12, 40, 48), np.uint16)
LABELS[2:8, 6:24, 8:30] = 3
VOXEL = ["--voxel-size", "16,4,4", "--unit", "nm", "--scale", "8", "--dtype", "int8", "--chunks", "4,16,16"]
SHAPES = "3: 12 × 40 × 48, 12 × 20 × 24, 12 × 10 × 12"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setattr(console, "width", 200)


@pytest.fixture
def source(tmp_path):
    return create(tmp_path / "labels.zarr", LABELS)


def words(text):
    return re.sub(r"\s+", " ", text)


def test_at_once_and_afterwards(call, tmp_path, source):
    code, out, error = call("volume", source, tmp_path / "a" / "t.zarr", *VOXEL, "--levels", "3")
    assert code == 2, "the folder is not there"
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    code, out, error = call("volume", source, tmp_path / "a" / "t.zarr", *VOXEL, "--levels", "3")
    assert code == 0, error
    assert f"levels {SHAPES}" in words(out)
    assert re.search(r"t.zarr: 3 levels. 2 blocks in \d+\.\d s, \d+\.\d Mvoxel/s", words(out))
    target = tmp_path / "b" / "t.zarr"
    assert call("volume", source, target, *VOXEL)[0] == 0
    code, out, error = call("levels", target, "--levels", "3")
    assert code == 0, error
    assert f"levels {SHAPES}; 1 there" in words(out)
    assert digests(target) == digests(tmp_path / "a" / "t.zarr")
    assert len(multiscale(target)["datasets"]) == 3
    code, out, _ = call("levels", target, "--levels", "2", "--workers", "1")
    assert code == 0
    assert "3 levels, which were there already" in words(out)
    code, out, error = call("levels", target)
    assert code == 0, error
    assert values(target / "3").shape == (6, 5, 6)


def test_a_dry_run_does_nothing(call, tmp_path, source):
    before = digests(tmp_path)
    code, out, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, "--levels", "3", "--dry-run")
    assert code == 0, error
    assert f"levels {SHAPES}" in words(out)
    assert digests(tmp_path) == before
    assert call("volume", source, tmp_path / "t.zarr", *VOXEL)[0] == 0
    before = digests(tmp_path)
    assert call("levels", tmp_path / "t.zarr", "--dry-run")[0] == 0
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--levels", "many"], "--levels: 'many' is no number"),
        (["--levels", "0"], "--levels 0: expected 'auto' or a positive whole number"),
        (["--levels", "50"], "--levels 50: (12, 40, 48) voxels have at most 7 levels"),
        (["--workers", "0"], "--workers 0"),
    ],
)
def test_bad_options(call, tmp_path, source, options, said):
    path = image(tmp_path / "i.zarr", LABELS.astype(np.float32), sizes=(16, 4, 4))
    before = digests(tmp_path)
    code, _, error = call("levels", path, *options)
    assert (code, error.count("\n")) == (2, 1)
    assert said in words(error)
    assert digests(tmp_path) == before


def test_labels_are_refused(call, source):
    code, _, error = call("levels", source)
    assert code == 2
    assert "is an array; levels lie beside it" in words(error)


def test_ctrl_c_leaves_what_can_be_resumed(call, tmp_path, monkeypatch):
    data = np.random.default_rng(0).normal(size=(8, 16, 16)).astype(np.float32)
    path = image(tmp_path / "i.zarr", data, sizes=(4, 4, 4), chunks=(2, 2, 2))
    monkeypatch.setattr(averaging, "VOXELS", 8)
    append = Journal.append

    def interrupt(journal, record):
        append(journal, record)
        if record.get("block") == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", interrupt)
        code, _, error = call("levels", path, "--workers", "1")
    assert code == 130
    assert "The same command goes on where this one stopped" in error
    code, out, error = call("levels", path)
    assert code == 0, error
    assert int(re.search(r"(\d+) were done before", out)[1]) >= 6
    np.testing.assert_allclose(values(path / "1")[3, 5, 7], data[6:8, 10:12, 14:16].mean(), rtol=1e-6)
