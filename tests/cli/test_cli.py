"""Does the command line leave what it says, and end bad input with exit code 2 and no traceback?"""

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import tifffile

from inner_distance_gpu import __version__, engines, inner_distance

LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
LABELS[1:4, 12:17, 4:15] = 8
VOXEL = ["--voxel-size", "30,4,4.5", "--scale", "20"]


@pytest.fixture
def labels(tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    return tmp_path / "labels.npy"


def expected(volume=LABELS, **keywords):
    return inner_distance(volume, (30, 4, 4.5), **{"scale": 20} | keywords)


def test_npy(call, labels, tmp_path):
    code, out, _ = call("run", labels, tmp_path / "target.npy", *VOXEL, "--unit", "nm")
    assert code == 0
    target = np.load(tmp_path / "target.npy")
    assert target.dtype == np.float32
    np.testing.assert_array_equal(target, expected())
    assert str(tmp_path / "target.npy") in out
    described = json.loads((tmp_path / "target.json").read_text())
    assert described["voxel_size"] == [30, 4, 4.5]
    assert described["scale"] == 20
    assert described["background"] == "zero"
    assert described["version"] == __version__
    assert described["source"] == str(labels)
    assert described["engine"] in out
    assert described["unit"] == "nm"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.npy", "target.json", "target.npy"]


def test_the_installed_program(labels, tmp_path):
    program = [Path(sysconfig.get_path("scripts"), "inner-distance-gpu"), "run", labels, tmp_path / "t.npy", *VOXEL]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected())
    again = subprocess.run(program, capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "Traceback" not in again.stderr
    assert "--overwrite" in again.stderr


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff(call, tmp_path, compression):
    tifffile.imwrite(tmp_path / "labels.tif", LABELS, compression=compression)
    assert call("run", tmp_path / "labels.tif", tmp_path / "t.npy", *VOXEL)[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected())


def test_npz(call, tmp_path):
    np.savez(tmp_path / "one.npz", gt=LABELS)
    np.savez(tmp_path / "two.npz", labels=LABELS, other=LABELS * 0)
    for name, more in (("one", []), ("two", []), ("two", ["--key", "labels"])):
        assert call("run", tmp_path / f"{name}.npz", tmp_path / "t.npy", *VOXEL, "--overwrite", *more)[0] == 0
        np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected())
    assert call("run", tmp_path / "two.npz", tmp_path / "t.npy", *VOXEL, "--overwrite", "--key", "other")[0] == 0
    assert (np.load(tmp_path / "t.npy") == 0).all()


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        (["--background", "signed"], {"background": "signed"}),
        (["--background", "times_label"], {"background": "times_label"}),
        (["--scale", "none"], {"scale": None}),
        (["--ignore-label", "3", "--fill", "-1"], {"ignore_label": 3, "fill": -1}),
        (["--engine", "reference"], {"engine": "reference"}),
    ],
)
def test_options(call, labels, tmp_path, options, keywords):
    assert call("run", labels, tmp_path / "t.npy", *VOXEL, *options)[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected(**keywords))


def test_no_boundary(call, tmp_path):
    np.save(tmp_path / "full.npy", np.ones((4, 4), bool))
    options = ["--voxel-size", "2,2", "--scale", "none", "--no-boundary", "saturate"]
    assert call("run", tmp_path / "full.npy", tmp_path / "t.npy", *options)[0] == 0
    assert (np.load(tmp_path / "t.npy") == np.inf).all()


def test_infinite_fill_is_valid_json(call, labels, tmp_path):
    assert call("run", labels, tmp_path / "t.npy", *VOXEL, "--ignore-label", "3", "--fill", "nan")[0] == 0
    assert json.loads((tmp_path / "t.json").read_text(), parse_constant=pytest.fail)["fill"] == "nan"
    assert np.isnan(np.load(tmp_path / "t.npy")[LABELS == 3]).all()


def test_ids(call, labels, tmp_path):
    assert call("run", labels, tmp_path / "t.npy", *VOXEL, "--ids", "8,3", "--background", "signed")[0] == 0
    target = np.load(tmp_path / "t.npy")
    assert target.shape == (2, *LABELS.shape)
    for channel, chosen in zip(target, (8, 3), strict=True):
        np.testing.assert_array_equal(channel, expected(chosen == LABELS, background="signed"))
    assert json.loads((tmp_path / "t.json").read_text())["ids"] == [8, 3]


def test_ids_beside_unannotated_voxels(call, labels, tmp_path):
    assert call("run", labels, tmp_path / "t.npy", *VOXEL, "--ids", "8", "--ignore-label", "3", "--fill", "5")[0] == 0
    channel = np.where(LABELS == 3, 2, LABELS == 8).astype(np.uint8)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy")[0], expected(channel, ignore_label=2, fill=5))
    assert json.loads((tmp_path / "t.json").read_text())["ignore_label"] == 3


def test_unannotated_nan_survives_binary(call, tmp_path):
    floats = LABELS.astype(np.float32)
    floats[0] = np.nan
    np.save(tmp_path / "floats.npy", floats)
    assert call("run", tmp_path / "floats.npy", tmp_path / "t.npy", *VOXEL, "--binary", "--fill", "5")[0] == 0
    expected_target = expected(np.where(np.isnan(floats), np.nan, floats != 0), fill=5)
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected_target)


