"""Does `verify` find an engine that is off, and pass one that is not?"""

import re
from types import SimpleNamespace

import numpy as np
import pytest

from inner_distance_gpu import engines
from inner_distance_gpu.cli import verify
from inner_distance_gpu.engines import reference
from inner_distance_gpu.parameters import TargetParameters

LABELS = np.zeros((2, 10, 30, 36), np.uint16)
LABELS[:, 2:7, 5:18, 6:22] = 3
LABELS[:, 2:7, 18:27, 6:22] = 8
OPTIONS = ["--scale", "20", "--voxel-size", "8,4,4"]


@pytest.fixture
def labels(tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    return tmp_path / "labels.npy"


@pytest.fixture
def second(monkeypatch):
    """A second engine under the name `cpu`: the reference with its results passed through `change`."""

    def install(change=None, weigh=None):
        def run(task, arrays, threads):
            reference.run(task, arrays)
            if change is not None and task.target is not None:
                change(arrays.target, task.target)
            if weigh is not None and task.weighing is not None:
                arrays.weight[...] = weigh(arrays.weight)

        engine = SimpleNamespace(
            why_not=lambda: None,
            run=run,
        )
        monkeypatch.setattr(engines, "_module", {"cpu": engine, "reference": reference}.__getitem__)
        monkeypatch.setattr(engines, "_why_not", lambda name: None if name in ("cpu", "reference") else "not here")

    return install


def at(value, where=(0, 3, 10, 10), only=None):
    def change(out, parameters):
        if only is None or (parameters.scale is None) == (only == "distance"):
            out[where] = value(out[where])

    return change


def row(printed, engine):
    cells = next(line for line in printed.splitlines() if re.match(rf"│ {engine} ", line))
    return [cell.strip() for cell in cells.strip("│").split("│")]


def test_an_engine_that_agrees(call, labels, second):
    second()
    code, out, _ = call("verify", labels, *OPTIONS)
    assert code == 0
    assert row(out, "cpu")[1:4] == ["0.0e+00"] * 3
    assert row(out, "cpu")[5] == "within"
    assert row(out, "reference")[5] == "the measure"


def test_differences_within_the_tolerance(call, labels, second):
    second(at(lambda v: v * np.float32(1 - 2e-7)))
    code, out, _ = call("verify", labels, *OPTIONS)
    assert code == 0
    assert 1e-7 < float(row(out, "cpu")[2]) < 3e-7


@pytest.mark.parametrize(
    ("changes", "column"),
    [
        ({"change": at(lambda v: v - 3e-6, only="target")}, 1),
        ({"change": at(lambda v: v * (1 + 3e-6), only="distance")}, 2),
        ({"change": at(lambda v: np.nan, only="distance")}, 2),
        ({"weigh": lambda w: w * np.float32(1 + 3e-6)}, 3),
    ],
)
def test_an_engine_that_is_off(call, labels, second, changes, column):
    second(**changes)
    code, out, _ = call("verify", labels, *OPTIONS)
    assert code == 1
    cells = row(out, "cpu")
    assert float(cells[column]) > 2e-6
    assert [float(cell) <= 1e-6 for cell in cells[1:4]].count(False) == 1
    assert cells[5] == "OFF"


def test_an_engine_that_breaks(call, labels, second):
    second(lambda out, parameters: 1 / 0)
    code, out, _ = call("verify", labels, *OPTIONS)
    assert code == 1
    assert row(out, "cpu")[5] == "FAILED"
    assert "cpu: ZeroDivisionError: division by zero" in out


def test_times_label_is_measured_in_labels(call, labels, second):
    second(at(lambda v: v + np.float32(4e-6), only="target"))  # the label there is 3
    assert call("verify", labels, *OPTIONS, "--background", "times_label")[0] == 1
    second(at(lambda v: v + np.float32(2.4e-6), only="target"))
    code, out, _ = call("verify", labels, *OPTIONS, "--background", "times_label")
    assert code == 0
    assert 5e-7 < float(row(out, "cpu")[1]) < 1e-6


def test_the_engines_of_this_machine(call, labels):
    code, out, error = call("verify", labels, *OPTIONS, "--ignore-label", "8")
    assert code == 0, out + error
    assert "boundary faces" in out


def test_the_crop(call, labels):
    _, out, _ = call("verify", labels, *OPTIONS, "--crop", "8")
    assert "crop [0:2, 1:9, 11:19, 14:22]" in out
    _, out, error = call("verify", labels, *OPTIONS, "--crop", "4", "--at", "9,29,0")
    assert "crop [0:2, 6:10, 26:30, 0:4] with 0 boundary faces" in out
    assert "no boundary" in error
    code, _, error = call("verify", labels, *OPTIONS, "--at", "10,0,0")
    assert code == 2
    assert "[10, 0, 0]: expected a voxel of labels with shape (2, 10, 30, 36)" in error
    assert verify.crop_of((5, 3, 7), 2, 64) == (slice(0, 2), slice(0, 3), slice(0, 7))


def test_sites_are_counted_between_annotated_voxels():
    parameters = TargetParameters.checked((1, 1), 5, "zero", "extent", 9, 0)
    assert verify.count_sites(np.array([[[0, 1, 9], [1, 1, 2]]]), parameters) == 3


def test_infinite_distances_agree(call, tmp_path, second):
    second()
    np.save(tmp_path / "full.npy", np.ones((4, 5, 6), bool))
    code, out, _ = call(
        "verify", tmp_path / "full.npy", "--scale", "none", "--voxel-size", "1,1,1", "--no-boundary", "saturate"
    )
    assert code == 0
    assert row(out, "cpu")[5] == "within"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["absent.npy", *OPTIONS], "no such file"),
        (["labels.npy", "--scale", "20"], "give --voxel-size"),
        (["labels.npy", *OPTIONS, "--crop", "0"], "--crop"),
        (["labels.npy", *OPTIONS, "--at", "1.5,2,2"], "no whole number"),
    ],
)
def test_bad_input(call, labels, monkeypatch, arguments, said):
    monkeypatch.chdir(labels.parent)
    code, _, error = call("verify", *arguments)
    assert code == 2
    assert said in error
