"""Does the demo leave true targets of the real nuclei, and does the picture show what it should?"""

import importlib.util
import json
import sys

import numpy as np
import pytest
import tifffile
from matplotlib.figure import Figure
from oracle import golden

from inner_distance_gpu import cli, demo, figures, inner_distance
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
