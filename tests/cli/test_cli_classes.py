"""Do `run` and `volume` make a channel per class, name them, and end bad classes well?"""

import json

import numpy as np
import pytest
from zarr_stores import attributes, create, values

from inner_distance_gpu import inner_distance

LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
LABELS[1:4, 12:17, 4:15] = 8
VOXEL = ["--voxel-size", "30,4,4.5", "--scale", "20"]
CLASSES = {"mito": (3, 8), "nucleus": 8}


@pytest.fixture
def labels(tmp_path):
    np.save(tmp_path / "labels.npy", np.stack([LABELS, LABELS[::-1]]))
    return tmp_path / "labels.npy"


def expected(volume, classes=CLASSES):
    return inner_distance(volume, (30, 4, 4.5), scale=20, classes=classes)


def test_run(call, labels, tmp_path):
    out, preview = tmp_path / "target.npy", tmp_path / "preview.png"
    code, said, error = call("run", labels, out, *VOXEL, "--classes", "mito=3+8,nucleus=8", "--preview", preview)
    assert code == 0, error
    assert not error
    np.testing.assert_array_equal(np.load(out), expected(np.load(labels)))
    assert "float32 (2, 2, 6, 20, 24)" in said
    assert json.loads((tmp_path / "target.json").read_text())["classes"] == [
        {"name": "mito", "ids": [3, 8]},
        {"name": "nucleus", "ids": [8]},
    ]
    assert preview.stat().st_size > 1000


def test_a_class_that_does_not_occur_is_one_line(call, labels, tmp_path):
    code, _, error = call("run", labels, tmp_path / "t.npy", *VOXEL, "--classes", "3,5+6,8,77")
    assert code == 0
    assert error.strip() == "not in the labels, so their channels are background: class 1 (5+6), class 3 (77)"
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy")[:, [1, 3]], 0)
    source = create(tmp_path / "labels.zarr", LABELS)
    code, _, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, "--classes", "mito=3+8,golgi=5")
    assert code == 0
    assert error.strip() == "not in the labels, so their channels are background: class 'golgi' (5)"


def test_volume(call, tmp_path):
    source, preview = create(tmp_path / "labels.zarr", LABELS), tmp_path / "preview.png"
    options = ["--classes", "mito=3+8,nucleus=8", "--preview", preview]
    code, said, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, *options)
    assert code == 0, error
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), expected(LABELS))
    assert "float32 2 × 6 × 20 × 24" in said
    assert attributes(tmp_path / "t.zarr" / "0")["classes"][1] == {"name": "nucleus", "ids": [8]}
    assert preview.stat().st_size > 1000


@pytest.mark.parametrize(
    ("options", "classes"), [(["--classes", "mito=3+8,nucleus=8"], CLASSES), (["--ids", "3,8"], {"a": 3, "b": 8})]
)
def test_a_scale_each(call, labels, tmp_path, options, classes):
    """A list is the last --scale that is given; channels of ids are in front of all axes, those of classes are not."""
    given = np.load(labels)
    alone = [
        inner_distance(given, (30, 4, 4.5), scale=scale, classes=[ids])[:, 0]
        for ids, scale in zip(classes.values(), (20, 7.5), strict=True)
    ]
    together = np.stack(alone, axis=0 if "--ids" in options else 1)
    code, _, error = call("run", labels, tmp_path / "t.npy", *VOXEL, *options, "--scale", "20,7.5")
    assert code == 0, error
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), together)
    assert json.loads((tmp_path / "t.json").read_text())["scale"] == [20.0, 7.5]
    source = create(tmp_path / "labels.zarr", given)
    code, _, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, *options, "--scale", "20,7.5")
    assert code == 0, error
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), together)
    assert attributes(tmp_path / "t.zarr" / "0")["scale"] == [20.0, 7.5]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scale", "20,7"], "--scale 20,7 has 2 numbers: expected one number, or classes or channels"),
        (["--scale", "20,7,5", "--classes", "3,8"], "--scale 20,7,5 has 3 numbers: expected 2 numbers"),
        (["--scale", "20,7", "--ids", "3"], "--scale 20,7 has 2 numbers: expected 1 numbers"),
        (["--scale", "20,7", "--binary"], "--scale 20,7 has 2 numbers: expected one number"),
        (["--scale", "20,", "--classes", "3,8"], "--scale: '' is no number"),
        (["--scale", "20,none", "--classes", "3,8"], "--scale: 'none' is no number"),
        (["--scale", "20,0", "--classes", "3,8"], "--scale 0: expected a positive finite number"),
        (["--classes", "mito=3,mito=8"], "'mito' names several classes; a union is written mito=3+4"),
        (["--classes", "mito=3,8"], "expected a name for every class, or for none"),
        (["--classes", "mito=three"], "--classes: 'three' is no number"),
        (["--classes", "mito="], "--classes: '' is no number"),
        (["--classes", ""], "--classes: '' is no number"),
        (["--classes", "3,-1"], "-1, which labels of uint16 cannot hold"),
        (["--classes", "3,8", "--ignore-label", "8"], "holds --ignore-label 8"),
        (["--classes", "3", "--ids", "3"], "expected one of them"),
        (["--classes", "3", "--binary"], "expected one of them"),
    ],
)
def test_bad_classes(call, labels, tmp_path, options, said):
    source = create(tmp_path / "labels.zarr", LABELS)
    for command in (["run", labels, tmp_path / "t.npy"], ["volume", source, tmp_path / "t.zarr"]):
        code, _, error = call(*command, *VOXEL, *options)
        assert code == 2
        assert said in error
        assert not (tmp_path / "t.npy").exists()
        assert not (tmp_path / "t.zarr").exists()
