"""Does the command `volume` say what it will do and did, take its voxel size from OME-Zarr, and end bad input well?"""

import re

import numpy as np
import pytest
from zarr_stores import FORMATS, attributes, create, digests, values, zarr

from inner_distance_gpu import inner_distance
from inner_distance_gpu.cli.terminal import console

LABELS = np.zeros((12, 40, 48), np.uint16)
LABELS[2:8, 6:24, 8:30] = 3
LABELS[2:8, 24:34, 8:30] = 8
SIZES = (30.5, 4.25, 4.25)
VOXEL = ["--voxel-size", "30.5,4.25,4.25", "--scale", "5"]


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    monkeypatch.setattr(console, "width", 200)


@pytest.fixture
def source(tmp_path):
    return create(tmp_path / "labels.zarr", LABELS, chunks=(4, 16, 16))


def expected(labels=LABELS, **keywords):
    return inner_distance(labels, SIZES, **{"scale": 5} | keywords)


def words(text):
    return re.sub(r"\s+", " ", text)


def test_a_volume(call, tmp_path, source):
    target = tmp_path / "target.zarr"
    code, out, error = call("volume", source, target, *VOXEL, "--unit", "nm")
    assert code == 0, error
    np.testing.assert_array_equal(values(target / "0"), expected())
    assert re.search(r"target.zarr: complete. \d+ blocks in \d+\.\d s, \d+\.\d Mvoxel/s", words(out))
    assert attributes(target / "0")["unit"] == "nm"
    before = digests(target)
    code, out, _ = call("volume", source, target, *VOXEL, "--unit", "nm")
    assert code == 0
    assert "complete already, with the same parameters; nothing to do" in words(out)
    assert digests(target) == before


def test_a_dry_run_does_nothing(call, tmp_path, source):
    before = digests(tmp_path)
    options = ["--blocks", "4,16,32", "--chunks", "4,8,8", "--dtype", "int8", "--workers", "3", "--ids", "3,8"]
    code, out, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, *options, "--dry-run")
    assert code == 0, error
    said = words(out)
    assert "uint16 12 × 40 × 48" in said
    assert "voxels (30.5, 4.25, 4.25) of no stated unit" in said
    assert "int8 2 × 12 × 40 × 48" in said
    assert "18 of 4 × 16 × 32 voxels, chunks 1 × 4 × 8 × 8" in said
    assert "halo 2 × 11 × 11 voxels" in said
    # z: (6 + 8 + 6) / 12, y: (27 + 35 + 19) / 40, x: (43 + 27) / 48
    assert f"overhead {20 / 12 * 81 / 40 * 70 / 48:.2f} voxels" in said
    each = 8 * 35 * 43 * (2 + 1 + 4 + 7)
    assert f"memory {each / 1000:.3g} kB per worker thread, {3 * each / 1000:.3g} kB for 3" in said
    assert f"output {2 * LABELS.size / 1000:.3g} kB before compression (zstd:3)" in said
    assert digests(tmp_path) == before


@pytest.mark.parametrize(
    ("options", "keywords"),
    [
        (["--background", "signed"], {"background": "signed"}),
        (["--background", "times_label"], {"background": "times_label"}),
        (["--ignore-label", "3", "--fill", "-1"], {"ignore_label": 3, "fill": -1}),
        (["--engine", "reference"], {"engine": "reference"}),
        (["--workers", "1", "--blocks", "4,16,16", "--compression", "none"], {}),
        (["--scale", "1000", "--no-boundary", "saturate"], {"scale": 1000, "no_boundary": "saturate"}),
    ],
)
def test_options(call, tmp_path, source, options, keywords):
    assert call("volume", source, tmp_path / "t.zarr", *VOXEL, *options)[0] == 0
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), expected(**keywords))


def test_ids_and_a_tolerance(call, tmp_path, source):
    options = ["--ids", "8,3,5", "--background", "signed", "--halo", "0.01"]
    code, _, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, *options)
    assert code == 0
    assert "ids [5] do not occur in the labels" in words(error)
    stored = values(tmp_path / "t.zarr" / "0")
    for channel, chosen in zip(stored[:2], (8, 3), strict=True):
        np.testing.assert_allclose(channel, expected(chosen == LABELS, background="signed"), atol=0.01)
    assert stored.shape == (3, *LABELS.shape)


