"""Are half-widths those of balls and rods of known radius, and is the scale of the command theirs?"""

import re

import numpy as np
import pytest

from inner_distance_gpu.cli.scale import half_widths, suggested_scale
from inner_distance_gpu.labels.classes import ClassMap

SIZES = (12.0, 8.0, 8.0)


def world(shape, sizes=SIZES):
    return np.meshgrid(*(np.arange(n) * size for n, size in zip(shape, sizes, strict=True)), indexing="ij")


def balls_and_rods(shape=(100, 120, 120)):
    """Two balls of id 1 and radii 300 and 160, two rods of id 2 along y, of radius 100 across it."""
    z, y, x = world(shape)
    labels = np.zeros(shape, np.uint8)
    for at, radius in (((600, 320, 320), 300), ((600, 640, 720), 160)):
        labels[(z - at[0]) ** 2 + (y - at[1]) ** 2 + (x - at[2]) ** 2 < radius**2] = 1
    for at in ((1000, 850), (150, 850)):
        labels[((z - at[0]) ** 2 + (x - at[1]) ** 2 < 100**2) & (abs(y - 480) < 350)] = 2
    return labels


@pytest.mark.parametrize("classes", [None, ClassMap.checked({"balls": 1, "rods": 2}), ClassMap.checked([1, 2])])
def test_balls_and_rods(classes):
    labels = balls_and_rods()
    found = half_widths(labels, SIZES, classes)
    balls, rods = found.values()
    assert list(found) == (["id 1", "id 2"] if classes is None else [classes.title(0), classes.title(1)])
    # Surface and middle are on the grid of voxels: each off by half a diagonal at most.
    slack = np.linalg.norm(SIZES)
    np.testing.assert_allclose(balls, [160, 300], rtol=0, atol=slack)
    np.testing.assert_allclose(rods, [100, 100], rtol=0, atol=slack)
    assert suggested_scale(balls, SIZES) == np.median(balls) / 1.5
    assert suggested_scale(np.array([20.0]), SIZES) == 20 / 1.5
    assert suggested_scale(np.array([15.0]), SIZES) == 12, "no scale below the largest voxel size"


def test_instances_that_touch_are_objects_of_their_own():
    labels = np.repeat(np.arange(40), 5)[None].repeat(30, axis=0)
    found = half_widths(labels, (4.0, 4.0))
    assert list(found) == ["39 ids"]
    assert found["39 ids"].size == 39
    # Strips of 5 voxels: the middle one is 2.5 voxels from either side. The last ends at the border, where no face is.
    assert found["39 ids"].tolist() == [10.0] * 38 + [18.0]


def test_channels_are_volumes_of_their_own_and_unannotated_voxels_no_objects():
    labels = np.zeros((2, 9, 9), np.uint8)
    labels[0, 2:7, 2:7] = 1
    labels[1, 3:6, 3:6] = 1
    labels[1, 0] = 9
    found = half_widths(labels, (4.0, 4.0), None, 9)
    assert {title: widths.tolist() for title, widths in found.items()} == {"id 1": [6.0, 10.0]}
    assert half_widths(np.ones((5, 5), np.uint8), (4.0, 4.0))["id 1"].size == 0


def test_the_command_prints_a_row_per_class(call, tmp_path):
    np.save(tmp_path / "labels.npy", balls_and_rods())
    code, out, err = call(
        "scale", tmp_path / "labels.npy", "--voxel-size", "12,8,8", "--classes", "balls=1,rods=2,none=7"
    )
    assert code == 0
    assert "not in the labels" in err
    widths = half_widths(balls_and_rods(), SIZES, ClassMap.checked({"balls": 1, "rods": 2}))
    for widths_of_class in widths.values():
        assert f"{np.median(widths_of_class):.4g}" in out
        assert f"{float(f'{suggested_scale(widths_of_class, SIZES):.2g}'):g}" in out
    assert "objects" in out
    assert re.search(r"Suggested: 1\d0, \d\d\n", out), "no option: one class has no object"
    assert "e+02" not in out


def test_options_and_objects_that_are_far_wider(call, tmp_path):
    """Strips of 6 voxels, and one of 60: half of it is many times the scale that the others suggest."""
    strips = [0, 1] * 6 + [0, 2, 0], [1, 6] * 5 + [1, 60, 1, 6, 1]
    np.save(tmp_path / "labels.npy", np.repeat(*strips)[None].repeat(60, axis=0))
    command = ["scale", tmp_path / "labels.npy", "--voxel-size", "1,1"]
    code, out, _ = call(*command)
    assert code == 0
    rows = [re.findall(r"[\d.]+", line) for line in out.splitlines() if "id " in line and "1.7" in line]
    assert rows == [["1", "6", "2.5", "2.5", "16", "1.7", "1"], ["2", "1", "2.5", "2.5", "2.5", "1.7", "0"]]
    assert "Suggested: --scale 1.7,1.7 --ids 1,2\n" in out
    _, out, _ = call(*command, "--classes", "wide=1,narrow=2")
    assert "Suggested: --scale 1.7,1.7\n" in out


def test_labels_without_a_boundary(call, tmp_path):
    np.save(tmp_path / "labels.npy", np.ones((4, 5, 6), np.uint8))
    code, _, err = call("scale", tmp_path / "labels.npy", "--voxel-size", "4,4,4")
    assert code == 0
    assert "nothing is suggested" in err