def test_binary(call, labels, tmp_path):
    assert call("run", labels, tmp_path / "t.npy", *VOXEL, "--binary")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected(LABELS != 0))


def test_leading_axes(call, tmp_path):
    stacked = np.stack([LABELS, LABELS[::-1]])
    np.save(tmp_path / "stack.npy", stacked)
    assert call("run", tmp_path / "stack.npy", tmp_path / "t.npy", *VOXEL, "--preview", tmp_path / "p.png")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected(stacked))
    assert call("run", tmp_path / "stack.npy", tmp_path / "ids.npy", *VOXEL, "--ids", "3,8")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "ids.npy")[1], expected(stacked == 8))


def test_preview(call, labels, tmp_path):
    code, out, _ = call("run", labels, tmp_path / "t.npy", *VOXEL, "--ids", "3,8", "--preview", tmp_path / "p.png")
    assert code == 0
    assert (tmp_path / "p.png").read_bytes()[:4] == b"\x89PNG"
    assert str(tmp_path / "p.png") in out
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy")[1], expected(LABELS == 8))


def test_overwrite(call, labels, tmp_path):
    for _ in range(2):
        code, _, _ = call("run", labels, tmp_path / "t.npy", *VOXEL, "--overwrite", "--preview", tmp_path / "p.png")
        assert code == 0


