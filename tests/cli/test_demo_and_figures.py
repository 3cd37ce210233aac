"""Does the demo leave true targets of the real nuclei, and does the picture show what it should?"""

import importlib.util
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
import zarr
from matplotlib.figure import Figure
from oracle import golden

from inner_distance_gpu import InnerDistanceTransform, blockwise, inner_distance
from inner_distance_gpu.cli import demo, figures, previews
from inner_distance_gpu.cli import program as cli
from inner_distance_gpu.parameters import TargetParameters

with_stardist = pytest.mark.skipif(importlib.util.find_spec("stardist") is None, reason="stardist is not installed")


@with_stardist
def test_demo(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["inner-distance-gpu", "demo", "--out", str(tmp_path / "demo")])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert "stardist" not in sys.modules
    for case in demo.CASES:
        assert case.name in printed
        labels = tifffile.imread(demo.images_folder() / case.image)
        target, weight = (np.load(tmp_path / "demo" / f"{case.name}_{what}.npy") for what in ("target", "weight"))
        labels = labels != 0 if case.binary else labels
        expected = inner_distance(labels, case.voxel_size, scale=case.scale, background=case.background)
        np.testing.assert_array_equal(target, expected)
        assert len(np.unique(weight)) == 2
        assert json.loads((tmp_path / "demo" / f"{case.name}_target.json").read_text())["scale"] == case.scale
    assert (tmp_path / "demo" / "demo.png").stat().st_size > 50_000


@with_stardist
def test_the_demo_equals_dacapo(tmp_path):
    for _ in demo.run(tmp_path, "reference"):
        pass
    recorded = golden("inner_distance")["nuclei_binary"]
    target = np.load(tmp_path / "nuclei_3d_binary_target.npy")
    np.testing.assert_allclose(target, recorded["signed_tanh"][0], atol=1e-6)


