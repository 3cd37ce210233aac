"""Is a target of any axes, with and without a unit and a place, read as what was written, or refused?"""

import contextlib

import nibabel
import numpy as np
import pytest
import tifffile
from label_stores import ome
from zarr_stores import FORMATS, zarr

from inner_distance_gpu import open_labels
from inner_distance_gpu.storage import files
from inner_distance_gpu.storage.target import Target, axes_of

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
EXTENT = {"t": 2, "c": 3, "b": 5, "z": 4, "y": 6, "x": 7}
LAYOUTS = ("zyx", "yx", "czyx", "tzyx", "tczyx", "ctzyx", "cyx", "bczyx")


def target(axes, **more):
    dims = sum(name in "zyx" for name in axes)
    sizes, place = (40.0, 4.25, 0.1)[3 - dims :], (0.0, -8.5, 3.0)[3 - dims :]
    stated = {"voxel_size": sizes, "unit": "nm", "translation": place} | more
    return Target(tuple(EXTENT[name] for name in axes), {"made": "here"}, tuple(axes), **stated)


def write(path, made):
    values = np.random.default_rng(0).random(made.shape, np.float32)
    with files.writing_target(path, made) as output:
        for index in np.ndindex(made.shape[: len(made.leading)]):
            output[index] = values[index]
    return values


def read_as(labels, axes):
    """All values with their axes in another order; an axis that the file does not name is the one that is left."""
    (left,) = set(axes) - set(labels.axes) or {""}
    named = [name or left for name in labels.axes]
    values = labels.read((0,) * len(labels.shape), labels.shape)
    return values.transpose([named.index(name) for name in axes])


@pytest.mark.parametrize("axes", LAYOUTS)
@pytest.mark.parametrize(
    ("name", "dialect"), [("t.tif", "ImageJ"), ("t.tif", ""), ("t.h5", ""), ("t.nii", ""), ("t.nii.gz", "")]
)
def test_axes(tmp_path, name, dialect, axes):
    made, path = target(axes, dialect=dialect), tmp_path / name
    if ".nii" in name and axes == "cyx":
        with pytest.raises(ValueError, match=r"t\.nii.*: a NIfTI image cannot hold the axes \('c', 'y', 'x'\)"):
            write(path, made)
        assert list(tmp_path.iterdir()) == []
        return
    values = write(path, made)
    labels = open_labels(path, unit="nm")
    np.testing.assert_array_equal(read_as(labels, axes), values)
    assert labels.axes[-made.dims :] == made.spatial
    assert labels.voxel_size == pytest.approx(made.voxel_size)
    assert labels.translation == pytest.approx(made.translation)
    if name == "t.tif":
        with tifffile.TiffFile(path) as file:
            assert file.is_imagej == (dialect == "ImageJ" and axes != "bczyx"), "ImageJ has no more axes"


@pytest.mark.parametrize("name", ["t.tif", "t.h5", "t.nii", "t.zarr"])
@pytest.mark.parametrize("more", [{"translation": None}, {"unit": ""}, {"unit": "", "translation": None}])
def test_what_is_not_known_stays_unknown(tmp_path, name, more):
    made = target("zyx", **more)
    values = write(tmp_path / name, made)
    labels = open_labels(tmp_path / name)
    np.testing.assert_array_equal(read_as(labels, "zyx"), values)
    assert labels.voxel_size == pytest.approx(made.voxel_size if labels.unit != "µm" else (0.04, 0.00425, 0.0001))
    assert labels.unit == ("µm" if made.unit and name == "t.nii" else made.unit)
    if made.translation is None:  # OME-Zarr has no other word for it than the origin
        assert labels.translation == ((0, 0, 0) if name == "t.zarr" else None)
    else:
        assert labels.translation == pytest.approx(made.translation)


@pytest.mark.parametrize("more", [{"voxel_size": (40, 1, 1)}, {"voxel_size": (40, 4, 2**33)}, {"unit": ""}])
def test_imagej_that_cannot_say_it(tmp_path, more):
    """One pixel per unit is what is written where nothing is known; then OME says it."""
    made = target("zyx", dialect="ImageJ", **more)
    write(tmp_path / "t.tif", made)
    with tifffile.TiffFile(tmp_path / "t.tif") as file:
        assert file.is_ome
    labels = open_labels(tmp_path / "t.tif")
    assert (labels.voxel_size, labels.unit, labels.translation) == (made.voxel_size, made.unit, made.translation)


