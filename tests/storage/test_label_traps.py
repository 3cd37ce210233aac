"""Are stores that say too little, too much or the wrong thing read as what they are, or refused?"""

import json
import multiprocessing
import os
import struct

import numpy as np
import pytest
from label_stores import LABELS, SMALL, hdf5, n5, ome, pillow_tiff, zarr_array

from inner_distance_gpu import open_labels
from inner_distance_gpu.storage import units

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
LITTLE = SMALL[:6, :20, :24]
SIZES = (40, 4, 4)


def edit(path, change):
    stored = json.loads(path.read_text())
    change(stored)
    path.write_text(json.dumps(stored))


@pytest.mark.parametrize(
    ("spelled", "short"),
    [
        *(("nm", "nm"), ("nanometer", "nm"), ("Nanometres", "nm"), ("um", "µm"), ("µm", "µm"), ("μm", "µm")),
        *(("micron", "µm"), ("microns", "µm"), ("\\u00B5m", "µm"), ("micrometre", "µm"), ("angstrom", "Å")),
        *(("\u212b", "Å"), ("mm", "mm"), ("meter", "m"), ("m", "m"), (" nm ", "nm"), ("", "")),
    ],
)
def test_spellings_of_units(spelled, short):
    assert units.short(spelled) == short


def test_conversion_is_exact():
    assert units.convert(0.004, "µm", "nm") == 4
    assert units.convert(4, "nm", "µm") == 0.004


def test_an_unknown_unit_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="unit='vox': expected a length"):
        open_labels(zarr_array(tmp_path / "z.zarr"), unit="vox")
    path = zarr_array(tmp_path / "f.zarr", attributes={"voxel_size": [1, 1, 1], "units": ["furlong"] * 3})
    with pytest.raises(ValueError, match=r"f\.zarr: its voxel_size metadata have the unit 'furlong'.*give voxel_size"):
        open_labels(path)
    assert open_labels(path, voxel_size=SIZES, unit="nm").unit == "nm"


def test_another_unit_converts_size_and_place(tmp_path):
    labels = open_labels(ome(tmp_path / "o.zarr"), unit="micrometer")
    assert (labels.voxel_size, labels.unit, labels.translation) == ((0.04, 0.004, 0.004), "µm", (0.4, 0.08, 0.08))
    assert "(40, 4, 4) nm" in labels.notice
    assert "the scale is in µm" in labels.notice


def test_a_unit_labels_what_has_none(tmp_path):
    path = zarr_array(tmp_path / "f.zarr", attributes={"resolution": SIZES, "offset": [400, 80, 80]})
    labels = open_labels(path, unit="nm")
    assert (labels.voxel_size, labels.unit, labels.translation, labels.notice) == (SIZES, "nm", (420, 82, 82), "")


def test_what_is_given_counts_and_says_so(tmp_path):
    path = ome(tmp_path / "o.zarr")
    labels = open_labels(path, voxel_size=(30, 4, 4))
    assert (labels.voxel_size, labels.unit, labels.stated_by) == ((30, 4, 4), "nm", "given")
    assert labels.translation is None, "metadata that are wrong are wrong about the place"
    assert f"{path}: voxel size (30, 4, 4) nm as given" in labels.notice
    assert "(40, 4, 4) nm" in labels.notice
    same = open_labels(path, voxel_size=(0.04, 0.004, 0.004), unit="um")
    assert same.notice == ""
    assert same.translation == pytest.approx((0.4, 0.08, 0.08))


def test_an_offset_alone_is_a_place_and_no_size(tmp_path):
    path = zarr_array(tmp_path / "f.zarr", attributes={"offset": [400, 80, 80]})
    labels = open_labels(path)
    assert (labels.voxel_size, labels.translation, labels.stated_by) == (None, None, "")
    assert open_labels(path, voxel_size=SIZES).translation == (420, 82, 82)
    with pytest.raises(ValueError, match=r"f\.zarr: states no voxel size \(looked for OME-Zarr.*voxel_size=\(40"):
        labels.require_voxel_size()


def test_units_that_differ_by_axis(tmp_path):
    path = ome(tmp_path / "o.zarr", scale=(0.04, 4, 4), translation=(0.4, 80, 80))
    edit(path / ".zattrs", lambda s: s["multiscales"][0]["axes"][0].update(unit="micrometer"))
    labels = open_labels(path)
    assert (labels.voxel_size, labels.unit, labels.translation) == (SIZES, "nm", (400, 80, 80))


def test_metadata_that_contradict_each_other(tmp_path):
    path = ome(tmp_path / "o.zarr")
    edit_attributes(path / "s0", {"voxel_size": [20, 4, 4]})
    with pytest.raises(ValueError, match=r"(?s)o\.zarr.*OME scale .* disagrees with the array's voxel_size"):
        open_labels(path)
    assert open_labels(path, voxel_size=SIZES).voxel_size == SIZES