@pytest.fixture
def folder(labels, tmp_path):
    """Files that are not label arrays, and an output that exists."""
    (tmp_path / "text.npy").write_text("no array")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "text.npz").write_text("no archive")
    (tmp_path / "text.tif").write_text("no image")
    (tmp_path / "labels.txt").write_text("1 2 3")
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    np.save(tmp_path / "complex.npy", np.zeros((2, 3, 4), complex))
    np.save(tmp_path / "flat.npy", LABELS[0])
    np.save(tmp_path / "hollow.npy", LABELS[:0])
    np.savez(tmp_path / "two.npz", a=LABELS, b=LABELS)
    tifffile.imwrite(tmp_path / "colour.tif", np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with tifffile.TiffWriter(tmp_path / "several.tif") as tiff:
        tiff.write(LABELS)
        tiff.write(LABELS[0])
    cut = labels.read_bytes()
    (tmp_path / "cut.npy").write_bytes(cut[: len(cut) // 2])
    (tmp_path / "done.npy").write_bytes(b"precious")
    (tmp_path / "sidecar.json").write_bytes(b"precious")
    (tmp_path / "picture.png").write_bytes(b"precious")
    (tmp_path / "folder.npy").mkdir()
    return tmp_path


BAD = [
    ("missing file", ["absent.npy", "t.npy"], ["absent.npy", "no such file"]),
    ("folder", ["folder.npy", "t.npy"], ["folder.npy", "is a folder"]),
    ("no array", ["text.npy", "t.npy"], ["text.npy", "cannot read it"]),
    ("empty file", ["empty.npy", "t.npy"], ["empty.npy", "cannot read it"]),
    ("cut off", ["cut.npy", "t.npy"], ["cut.npy", "cannot read it"]),
    ("pickled objects", ["objects.npy", "t.npy"], ["objects.npy"]),
    ("no archive", ["text.npz", "t.npy"], ["text.npz", "cannot read it"]),
    ("no image", ["text.tif", "t.npy"], ["text.tif", "not a TIFF"]),
    ("colour image", ["colour.tif", "t.npy"], ["colour image", "(8, 8, 3)"]),
    ("several images", ["several.tif", "t.npy"], ["2 images", "(20, 24)"]),
    ("unknown suffix", ["labels.txt", "t.npy"], [".txt", ".npz"]),
    ("complex", ["complex.npy", "t.npy"], ["complex128", "float64"]),
    ("rank", ["flat.npy", "t.npy"], ["(20, 24)", "3 spatial axes"]),
    ("empty axis", ["hollow.npy", "t.npy"], ["(0, 20, 24)", "empty axis"]),
    ("two arrays", ["two.npz", "t.npy"], ["['a', 'b']", "--key"]),
    ("key", ["two.npz", "t.npy", "--key", "c"], ["'c'", "['a', 'b']"]),
    ("key of a .npy", ["labels.npy", "t.npy", "--key", "c"], ["--key c", ".npz"]),
    ("output exists", ["labels.npy", "done.npy"], ["done.npy", "exists", "--overwrite"]),
    ("sidecar exists", ["labels.npy", "sidecar.npy"], ["sidecar.json", "exists", "--overwrite"]),
    ("preview exists", ["labels.npy", "t.npy", "--preview", "picture.png"], ["picture.png", "--overwrite"]),
    ("preview suffix", ["labels.npy", "t.npy", "--preview", "picture.jpg"], ["picture.jpg", ".png"]),
    ("output suffix", ["labels.npy", "t.mha"], ["t.mha", ".npy or .ome.tif", ".nii.gz"]),
    ("select", ["labels.npy", "t.npy", "--select", "c"], ["--select", "'c'", "c=1,t=0"]),
    ("select twice", ["labels.npy", "t.npy", "--select", "c=1,c=0"], ["every axis once"]),
    ("select text", ["labels.npy", "t.npy", "--select", "c=a"], ["'a' is no number"]),
    ("select no axis", ["labels.npy", "t.npy", "--select", "c=1"], ["no axis 'c' among its axes (?, ?, ?)"]),
    ("level of a file", ["labels.npy", "t.npy", "--level", "1"], ["is no pyramid", "expected --level 0, not 1"]),
    ("weight suffix", ["labels.npy", "t.npy", "--weight", "w.png"], ["w.png", ".h5"]),
    ("weight exists", ["labels.npy", "t.npy", "--weight", "done.npy"], ["done.npy", "--overwrite"]),
    ("weight is the target", ["labels.npy", "t.npy", "--weight", "t.npy"], ["also written for t.npy"]),
    ("output folder", ["labels.npy", "nowhere/t.npy"], ["nowhere", "does not exist"]),
    ("output is a folder", ["labels.npy", "folder.npy"], ["is a folder"]),
    ("output is the input", ["labels.npy", "labels.npy", "--overwrite"], ["also an input"]),
    ("ids that do not occur", ["labels.npy", "t.npy", "--ids", "3,5"], ["[5]", "0, 3, 8"]),
    ("ids that no label can be", ["labels.npy", "t.npy", "--ids", "-1"], ["[-1]", "0, 3, 8"]),
    ("ids twice", ["labels.npy", "t.npy", "--ids", "3,3"], ["[3, 3]", "once"]),
    ("ids ignored", ["labels.npy", "t.npy", "--ids", "3", "--ignore-label", "3"], ["[3]", "0, 8"]),
    ("ids no numbers", ["labels.npy", "t.npy", "--ids", "a"], ["--ids", "'a'"]),
    ("ids fractions", ["labels.npy", "t.npy", "--ids", "1.5"], ["--ids", "'1.5'", "whole"]),
    ("ids and binary", ["labels.npy", "t.npy", "--ids", "3", "--binary"], ["--binary"]),
    ("voxel size", ["labels.npy", "t.npy", "--voxel-size", "4,0,4"], ["--voxel-size 4.0,0.0,4.0", "positive"]),
    ("voxel size text", ["labels.npy", "t.npy", "--voxel-size", "4;4;4"], ["'4;4;4'", "no number"]),
    ("scale", ["labels.npy", "t.npy", "--scale", "-3"], ["--scale -3", "positive"]),
    ("scale text", ["labels.npy", "t.npy", "--scale", "big"], ["'big'", "no number"]),
    ("background", ["labels.npy", "t.npy", "--background", "black"], ["--background black", "'signed'"]),
    ("no_boundary", ["labels.npy", "t.npy", "--no-boundary", "x"], ["--no-boundary x", "'saturate'"]),
    ("engine unknown", ["labels.npy", "t.npy", "--engine", "gpu"], ["--engine gpu", "'reference'"]),
    ("engine that cannot run", ["labels.npy", "t.npy", "--engine", "cucim"], ["'cucim' cannot run here"]),
    ("unknown option", ["labels.npy", "t.npy", "--sigma", "3"], ["--sigma"]),
]


@pytest.mark.parametrize(("arguments", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input(no_gpu, call, folder, monkeypatch, arguments, said):
    monkeypatch.chdir(folder)
    before = {path.name: path.stat().st_size for path in folder.iterdir()}
    code, _, error = call("run", arguments[0], arguments[1], *VOXEL, *arguments[2:])
    assert code == 2
    assert "Traceback" not in error
    shown = re.sub(r"\s+", " ", error)
    for words in said:
        assert words in shown
    assert {path.name: path.stat().st_size for path in folder.iterdir()} == before


def test_a_failure_halfway_leaves_nothing(call, labels, tmp_path, monkeypatch):
    def no_memory(*arguments, **keywords):
        raise MemoryError("no memory for 7 bytes")

    monkeypatch.setattr("inner_distance_gpu.cli.figures.save", no_memory)
    code, _, error = call("run", labels, tmp_path / "t.npy", *VOXEL, "--preview", tmp_path / "p.png")
    assert code == 2
    assert "no memory for 7 bytes" in error
    assert [path.name for path in tmp_path.iterdir()] == ["labels.npy"]


def test_info(call):
    code, out, _ = call("info")
    assert code == 0
    for name, reason in engines.available().items():
        assert re.search(rf"{name}\s+│ {'yes' if reason is None else 'no'}", out)
    assert f"auto means {engines.fastest()} on the command line" in out


def test_info_without_a_gpu(no_gpu, call):
    _, out, _ = call("info")
    assert re.search(r"cucim\s+│ no\s+│ no device in this test", out)
    assert f"auto means {'cpu' if engines.available()['cpu'] is None else 'reference'} on the command line" in out


def test_version_and_help(call):
    assert call("--version")[:2] == (0, f"{__version__}\n")
    assert "run" in call("--help")[1]
