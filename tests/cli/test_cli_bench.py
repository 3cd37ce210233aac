"""Does `bench` time what runs here on the labels it is given, and end bad input as the other commands do?"""

import re

import numpy as np
import pytest
from scipy import ndimage

from inner_distance_gpu import __version__, engines, inner_distance
from inner_distance_gpu.cli import comparison as bench
from inner_distance_gpu.cli import timing


@pytest.fixture(autouse=True)
def few_rounds(monkeypatch):
    monkeypatch.setattr("inner_distance_gpu.cli.bench.QUICK_ROUNDS", 1)


@pytest.fixture
def labels(tmp_path):
    values = np.zeros((2, 6, 20, 70), np.uint16)
    values[0, 1:4, 3:12, 4:45] = 3
    np.save(tmp_path / "labels.npy", values)
    np.save(tmp_path / "flat.npy", values[0, 0])
    return tmp_path / "labels.npy"


def test_a_label_file(call, labels):
    code, out, error = call("bench", labels, "--voxel-size", "30,4,4.5", "--scale", "20", "--quick")
    assert (code, error) == (0, "")
    assert "crop [0:6, 0:20, 3:67]" in out
    for name, reason in engines.available().items():
        assert (f"engine {name} " in out) == (reason is None)
    assert "SciPy" in out
    line = out.strip().splitlines()[-1]
    assert line.startswith(f"inner_distance_gpu {__version__}, ")
    assert "6×20×64 uint16, 14% foreground, voxel size 30×4×4.5, scale 20: engine " in line
    ms, speed, ratio = map(float, re.search(r"([\d.]+) ms, (\d+) Mvoxel/s, (\d+) × reference", line).groups())
    assert speed == pytest.approx(6 * 20 * 64 / ms / 1e3, rel=0.1, abs=1)
    assert ratio > 0


def test_made_up_labels(call, monkeypatch):
    monkeypatch.setattr(bench, "SIZES", (17,))
    code, out, _ = call("bench", "--quick")
    assert code == 0
    assert "blobs 17³, 50 % foreground" in out
    assert "voxel size 8×8×8, scale 50" in out


def test_differences_are_measured(labels):
    volume = np.load(labels)[0]
    rows = {row.name: row for row in bench.measure(volume, (30, 4, 4.5), 20, 1)}
    assert rows["reference"].difference == 0
    assert rows["cpu"].difference <= 1e-6
    theirs = np.tanh(ndimage.distance_transform_edt(volume, sampling=(30, 4, 4.5)) / 20)
    expected = np.abs(theirs - inner_distance(volume, (30, 4, 4.5), scale=20)).max()
    assert rows["SciPy"].difference == pytest.approx(expected, abs=1e-6)


def test_no_boundary_is_said(call, tmp_path):
    np.save(tmp_path / "labels.npy", np.ones((4, 5, 6), np.uint8))
    code, _, error = call("bench", tmp_path / "labels.npy", "--voxel-size", "1,1,1", "--quick")
    assert code == 0
    assert "no boundary" in error


BAD = [
    ("missing file", ["absent.npy", "--voxel-size", "1,1,1"], ["absent.npy", "no such file"]),
    ("no voxel size", ["labels.npy"], ["voxel"]),
    ("rank", ["flat.npy", "--voxel-size", "1,1,1"], ["(20, 70)", "3 spatial axes"]),
    ("voxel size", ["labels.npy", "--voxel-size", "4,0,4"], ["0.0", "positive"]),
    ("voxel size text", ["labels.npy", "--voxel-size", "a,b,c"], ["'a'", "no number"]),
    ("scale", ["labels.npy", "--voxel-size", "4,4,4", "--scale", "-3"], ["-3", "positive"]),
    ("scale text", ["labels.npy", "--voxel-size", "4,4,4", "--scale", "none"], ["'none'", "no number"]),
    ("plane without labels", ["--voxel-size", "4,4"], ["4,4", "3 numbers"]),
    ("key without labels", ["--key", "a"], ["--key a", "no file"]),
]


@pytest.mark.parametrize(("arguments", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input(call, labels, monkeypatch, arguments, said):
    monkeypatch.chdir(labels.parent)
    code, _, error = call("bench", *arguments, "--quick")
    assert code == 2
    assert "Traceback" not in error
    for words in said:
        assert words in re.sub(r"\s+", " ", error)


def test_rows_are_timed_beside_the_base():
    seconds = {"base": 0.01, "twice": 0.02, "slow": 0.4, "slower": 2.0}
    order = []

    def clock(call):
        return seconds[call()]

    calls = {name: lambda name=name: order.append(name) or name for name in seconds}
    timings = timing.side_by_side(calls, "base", 3, dict.fromkeys(seconds, clock))
    assert {name: len(row.seconds) for name, row in timings.items()} == {"base": 9, "twice": 9, "slow": 3, "slower": 1}
    assert {name: row.ratio for name, row in timings.items()} == pytest.approx(
        {"base": 1, "twice": 2, "slow": 40, "slower": 200}
    )
    assert timings["slow"].quartiles == pytest.approx([40] * 3)
    assert timings["base"].quartiles == [1] * 3
    rounds = order[4 : 4 + 2 * 11]  # the fast ones, after each was called once
    pairs = {tuple(rounds[i : i + 2]) for i in range(0, len(rounds), 2)}
    assert pairs == {("base", "twice"), ("twice", "base")}, "each once a round, in any order"
    last = (["base", "base", "slower"], ["slower", "base", "base"])
    assert order[-3:] in last, "the base is warmed up beside a slow row"