def edit_attributes(path, attributes):
    (path / ".zattrs").write_text(json.dumps(attributes))


@pytest.mark.parametrize("version", [2, 3])
def test_transformations_of_null_state_nothing(tmp_path, version):
    path = ome(tmp_path / "o.zarr", version)

    def change(stored):
        found = stored["attributes"]["ome"] if version == 3 else stored
        for dataset in found["multiscales"][0]["datasets"]:
            dataset["coordinateTransformations"] = None

    edit(path / ("zarr.json" if version == 3 else ".zattrs"), change)
    assert open_labels(path).voxel_size is None


def test_attributes_of_null(tmp_path):
    path = zarr_array(tmp_path / "z.zarr", 3)
    edit(path / "zarr.json", lambda stored: stored.update(attributes=None))
    np.testing.assert_array_equal(open_labels(path).read((0, 0, 0), LABELS.shape), LABELS)


def test_a_missing_chunk_is_the_fill_value_or_an_error(tmp_path):
    path = zarr_array(tmp_path / "z.zarr", fill_value=7)
    (path / "1.1.1").unlink()
    labels = open_labels(path)
    assert (labels.read((16, 32, 32), (32, 64, 64)) == 7).all()
    assert labels.missing((0, 0, 0), LABELS.shape) == [((16, 32, 32), (32, 64, 64))]
    assert labels.missing((0, 0, 0), (16, 128, 96)) == []
    edit(path / ".zarray", lambda stored: stored.update(fill_value=None))
    labels = open_labels(path)
    np.testing.assert_array_equal(labels.read((0, 0, 0), (16, 32, 32)), LABELS[:16, :32, :32])
    with pytest.raises(FileNotFoundError, match=r"z\.zarr: the chunk at \(16, 32, 32\) is not stored"):
        labels.read((0, 0, 0), LABELS.shape)
    # N5 has no fill value, and 0 is what its specification says.
    where = n5(tmp_path)
    (where / "s0" / "1" / "1" / "1").unlink()
    labels = open_labels(where, "s0")
    assert not labels.read((16, 32, 32), (32, 64, 64)).any()
    assert labels.missing((0, 0, 0), LABELS.shape) == [((16, 32, 32), (32, 64, 64))]


def test_a_link_to_a_level_lies_where_the_level_lies(tmp_path):
    path = ome(tmp_path / "o.zarr")
    (tmp_path / "link").symlink_to(path / "s0")
    assert open_labels(tmp_path / "link").voxel_size == SIZES
    (path / "s0").rename(tmp_path / "elsewhere")
    (path / "s0").symlink_to(tmp_path / "elsewhere")
    assert open_labels(path).voxel_size == SIZES


def test_levels(tmp_path):
    path = ome(tmp_path / "o.zarr")
    labels = open_labels(path, level=1)
    np.testing.assert_array_equal(labels.read((0, 0, 0), labels.shape), LABELS[::2, ::2, ::2])
    assert labels.voxel_size == (80, 8, 8)
    with pytest.raises(ValueError, match=r"o\.zarr: level 2: expected 0 to 1, the levels are \['s0', 's1'\]"):
        open_labels(path, level=2)
    with pytest.raises(ValueError, match=r"s0: is an array and no pyramid; expected level=0, not 1"):
        open_labels(path / "s0", level=1)


def test_axes_that_are_not_spatial_come_in_front(tmp_path):
    values = np.stack([LITTLE, LITTLE[::-1]], axis=1)
    path = ome(tmp_path / "o.zarr", axes="zcyx", scale=(40, 1, 4, 4), translation=(0,) * 4, values=values[:, :, :, :])
    labels = open_labels(path)
    assert (labels.shape, labels.axes, labels.voxel_size) == ((2, 6, 20, 24), ("c", "z", "y", "x"), SIZES)
    moved = values.transpose(1, 0, 2, 3)
    np.testing.assert_array_equal(labels.read((0,) * 4, labels.shape), moved)
    np.testing.assert_array_equal(labels.read((1, 2, 3, 4), (2, 5, 9, 9)), moved[1:, 2:5, 3:9, 4:9])
    one = open_labels(path, select={"c": 1})
    assert (one.shape, one.axes) == ((6, 20, 24), ("z", "y", "x"))
    np.testing.assert_array_equal(one.read((0,) * 3, one.shape), LITTLE[::-1])
    with pytest.raises(ValueError, match=r"no axis 't' among its axes \(z, c, y, x\)"):
        open_labels(path, select={"t": 0})


def test_imagej_calls_a_plain_stack_channels(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "c.tif", LITTLE, imagej=True)
    with pytest.raises(ValueError, match=r"c\.tif: voxel_size=\(40.0, 4.0, 4.0\) has 3 numbers.*axes are \(c, y, x\)"):
        open_labels(tmp_path / "c.tif", voxel_size=SIZES)
    assert open_labels(tmp_path / "c.tif", voxel_size=(4, 4)).axes == ("c", "y", "x")


