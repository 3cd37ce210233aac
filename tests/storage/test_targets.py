"""Does a target in every format have the values, voxel size, unit, place and axes that other programs should find?

`run` writes, and the library of the format reads; then `open_labels` does.
"""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from label_stores import ome
from zarr_stores import zarr

from inner_distance_gpu import balanced_weights, inner_distance, open_labels

h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra 'volumes')")
nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed (extra 'medical')")
tifffile = pytest.importorskip("tifffile", reason="tifffile is not installed (extra 'volumes')")
pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")

LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
LABELS[1:4, 12:17, 4:15] = 8
SIZES, PLACE = (40.0, 4.25, 4.5), (400.0, 85.0, 90.0)
LONG = {"nanometer": "nm", "micrometer": "µm", "millimeter": "mm"}


def ome_zarr(folder, version=2):
    return ome(folder / "labels.zarr", version, scale=SIZES, translation=PLACE, values=LABELS)


def imagej_tiff(folder):
    described = {"axes": "ZYX", "spacing": SIZES[0], "unit": "nm"}
    described |= {f"{n}origin": -p / s for n, p, s in zip("zyx", PLACE, SIZES, strict=True)}
    density = (1 / SIZES[2], 1 / SIZES[1])
    tifffile.imwrite(folder / "labels.tif", LABELS, imagej=True, resolution=density, metadata=described)
    return folder / "labels.tif"


def nifti(folder):
    """In µm, which NIfTI has a word for."""
    affine = np.diag([*(s / 1000 for s in reversed(SIZES)), 1])
    affine[:3, 3] = [p / 1000 for p in reversed(PLACE)]
    image = nibabel.Nifti1Image(LABELS.T, affine)
    image.header.set_xyzt_units("micron")
    nibabel.save(image, folder / "labels.nii")
    return folder / "labels.nii"


@dataclass
class Read:
    """What a library says of a file."""

    values: Any
    axes: str
    sizes: Any
    place: Any
    unit: str
    classes: list[str]


def read_npy(path):
    said = json.loads(path.with_suffix(".json").read_text())
    classes = [f"id {i}" for i in said["ids"] or ()]
    return Read(np.load(path), "".join(said["axes"]), said["voxel_size"], said["translation"], said["unit"], classes)


def read_imagej(path):
    with tifffile.TiffFile(path) as file:
        assert file.is_imagej
        assert not file.is_ome
        said, tags = file.imagej_metadata, file.pages[0].tags
        density = {name: tags[f"{name}Resolution"].value for name in "YX"}
        sizes = (said["spacing"], *(density[n][1] / density[n][0] for n in "YX"))
        place = [-said[f"{n}origin"] * s for n, s in zip("zyx", sizes, strict=True)]
        series = file.series[0]
        values, axes, classes = series.asarray(), series.axes, said.get("Labels", [])
    if "C" in axes:  # ImageJ keeps channels behind z
        values, axes, classes = np.moveaxis(values, axes.index("C"), 0), "CZYX", classes[:2]
    return Read(values, axes.lower(), sizes, place, said["unit"], classes)


def read_ome(path):
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
        values, axes = file.series[0].asarray(), file.series[0].axes
    assert {pixels[f"PhysicalSize{n}Unit"] for n in "ZYX"} == {pixels["PhysicalSizeXUnit"]}
    planes = pixels["Plane"]
    for plane in planes:
        assert plane["PositionZ"] == pytest.approx(PLACE[0] + plane["TheZ"] * SIZES[0])
        assert plane["PositionZUnit"] == pixels["PhysicalSizeXUnit"]
    channels = pixels["Channel"] if isinstance(pixels["Channel"], list) else [pixels["Channel"]]
    sizes, place = [pixels[f"PhysicalSize{n}"] for n in "ZYX"], [planes[0][f"Position{n}"] for n in "ZYX"]
    classes = [channel["Name"] for channel in channels if "Name" in channel]
    return Read(values, axes.lower(), sizes, place, pixels["PhysicalSizeXUnit"], classes)


def read_hdf5(path):
    with h5py.File(path) as file:
        data = file["target"]
        said, axes = dict(data.attrs), [dimension.label for dimension in data.dims]
        values = data[...]
    assert list(said["axis_names"][-3:]) == ["z", "y", "x"]
    place = np.add(said["offset"], np.divide(said["resolution"], 2))
    (unit,) = set(said["units"])
    return Read(values, "".join(axes), said["resolution"], place, unit, list(said.get("classes", ())))


def read_nifti(path):
    image = nibabel.load(path)
    affine, unit = image.affine, {"micron": "µm"}[image.header.get_xyzt_units()[0]]
    assert (image.header["sform_code"] > 0, image.header["qform_code"] > 0) == (True, True)
    np.testing.assert_allclose(image.header.get_qform(), image.header.get_sform(), rtol=1e-6, atol=1e-9)
    values = np.asarray(image.dataobj).T
    axes = "zyx"
    if values.ndim == 5:  # x, y, z, time, channels
        values, axes = values[:, 0], "czyx"
    return Read(values, axes, np.diag(affine)[2::-1] * 1000, affine[2::-1, 3] * 1000, unit and "nm", [])


