"""Does what the user gives count, else what the file states, and does a line or an error of the program say so?"""

import numpy as np
import pytest
import tifffile
from label_stores import STORES, ome, zarr_array

from inner_distance_gpu import inner_distance, open_labels

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
SIZES = (40, 4, 4)
SILENT = [store for store in STORES if store.voxel_size is None]


def labels(folder, **more):
    return ome(folder / "l.zarr", **({"values": LABELS} | more))


def hdf5_file(folder):
    import h5py

    with h5py.File(folder / "l.h5", "w") as file:
        file["labels"] = LABELS
    return folder / "l.h5"


def tiff_file(folder):
    tifffile.imwrite(folder / "l.tif", LABELS)
    return folder / "l.tif"


@pytest.mark.parametrize("command", ["run", "verify", "bench", "volume"])
def test_a_line_says_what_the_file_states(call, tmp_path, command):
    where = labels(tmp_path)
    out = [tmp_path / "t.zarr"] if command in ("run", "volume") else []
    more = ["--quick"] if command == "bench" else []
    code, said, error = call(command, where, *out, "--scale", "50", "--voxel-size", "30,4,4", *more)
    assert code == 0, error
    line = f"{where}: voxel size (30, 4, 4) nm as given; its OME-Zarr metadata state (40, 4, 4) nm"
    assert error.replace("\n", " ").count(line) == 1
    code, said, error = call(command, where, *out, "--scale", "50", *more, *(["--overwrite"] if out else []))
    assert code == 0, error
    assert "metadata state" not in error + said


def test_the_given_voxel_size_counts_in_the_units_of_the_file_or_of_the_option(call, tmp_path):
    where, out = labels(tmp_path), tmp_path / "t.npy"
    for options, scale in (
        (["--voxel-size", "30,4,4"], 50),
        (["--voxel-size", "0.03,0.004,0.004", "--unit", "um"], 0.05),
    ):
        assert call("run", where, out, "--scale", scale, *options, "--overwrite")[0] == 0
        np.testing.assert_allclose(np.load(out), inner_distance(LABELS, (30, 4, 4), scale=50), rtol=1e-6)


@pytest.mark.parametrize("command", ["run", "volume"])
def test_a_unit_converts_what_the_file_states(call, tmp_path, command):
    where = labels(tmp_path)
    code, _, error = call(command, where, tmp_path / "t.zarr", "--scale", "0.05", "--unit", "micron")
    assert code == 0, error
    said = error.replace("\n", " ")
    assert "state the voxel size (40, 4, 4) nm; it is (0.04, 0.004, 0.004) µm here, and the scale is in µm" in said
    written = open_labels(tmp_path / "t.zarr")
    assert (written.voxel_size, written.unit, written.translation) == ((0.04, 0.004, 0.004), "µm", (0.4, 0.08, 0.08))
    code, _, error = call(command, where, tmp_path / "u.zarr", "--scale", "0.05", "--unit", "furlong")
    assert code == 2
    assert "--unit furlong: expected a length, one of pm, Å, nm" in error.replace("\n", " ")


def test_a_unit_labels_what_has_none(call, tmp_path):
    where = zarr_array(tmp_path / "l.zarr", values=LABELS, chunks=LABELS.shape, attributes={"resolution": SIZES})
    assert call("run", where, tmp_path / "t.zarr", "--scale", "50", "--unit", "nanometers")[0] == 0
    assert open_labels(tmp_path / "t.zarr").unit == "nm"


@pytest.mark.parametrize("store", SILENT, ids=lambda store: store.name)
def test_without_either_the_error_names_file_attributes_and_option(call, tmp_path, store):
    where = store.write(tmp_path)
    key = [] if store.key is None else ["--key", store.key]
    code, _, error = call("run", where, tmp_path / "t.npy", "--scale", "50", *key)
    assert code == 2
    said = error.replace("\n", " ")
    assert f"{where}: states no voxel size (looked for " in said
    assert "give --voxel-size 40,4,4" in said
    looked_for = said.split("looked for ")[1]
    expected = {"zarr": "OME-Zarr multiscales, the attributes voxel_size, resolution", "slices": "slices state no"}
    expected["hdf5-itk"] = "the attributes resolution, voxel_size and element_size_um"
    assert expected.get(store.name.rstrip("2"), "nothing: a file of this kind states none") in looked_for