@pytest.mark.parametrize(("unit", "resolution"), [("um", (1, 1)), ("pixel", (250, 1)), ("inch", (72, 1)), ("", None)])
def test_imagej_that_does_not_know_the_size(tmp_path, unit, resolution):
    text = f"ImageJ=1.54f\nimages=6\nslices=6\nunit={unit}\n" + ("spacing=0.04\n" if resolution != (72, 1) else "")
    labels = open_labels(pillow_tiff(tmp_path / "t.tif", text, resolution, LITTLE))
    assert labels.voxel_size is None
    with pytest.raises(ValueError, match="spacing, resolution and unit"):
        labels.require_voxel_size()


def test_a_stack_of_one_slice_has_lost_an_axis(tmp_path):
    text = "ImageJ=1.54f\nimages=1\nslices=1\nunit=um\nspacing=0.04\n"
    labels = open_labels(pillow_tiff(tmp_path / "t.tif", text, (250, 1), LITTLE[:1]))
    assert (labels.shape, labels.axes, labels.voxel_size) == ((20, 24), ("y", "x"), (0.004, 0.004))


def test_stacks_without_names_may_be_volumes(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "t.tif", LITTLE)
    assert open_labels(tmp_path / "t.tif", voxel_size=SIZES).voxel_size == SIZES


@pytest.mark.parametrize("how", ["rotated", "sheared", "slope", "flipped"])
def test_nifti_in_a_world_of_its_own(tmp_path, how):
    import nibabel

    affine = np.diag([4.0, 4, 40, 1])
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    if how == "rotated":
        affine[:3, :3] = turn @ affine[:3, :3]
    elif how == "sheared":
        affine[0, 1] = 1
    elif how == "flipped":
        affine[0, 0] = -4
    image = nibabel.Nifti1Image(LITTLE.T, affine)
    nibabel.save(image, tmp_path / "l.nii")
    if how == "slope":
        data = bytearray((tmp_path / "l.nii").read_bytes())
        data[112:120] = struct.pack("<ff", 2, 1)
        (tmp_path / "l.nii").write_bytes(data)
    if how == "flipped":
        labels = open_labels(tmp_path / "l.nii")
        assert (labels.voxel_size, labels.translation) == (SIZES, None)
        np.testing.assert_array_equal(labels.read((0, 0, 0), LITTLE.shape), LITTLE)
        return
    with pytest.raises(ValueError, match=r"l\.nii: (its axes are rotated|scales its values \(slope 2)"):
        open_labels(tmp_path / "l.nii")


def test_colours_are_no_labels(tmp_path):
    from PIL import Image

    for name in ("c.png", "c.tif"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
        with pytest.raises(ValueError, match=f"{name}: is a colour image"):
            open_labels(tmp_path / name)


def test_several_data_sets(tmp_path):
    where = hdf5(tmp_path)
    with pytest.raises(ValueError, match=r"holds 2 data sets, \['volumes/labels/neuron_ids', 'volumes/raw'\]; name"):
        open_labels(where)
    with pytest.raises(ValueError, match=r"no data set 'volumes' among \["):
        open_labels(where, "volumes")


def test_a_name_that_is_not_utf_8(tmp_path):
    name = tmp_path / os.fsdecode(b"\xfe.zarr")
    zarr_array(tmp_path / "z.zarr").rename(name)
    with pytest.raises(ValueError, match="cannot read it: its name is not UTF-8; rename it"):
        open_labels(name)


@pytest.mark.parametrize(
    "name",
    ["l.npy", "l.npz", "l.png", "l.tif", "l.h5", "l.nii", "l.nii.gz", "l.nrrd", "l.mha", "l.zip", "l.n5", "l.xyz", "l"],
)
def test_places_keep_their_spelling(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=rf"^\./{name}: no such file"):
        open_labels(f"./{name}")
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises((ValueError, OSError), match=rf"\./{name}.*cannot read"):
        open_labels(f"./{name}")


def read_in_child(labels, answers):
    try:
        answers.put(int(labels.read((0, 0, 0), (2, 2, 2)).sum()))
    except ValueError as error:
        answers.put(str(error))


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_processes(tmp_path, method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} here")
    labels = open_labels(zarr_array(tmp_path / "z.zarr"))
    expected = int(labels.read((0, 0, 0), (2, 2, 2)).sum())
    context = multiprocessing.get_context(method)
    answers = context.Queue()
    child = context.Process(target=read_in_child, args=(labels, answers))
    child.start()
    answer = answers.get(timeout=100)
    child.join()
    if method == "fork":
        assert f"{os.fspath(tmp_path / 'z.zarr')}: cannot read it in this forked process" in answer
        assert "'spawn' or 'forkserver'" in answer
    else:
        assert answer == expected