def read_ome_zarr(path):
    group = zarr.open_group(str(path), mode="r")
    said = dict(group.attrs)
    said = said.get("ome", said)
    (found,) = said["multiscales"]
    (dataset,) = found["datasets"]
    steps = {step["type"]: step[step["type"]] for step in dataset["coordinateTransformations"]}
    spatial = [axis for axis in found["axes"] if axis["type"] == "space"]
    (unit,) = {axis["unit"] for axis in spatial}
    axes = "".join(axis["name"] for axis in found["axes"])
    assert steps["scale"][:-3] == [1] * (len(axes) - 3)
    classes = [channel["label"] for channel in said.get("omero", {}).get("channels", ())]
    values = group[dataset["path"]][...]
    return Read(values, axes, steps["scale"][-3:], steps["translation"][-3:], LONG[unit], classes)


@dataclass(frozen=True)
class Case:
    name: str
    labels: Any
    out: str
    read: Any
    has_classes: bool = True


CASES = [
    Case("npy", ome_zarr, "t.npy", read_npy),
    Case("imagej", imagej_tiff, "t.tif", read_imagej),
    Case("ome-tiff", ome_zarr, "t.tif", read_ome),
    Case("ome-tiff of imagej", imagej_tiff, "t.ome.tif", read_ome),
    Case("hdf5", ome_zarr, "t.h5", read_hdf5),
    Case("nifti", nifti, "t.nii", read_nifti, False),
    Case("nifti-gz", ome_zarr, "t.nii.gz", read_nifti, False),
    Case("ome-zarr 0.4", ome_zarr, "t.zarr", read_ome_zarr),
    Case("ome-zarr 0.5", lambda folder: ome_zarr(folder, 3), "t.zarr", read_ome_zarr),
]


@pytest.mark.parametrize("ids", [(), (8, 3)], ids=["labels", "ids"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_run_writes(call, tmp_path, case, ids):
    where = case.labels(tmp_path)
    out, weight = tmp_path / case.out, tmp_path / f"w{case.out[1:]}"
    factor, unit = (1, "nm") if case.labels is not nifti else (1000, "µm")
    options = ["--scale", str(50 / factor), "--weight", weight]
    options += ["--ids", ",".join(map(str, ids))] if ids else []
    code, said, error = call("run", where, out, *options)
    assert code == 0, error
    assert str(out) in said
    assert str(weight) in said
    channels = np.stack([i == LABELS for i in ids]) if ids else LABELS
    sizes = open_labels(where).voxel_size
    expected = {out: inner_distance(channels, sizes, scale=50 / factor)}
    weights = [balanced_weights(c != 0)[0] for c in (channels if ids else [LABELS])]
    expected[weight] = np.stack(weights) if ids else weights[0]
    for path, values in expected.items():
        found = case.read(path)
        np.testing.assert_array_equal(found.values, values)
        assert found.values.dtype == np.float32
        assert found.axes == ("czyx" if ids else "zyx")
        assert found.sizes == pytest.approx(SIZES)
        assert found.place == pytest.approx(PLACE)
        assert found.unit == "nm"
        if case.has_classes:
            assert found.classes == [f"id {i}" for i in ids]
        if path.suffix != ".npy":
            labels = open_labels(path, unit="nm")
            assert labels.axes == tuple(found.axes)
            assert labels.voxel_size == pytest.approx(SIZES)
            assert labels.translation == pytest.approx(PLACE)
            assert open_labels(path).unit == (unit if path.suffix != ".gz" else "µm")
            np.testing.assert_array_equal(labels.read((0,) * values.ndim, values.shape), values)
    hidden = [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert hidden == []


def test_the_weight_is_that_of_the_whole_array(call, tmp_path):
    """One slab, although targets are computed volume by volume."""
    stacked = np.stack([LABELS, LABELS * 0, np.where(LABELS == 3, 9, LABELS)])
    np.save(tmp_path / "l.npy", stacked)
    options = ["--voxel-size", "40,4,4", "--scale", "50", "--ignore-label", "9", "--weight", tmp_path / "w.npy"]
    assert call("run", tmp_path / "l.npy", tmp_path / "t.npy", *options)[0] == 0
    channel = np.where(stacked == 9, 2, stacked != 0).astype(np.uint8)
    expected, counts = balanced_weights(channel, ignore_label=2)
    assert counts.denominators.tolist() == [[1 + (stacked != 9).sum()] * 2]
    np.testing.assert_array_equal(np.load(tmp_path / "w.npy"), expected)
    assert json.loads((tmp_path / "w.json").read_text())["holds"] == "weight"


def test_target_and_weight_of_different_formats(call, tmp_path):
    where = ome_zarr(tmp_path)
    assert call("run", where, tmp_path / "t.zarr", "--scale", "50", "--weight", tmp_path / "w.h5")[0] == 0
    assert open_labels(tmp_path / "t.zarr").translation == open_labels(tmp_path / "w.h5").translation == PLACE


@pytest.mark.parametrize(("out", "weight"), [("t.npy", "t.npy"), ("t.h5", "t.h5"), ("t.zarr", "t.zarr")])
def test_outputs_with_the_same_name(call, tmp_path, out, weight):
    where = ome_zarr(tmp_path)
    code, _, error = call("run", where, tmp_path / out, "--scale", "50", "--weight", tmp_path / weight)
    assert code == 2
    assert f"is also written for {tmp_path / out}" in error
    assert [path.name for path in tmp_path.iterdir()] == ["labels.zarr"]