def test_a_nifti_target_lies_over_its_labels_in_the_world(call, tmp_path):
    """Also where an axis runs against the world's, which no voxel size says."""
    labels = np.zeros((6, 20, 24), np.uint8)
    labels[1:4, 3:12, 4:15] = 1
    affine = np.array([[0, 0, -40.0, 7], [4.0, 0, 0, 8], [0, 4.5, 0, 9], [0, 0, 0, 1]])
    image = nibabel.Nifti1Image(labels.T, affine)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "l.nii.gz")
    code, _, error = call("run", tmp_path / "l.nii.gz", tmp_path / "t.nii.gz", "--scale", "50")
    assert code == 0, error
    written = nibabel.load(tmp_path / "t.nii.gz")
    np.testing.assert_allclose(written.affine, affine, rtol=1e-6)
    np.testing.assert_allclose(written.header.get_zooms(), (4, 4.5, 40))
    assert written.header.get_xyzt_units()[0] == "mm"


def test_names_of_axes():
    assert axes_of(("", "", ""), 3, None) == ("z", "y", "x")
    assert axes_of(("", "", "", ""), 3, None) == ("c", "z", "y", "x")
    assert axes_of(("", "", "", "", ""), 3, None) == ("t", "c", "z", "y", "x")
    assert axes_of(("", "z", "y", "x"), 3, 0) == ("c", "b", "z", "y", "x")
    assert axes_of(("t", "z", "y", "x"), 3, 0) == ("c", "t", "z", "y", "x")
    assert axes_of(("c", "z", "y", "x"), 3, 0) == ("b", "c", "z", "y", "x")
    assert axes_of(("", "c", "y", "x"), 2, None) == ("t", "c", "y", "x")
    assert axes_of(("x", "y", "z"), 3, None) == ("x", "y", "z")


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("command", ["run", "volume"])
@pytest.mark.parametrize("axes", ["tzyx", "czyx", "tczyx"])
def test_ome_zarr_of_every_layout(call, tmp_path, version, command, axes):
    """Classes in front of the axes of the labels, which keep their scale, unit and place."""
    values = np.zeros([EXTENT[name] for name in axes], np.uint8)
    values[..., 1:3, 2:4, 2:5] = 3
    front = len(axes) - 3
    scale, place = (*(2.0, 1.0)[:front], 40, 4, 4), (*(5.0, 0.0)[:front], 400, 80, 80)
    where = ome(tmp_path / "l.zarr", version, axes, scale, place, values)
    options = ["--scale", "50", "--ids", "3"]
    code, _, error = call(command, where, tmp_path / "t.zarr", *options)
    assert code == 0, error
    said = dict(zarr.open_group(str(tmp_path / "t.zarr"), mode="r").attrs)
    found = said.get("ome", said)["multiscales"][0]
    names = [axis["name"] for axis in found["axes"]]
    assert names == ["c" if "c" not in axes else "b", *axes]
    kinds = {"t": "time", "c": "channel", "b": None}
    assert [axis.get("type") for axis in found["axes"]] == [kinds.get(name, "space") for name in names]
    steps = {step["type"]: step[step["type"]] for step in found["datasets"][0]["coordinateTransformations"]}
    assert steps == {"scale": [1, *scale], "translation": [0, *place]}
    shown = said.get("ome", said).get("omero", {"channels": []})["channels"]
    assert [channel["label"] for channel in shown] == (["id 3"] if "c" not in axes else [])
    labels = open_labels(tmp_path / "t.zarr")
    assert (labels.voxel_size, labels.unit, labels.translation) == ((40, 4, 4), "nm", (400, 80, 80))
    assert labels.shape == (1, *values.shape)


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("command", ["run", "volume"])
def test_consolidated_metadata_are_renewed(call, tmp_path, version, command):
    store = ome(tmp_path / "l.zarr", version, values=np.eye(24, dtype=np.uint8)[None].repeat(6, 0))
    outer, group = tmp_path / "outer.zarr", tmp_path / "outer.zarr" / "inner"
    for place in (outer, group):
        zarr.open_group(str(place), mode="w", zarr_format=version)
    # Of the outer group alone.
    with pytest.warns(match="Consolidated") if version == 3 else contextlib.nullcontext():
        zarr.consolidate_metadata(str(outer), zarr_format=version)

    def listed():
        return zarr.open_consolidated(str(outer), zarr_format=version)

    for scale in ("50", "25"):
        code, _, error = call(command, store, group / "t", "--scale", scale, "--overwrite")
        assert code == 0, error
        attributes = dict(listed()["inner/t/0"].attrs)
        assert attributes["scale"] == float(scale)
        assert attributes.get("complete", True)
        assert not (group / ".zmetadata").exists(), "a group that had none gets none"