def test_demo_without_stardist(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps stardist"):
        list(demo.run(tmp_path, "reference"))


@pytest.fixture
def drawn(monkeypatch):
    """The figures that were saved, to look into."""
    saved = []
    original = Figure.savefig

    def savefig(figure, *arguments, **keywords):
        saved.append(figure)
        original(figure, *arguments, **keywords)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return saved


def panel(labels, voxel_size, **keywords):
    parameters = TargetParameters.checked(
        voxel_size, 10, keywords.get("background", "zero"), "extent", keywords.get("ignore_label"), 0.0
    )
    target = inner_distance(labels, voxel_size, scale=10, **keywords)
    return figures.Panel("title", labels, target, np.ones(labels.shape, np.float32), parameters)


def disc(radius, shape):
    grid = np.ogrid[tuple(slice(n) for n in shape)]
    return (sum((g - n / 2 + 0.5) ** 2 for g, n in zip(grid, shape, strict=True)) < radius**2).astype(np.uint8)


def test_zero_level_lies_on_the_boundary_in_world_units(tmp_path, drawn):
    labels = disc(12.3, (40, 60))
    figures.save(tmp_path / "p.png", [panel(labels, (4.0, 4.0), background="signed")], "nm")
    axis = drawn[0].axes[1]
    (contour,) = [artist for artist in axis.collections if hasattr(artist, "levels")]
    points = np.concatenate([path.vertices for path in contour.get_paths()])
    radii = np.hypot(points[:, 0] - 120, points[:, 1] - 80) / 4
    assert abs(radii - 12.3).max() < 1
    assert (axis.get_xlim(), axis.get_ylim()) == ((0, 240), (160, 0))
    limits = axis.images[0].get_clim()
    assert limits[0] == -limits[1]


def test_scale_bar_is_in_world_units(tmp_path, drawn):
    figures.save(tmp_path / "p.png", [panel(disc(9, (30, 50)), (4.0, 8.0))], "nm")
    (bar,) = [artist for artist in drawn[0].axes[0].artists if hasattr(artist, "size_bar")]
    (line,) = bar.size_bar.get_children()
    assert line.get_width() == 100  # a quarter of 400 nm
    assert bar.txt_label.get_text() == "100 nm"


def test_slice_with_the_most_foreground(tmp_path, drawn):
    labels = np.zeros((5, 20, 20), np.uint8)
    labels[3, 5:15, 5:15] = 1
    labels[1] = 9
    figures.save(tmp_path / "p.png", [panel(labels, (40, 4, 4), ignore_label=9)])
    assert "slices at 3, 5, 5 of (5, 20, 20)" in drawn[0].axes[0].get_title(loc="left")
    assert drawn[0].axes[1].images[0].get_array().max() == pytest.approx(np.tanh(0.2 * 9))


def extents(axis):
    """(left, right, bottom, top) of each slice that was drawn."""
    return [tuple(float(x) for x in image.get_extent()) for image in axis.images]


def test_three_slices_to_one_scale(tmp_path, drawn):
    labels = np.zeros((6, 20, 30), np.uint8)
    labels[2:5, 4:9, 11:20] = 1
    volume = panel(labels, (40.0, 4.0, 8.0))
    figures.save(tmp_path / "p.png", [volume, replace(volume, at=(0, 1, 2))])
    gap = 0.03 * 240
    for axis in drawn[0].axes[:3]:
        assert axis.get_aspect() == 1.0
        # yx at the corner; zx below it, to the same x; yz to its right, to the same y.
        views = [(0, 240, 80, 0), (0, 240, 320 + gap, 80 + gap), (240 + gap, 480 + gap, 80, 0)]
        np.testing.assert_allclose(extents(axis), views)
    target = inner_distance(labels, (40.0, 4.0, 8.0), scale=10)
    for first, (z, y, x) in ((0, (2, 5, 11)), (3, (0, 1, 2))):
        shown = [np.asarray(image.get_array()) for image in drawn[0].axes[first + 1].images]
        for there, exact in zip(shown, (target[z], target[:, y], target[:, :, x].T), strict=True):
            np.testing.assert_array_equal(there, exact)
        words = [text.get_text() for text in drawn[0].axes[first].texts]
        assert words == ["y↓ x→", "z↓ x→", "y↓ z→"]
    # The cut at the middle of voxel (2, 5, 11): y in the first view, x in it, z in the second.
    lines = [collection.get_segments()[0] for collection in drawn[0].axes[0].collections]
    assert lines[0][0][1] == 5.5 * 4
    assert lines[1][0][0] == 11.5 * 8
    assert lines[2][0][1] == 80 + gap + 2.5 * 40


def test_the_slices_meet_in_the_middle_half_where_there_is_foreground():
    labels = np.zeros((8, 12, 16), np.uint8)
    labels[0, :2, :] = labels[:, 0, 0] = 1  # most of it at the border
    labels[3, 8, 10] = 1
    assert figures._at(panel(labels, (1.0, 1.0, 1.0))) == (3, 8, 10)
    labels[:] = 0
    labels[0, 11, 15] = 1
    assert figures._at(panel(labels, (1.0, 1.0, 1.0))) == (0, 11, 15)


def test_the_same_label_has_the_same_colour_in_all_slices(tmp_path, drawn):
    labels = np.random.default_rng(0).integers(0, 7, (5, 6, 7))
    figures.save(tmp_path / "p.png", [panel(labels, (4.0, 4.0, 4.0))])
    z, y, x = figures._at(panel(labels, (4.0, 4.0, 4.0)))
    flat, below, beside = (np.asarray(image.get_array()) for image in drawn[0].axes[0].images)
    np.testing.assert_array_equal(flat[y], below[z])
    np.testing.assert_array_equal(flat[:, x], beside[:, z])


def test_large_slices_are_thinned(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr(figures, "LARGEST", 10)
    labels = np.zeros((4, 25, 30), np.uint8)
    labels[:, 10:20] = 1
    figures.save(tmp_path / "p.png", [panel(labels, (4.0, 4.0, 4.0))])
    assert [image.get_array().shape[:2] for image in drawn[0].axes[0].images] == [(9, 10), (4, 10), (9, 4)]
    assert extents(drawn[0].axes[0])[0] == (0, 120, 100, 0)


class Counting:
    """An array on disk that notes how much of it is read."""

    def __init__(self, values):
        self.values, self.shape, self.ndim, self.read = values, values.shape, values.ndim, 0

    def __getitem__(self, index):
        part = self.values[index]
        self.read += part.size
        return part


def test_only_the_slices_of_a_volume_on_disk_are_read(tmp_path):
    volume = panel(np.ones((20, 30, 40), np.uint8), (4.0, 4.0, 4.0))
    disk = {name: Counting(getattr(volume, name)) for name in ("labels", "target", "weight")}
    figures.save(tmp_path / "p.png", [replace(volume, at=(3, 4, 5), **disk)])
    assert {array.read for array in disk.values()} == {30 * 40 + 20 * 40 + 20 * 30}


def test_a_preview_of_a_volume_on_disk(tmp_path, drawn):
    labels = np.zeros((8, 20, 20), np.uint16)
    labels[1:6, 3:12, 4:15], labels[6:, :, 15:], labels[:, 18:] = 3, 8, 9
    array = zarr.open_array(str(tmp_path / "l.zarr"), mode="w", shape=labels.shape, chunks=(4, 10, 10), dtype="u2")
    array[...] = labels
    keywords = {"scale": 10, "ignore_label": 9}
    options = keywords | {"ids": [8, 3], "dtype": "int8", "blocks": (4, 10, 10)}
    written = blockwise.write(tmp_path / "l.zarr", tmp_path / "t.zarr", (4, 4, 4), **options)
    rows = previews.panels(written, None)
    assert rows[0].at == (6, 5, 15), "the middle of the block with the most foreground of all ids"
    figures.save(tmp_path / "p.png", rows)
    z, y, x = rows[0].at
    for row, chosen in enumerate((8, 3)):
        channel = np.where(labels == 9, 2, labels == chosen).astype(np.uint8)
        target, weight = InnerDistanceTransform((4, 4, 4), 10, ignore_label=2, moving=False)(torch.from_numpy(channel))
        known = channel != 2
        for column, exact, near in ((1, target.numpy(), 0.5 / 127 + 1e-6), (2, weight.numpy(), 1e-6)):
            shown = [image.get_array() for image in drawn[0].axes[3 * row + column].images]
            for there, mask, whole in zip(
                shown, (known[z], known[:, y], known[:, :, x].T), (exact[z], exact[:, y], exact[:, :, x].T), strict=True
            ):
                np.testing.assert_array_equal(~np.ma.getmaskarray(there), mask)
                np.testing.assert_allclose(there[mask], whole[mask], atol=near)
    assert "id 8" in drawn[0].axes[0].get_title(loc="left")


@pytest.mark.parametrize(
    "labels",
    [
        np.zeros((8, 8), np.uint8),
        np.ones((8, 8), bool),
        np.full((8, 8), 9, np.uint8),
        np.ones((1, 1, 30), np.int64),
        np.array([[np.nan, 0, 1], [2, -3, 1.5]], np.float32),
        np.arange(12, dtype=">u8").reshape(1, 3, 4) + 2**60,
    ],
    ids=["background", "foreground", "unannotated", "a line", "floats", "large ids"],
)
def test_pictures_of_odd_volumes(tmp_path, labels):
    voxel_size = (4.0, 4.0, 4.0)[: labels.ndim]
    figures.save(tmp_path / "p.png", [panel(labels, voxel_size, ignore_label=9)])
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