@pytest.mark.parametrize(
    ("write", "looked_for"),
    [
        (lambda f: zarr_array(f / "l.zarr", values=LABELS, chunks=LABELS.shape), "OME-Zarr multiscales"),
        (hdf5_file, "the attributes resolution, voxel_size and element_size_um"),
        (tiff_file, "ImageJ's spacing, resolution and unit, and OME's PhysicalSize of every axis"),
    ],
)
def test_formats_that_might_have_said_it(tmp_path, write, looked_for):
    with pytest.raises(ValueError, match="states no voxel size") as raised:
        open_labels(write(tmp_path)).require_voxel_size()
    assert looked_for in str(raised.value)


@pytest.mark.parametrize("command", ["run", "verify", "bench", "volume"])
@pytest.mark.parametrize(
    ("axes", "options", "sizes"),
    [
        ("zcyx", ["--select", "c=1"], (40, 4, 4)),
        ("czyx", ["--select", "c=1"], (40, 4, 4)),
        ("czyx", ["--level", "1", "--select", "c=1"], (80, 8, 8)),
        ("zyx", ["--level", "1"], (80, 8, 8)),
    ],
)
def test_level_and_select(call, tmp_path, command, axes, options, sizes):
    expected = np.random.default_rng(0).integers(0, 3, (6, 20, 24), np.uint8)
    values = np.stack([expected * 0, expected], axis=axes.index("c")) if "c" in axes else expected
    where = labels(tmp_path, axes=axes, scale=[SIZES["zyx".index(n)] if n != "c" else 1 for n in axes],
                   translation=[0] * len(axes), values=values)  # fmt: skip
    expected = expected[::2, ::2, ::2] if "--level" in options else expected
    out = [tmp_path / "t.zarr"] if command in ("run", "volume") else []
    more = ["--quick"] if command == "bench" else []
    code, said, error = call(command, where, *out, "--scale", "50", *options, *more)
    assert code == 0, error
    if out:
        written = open_labels(tmp_path / "t.zarr")
        assert (written.voxel_size, written.axes) == (sizes, ("z", "y", "x"))
        target = inner_distance(np.ascontiguousarray(expected), sizes, scale=50)
        np.testing.assert_array_equal(written.read((0,) * 3, written.shape), target)
    else:
        assert f"uint8 {expected.shape}" in said
    code, _, error = call(command, where, *out, "--scale", "50", "--level", "2", *more)
    assert code == 2
    assert "level 2: expected 0 to 1, the levels are ['s0', 's1']" in error.replace("\n", " ")


def test_an_output_of_another_selection_is_not_resumed(call, tmp_path):
    where = labels(tmp_path, axes="czyx", scale=(1, 40, 4, 4), translation=(0,) * 4, values=np.stack([LABELS, LABELS]))
    command = ("volume", where, tmp_path / "t.zarr", "--scale", "50", "--select")
    assert call(*command, "c=0")[0] == 0
    assert "complete already" in call(*command, "c=0")[1]
    code, _, error = call(*command, "c=1")
    assert code == 2
    assert "select: {'c': 0} there, {'c': 1} asked" in error


@pytest.mark.parametrize("command", ["run", "verify", "bench", "volume"])
def test_axes_that_are_not_spatial_are_refused_by_their_letters(call, tmp_path, command):
    out = [tmp_path / "t.zarr"] if command in ("run", "volume") else []
    tifffile.imwrite(tmp_path / "l.tif", LABELS, imagej=True)
    code, _, error = call(command, tmp_path / "l.tif", *out, "--scale", "50", "--voxel-size", "40,4,4")
    assert code == 2
    assert "has 3 numbers, and its axes are (c, y, x)" in error.replace("\n", " ")