def test_binary(call, tmp_path, source):
    assert call("volume", source, tmp_path / "t.zarr", *VOXEL, "--binary")[0] == 0
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), expected(LABELS != 0))


@pytest.mark.parametrize("version", FORMATS)
def test_the_voxel_size_of_ome_zarr(call, tmp_path, version):
    group = zarr.open_group(str(tmp_path / "image.zarr"), mode="w", **({"zarr_format": 3} if version == 3 else {}))
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    dataset = {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": list(SIZES)}]}
    described = {"multiscales": [{"axes": axes, "datasets": [dataset]}]}
    group.attrs.update({"ome": described | {"version": "0.5"}} if version == 3 else described)
    create(tmp_path / "image.zarr" / "s0", LABELS, version)
    code, _, error = call("volume", tmp_path / "image.zarr", tmp_path / "t.zarr", "--scale", "5")
    assert code == 0, error
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), expected())
    assert attributes(tmp_path / "t.zarr" / "0")["voxel_size"] == list(SIZES)
    assert attributes(tmp_path / "t.zarr" / "0")["unit"] == "nm"


def test_other_parameters(call, tmp_path, source):
    assert call("volume", source, tmp_path / "t.zarr", *VOXEL)[0] == 0
    code, _, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, "--background", "signed")
    assert code == 2
    assert "background: 'zero' there, 'signed' asked" in words(error)
    assert call("volume", source, tmp_path / "t.zarr", *VOXEL, "--background", "signed", "--overwrite")[0] == 0
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), expected(background="signed"))


def test_chunks_that_are_not_stored(call, tmp_path, source):
    # Zarr stores no chunk that holds nothing but the fill value.
    code, _, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, "--missing", "error")
    assert code == 2
    assert re.search(r"chunk \(\d, \d, \d\) is not stored, and --missing error", words(error))
    code, out, _ = call("volume", source, tmp_path / "t.zarr", *VOXEL)
    assert code == 0
    assert "chunks of the labels are not stored and counted as their fill value" in words(out)


@pytest.mark.parametrize("at", [None, "4,20,20"])
def test_a_preview(call, tmp_path, source, at):
    picture = tmp_path / "p.png"
    options = ["--ids", "3,8", "--dtype", "int8", "--preview", picture, *(["--at", at] if at else [])]
    for _ in range(2):  # computed, and complete already
        code, out, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, *options)
        assert code == 0, error
        assert str(picture) in out
        assert picture.read_bytes()[:4] == b"\x89PNG"
        picture.unlink()


BAD = [
    ("scale", ["--scale", "none"], ["--scale none", "halo"]),
    ("voxel size", ["--voxel-size", "4,0,4"], ["--voxel-size 4.0,0.0,4.0", "positive"]),
    ("ids", ["--ids", "a"], ["--ids", "'a'"]),
    ("blocks", ["--blocks", "5,5,5"], ["--blocks 5,5,5", "--chunks 4,16,16"]),
    ("chunks", ["--chunks", "4,4"], ["--chunks 4,4:"]),
    ("halo", ["--halo", "far"], ["'far'"]),
    ("dtype", ["--dtype", "int4"], ["--dtype int4", "'int8'"]),
    ("engine", ["--engine", "cucim"], ["'cucim' cannot run here"]),
    ("workers", ["--workers", "0"], ["--workers 0"]),
    ("at", ["--preview", "p.png", "--at", "1,2"], ["--at 1,2", "(12, 40, 48)"]),
    ("preview", ["--preview", "p.jpg"], [".png"]),
    ("scheduler", ["--scheduler", "nowhere"], ["nowhere"]),
    ("key", ["--key", "s0"], ["s0"]),
]


@pytest.mark.parametrize(("options", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_input(no_gpu, call, tmp_path, source, monkeypatch, options, said):
    monkeypatch.chdir(tmp_path)
    before = digests(tmp_path)
    code, _, error = call("volume", source, tmp_path / "t.zarr", *VOXEL, *options)
    assert code == 2
    assert "Traceback" not in error
    for part in said:
        assert part in words(error)
    assert digests(tmp_path) == before
