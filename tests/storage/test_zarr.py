"""Does the command line read and write Zarr, take the voxel size from OME-Zarr, and never lose an array?"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from inner_distance_gpu import __version__, inner_distance, open_labels
from inner_distance_gpu.storage import zarr_arrays

zarr = pytest.importorskip("zarr", reason="zarr is not installed (extra 'volumes')")

ZARR_2 = int(zarr.__version__.split(".")[0]) < 3
FORMATS = [
    2,
    pytest.param(3, marks=pytest.mark.skipif(ZARR_2, reason="zarr-python 2 does not write format 3")),
]
SIZES = (30.5, 4.25, 4.25)
OPTIONS = ["--scale", "20"]
LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
LABELS[1:4, 12:17, 4:15] = 8


def create(path, data, version, **attributes):
    chosen = {} if ZARR_2 else {"zarr_format": version}
    chunks = tuple(-(-n // 2) for n in data.shape)
    array = zarr.open_array(str(path), mode="w", shape=data.shape, chunks=chunks, dtype=data.dtype, **chosen)
    array[...] = data
    array.attrs.update(attributes)


def whole(store, key=None):
    labels = open_labels(store, key)
    return labels.read((0,) * len(labels.shape), labels.shape)


def group(path, version, **attributes):
    made = zarr.open_group(str(path), mode="w", **({} if ZARR_2 else {"zarr_format": version}))
    made.attrs.update(attributes)


def axes(names, unit="nanometer"):
    kinds = {"t": "time", "c": "channel"}
    return [
        {"name": name, "type": kinds.get(name, "space")} | ({} if name in kinds else {"unit": unit}) for name in names
    ]


def scale(*factors):
    return [{"type": "scale", "scale": list(factors)}]


def ome(path, version, data=LABELS, multiscale=None):
    """An OME-Zarr group, 0.4 in format 2 and 0.5 in format 3, with two resolutions."""
    described = {
        "axes": axes("zyx"),
        "datasets": [
            {"path": "s0", "coordinateTransformations": scale(*SIZES)},
            {"path": "s1", "coordinateTransformations": scale(61, 8.5, 8.5)},
        ],
    } | (multiscale or {})
    metadata = {"multiscales": [described]}
    group(path, version, **(metadata if version == 2 else {"ome": metadata | {"version": "0.5"}}))
    create(path / "s0", data, version)
    create(path / "s1", data[..., ::2, ::2, ::2], version)
    return path


def files_below(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def expected(labels=LABELS, sizes=SIZES, **keywords):
    return inner_distance(labels, sizes, **{"scale": 20} | keywords)


def values(path):
    return zarr.open_array(str(path), mode="r")[...]


@pytest.mark.parametrize("version", FORMATS)
def test_labels_in_and_target_out(call, tmp_path, version):
    create(tmp_path / "labels.zarr", LABELS, version)
    code, out, error = call(
        "run", tmp_path / "labels.zarr", tmp_path / "target.zarr", *OPTIONS, "--voxel-size", "30.5,4.25,4.25"
    )
    assert code == 0, error
    assert "its attributes" in out
    target = zarr.open_array(str(tmp_path / "target.zarr" / "0"), mode="r")
    assert target.dtype == np.float32
    np.testing.assert_array_equal(target[...], expected())
    assert target.attrs["voxel_size"] == list(SIZES)
    assert target.attrs["version"] == __version__
    assert target.attrs["source"] == str(tmp_path / "labels.zarr")
    assert zarr_arrays.node(tmp_path / "target.zarr").format == version, "the format of the labels"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.zarr", "target.zarr"], "no sidecar, no rest"


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("place", ["", "s0"])
def test_the_voxel_size_of_ome_zarr(call, tmp_path, version, place):
    store = ome(tmp_path / "image.zarr", version)
    code, _, error = call("run", store / place, tmp_path / "t.npy", *OPTIONS)
    assert code == 0, error
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected())
    described = json.loads((tmp_path / "t.json").read_text())
    assert described["voxel_size"] == list(SIZES)
    assert described["unit"] == "nm"


def test_another_resolution_has_another_voxel_size(call, tmp_path):
    store = ome(tmp_path / "image.zarr", 2)
    assert call("run", store, tmp_path / "t.npy", *OPTIONS, "--key", "s1")[0] == 0
    small = np.ascontiguousarray(LABELS[::2, ::2, ::2])
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected(small, (61, 8.5, 8.5)))


def test_an_option_overrides_the_metadata(call, tmp_path):
    store = ome(tmp_path / "image.zarr", 2)
    assert call("run", store, tmp_path / "t.npy", *OPTIONS, "--voxel-size", "8,8,8", "--unit", "um")[0] == 0
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy"), expected(sizes=(8, 8, 8)))
    assert json.loads((tmp_path / "t.json").read_text())["unit"] == "µm"


@pytest.mark.parametrize("version", FORMATS)
def test_channels_and_the_scale_of_all_datasets(tmp_path, version):
    multiscale = {
        "axes": axes("tczyx", "micrometer"),
        "datasets": [
            {
                "path": "s0",
                "coordinateTransformations": [
                    *scale(1, 1, 2, 0.5, 0.25),
                    {"type": "translation", "translation": [9] * 5},
                ],
            }
        ],
        "coordinateTransformations": scale(0.1, 1, 10, 10, 10),
    }
    store = ome(tmp_path / "image.zarr", version, LABELS[None, None], multiscale)
    assert (open_labels(store).voxel_size, open_labels(store).unit) == ((20, 5, 2.5), "µm")
    assert open_labels(store).shape == (1, 1, *LABELS.shape)


@pytest.mark.parametrize(
    ("multiscale", "said"),
    [
        ({"axes": axes("zyxc")}, ["4 entries for a 3-dimensional array"]),
        ({"axes": [*axes("z", "furlong"), *axes("yx")]}, ["unit 'furlong'", "--voxel-size"]),
        ({"datasets": [{"path": "s0"}]}, ["states no voxel size", "--voxel-size"]),
    ],
)
def test_metadata_that_do_not_say(call, tmp_path, multiscale, said):
    if multiscale.get("axes") and len(multiscale["axes"]) == 4:
        multiscale["datasets"] = [{"path": "s0", "coordinateTransformations": scale(1, 1, 1, 1)}]
    store = ome(tmp_path / "image.zarr", 2, multiscale=multiscale)
    code, _, error = call("run", store, tmp_path / "t.npy", *OPTIONS)
    assert code == 2
    for words in said:
        assert words in re.sub(r"\s+", " ", error)


def test_files_have_no_voxel_size(call, tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    code, _, error = call("run", tmp_path / "labels.npy", tmp_path / "t.npy", *OPTIONS)
    assert code == 2
    assert "give --voxel-size" in error


@pytest.mark.parametrize("version", FORMATS)
def test_arrays_in_groups(call, tmp_path, version):
    store, voxel = tmp_path / "data.zarr", ["--voxel-size", "30.5,4.25,4.25"]
    group(store, version)
    group(store / "volumes", version)
    create(store / "volumes" / "ids", LABELS, version)
    np.testing.assert_array_equal(whole(store), LABELS, "the only array")
    create(store / "volumes" / "raw", LABELS * 0, version)
    with pytest.raises(ValueError, match=r"the arrays \['volumes/ids', 'volumes/raw'\]; name one with --key"):
        whole(store)
    with pytest.raises(FileNotFoundError, match=r"it holds \['volumes/ids', 'volumes/raw'\]"):
        whole(store, "ids")
    np.testing.assert_array_equal(whole(store, "volumes/ids"), LABELS)
    code, _, error = call("run", store / "volumes" / "ids", store / "volumes" / "target", *OPTIONS, *voxel)
    assert code == 0, error
    np.testing.assert_array_equal(values(store / "volumes" / "target" / "0"), expected())
    assert sorted(zarr.open_group(str(store / "volumes"), mode="r")) == ["ids", "raw", "target"]


def test_a_file_into_zarr_with_ids(call, tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    voxel = ["--voxel-size", "30.5,4.25,4.25", "--ids", "8,3"]
    assert call("run", tmp_path / "labels.npy", tmp_path / "t.zarr", *OPTIONS, *voxel)[0] == 0
    target = zarr.open_array(str(tmp_path / "t.zarr" / "0"), mode="r")
    assert target.chunks == (1, 6, 20, 24)
    np.testing.assert_array_equal(target[0], expected(LABELS == 8))
    assert target.attrs["ids"] == [8, 3]


@pytest.mark.parametrize("version", FORMATS)
def test_overwrite_replaces_an_array_and_nothing_else(call, tmp_path, version):
    store = ome(tmp_path / "image.zarr", version)
    create(tmp_path / "t.zarr", np.arange(4), version, old="yes")
    group(tmp_path / "others.zarr", version)
    before = files_below(tmp_path)
    for out, said, more in [
        (tmp_path / "t.zarr", "--overwrite replaces it", []),
        (store, "also an input", ["--overwrite"]),
        (tmp_path / "others.zarr", "is a group", ["--overwrite"]),
        (store / "s0", "also an input", ["--overwrite"]),
        (store / "s1" / "t", "is an array", []),
        (tmp_path / "nowhere" / "t.zarr", "does not exist", []),
        (tmp_path / "image.zarr" / "none" / "t", "does not exist", []),
    ]:
        code, _, error = call("run", store, out, *OPTIONS, *more)
        assert code == 2
        assert said in re.sub(r"\s+", " ", error)
        assert files_below(tmp_path) == before
    (tmp_path / "plain.zarr").mkdir()
    assert "is a folder or file" in call("run", store, tmp_path / "plain.zarr", *OPTIONS, "--overwrite")[2]
    (tmp_path / "plain.zarr").rmdir()
    assert call("run", store, tmp_path / "t.zarr", *OPTIONS, "--overwrite")[0] == 0
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), expected())
    assert call("run", store, tmp_path / "t.zarr", "--scale", "5", "--overwrite")[0] == 0, "an earlier target"
    np.testing.assert_array_equal(values(tmp_path / "t.zarr" / "0"), expected(scale=5))
    before = files_below(tmp_path)
    code, _, error = call("run", tmp_path / "t.zarr" / "0", tmp_path / "t.zarr", *OPTIONS, "--overwrite")
    assert code == 2
    assert "holds the input" in error or "also an input" in error
    create(tmp_path / "t.zarr" / "mine", LABELS, version)
    assert "is a group" in call("run", store, tmp_path / "t.zarr", *OPTIONS, "--overwrite")[2]
    assert before.items() <= files_below(tmp_path).items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["image.zarr", "others.zarr", "t.zarr"]


def test_a_failure_halfway_leaves_what_was_there(call, tmp_path, monkeypatch):
    store = ome(tmp_path / "image.zarr", 2)
    create(tmp_path / "t.zarr", np.arange(4), 2)
    before = files_below(tmp_path)

    def no_memory(*arguments, **keywords):
        raise MemoryError("no memory for 7 bytes")

    monkeypatch.setattr("inner_distance_gpu.cli.figures.save", no_memory)
    code, _, error = call("run", store, tmp_path / "t.zarr", *OPTIONS, "--overwrite", "--preview", tmp_path / "p.png")
    assert code == 2
    assert "no memory for 7 bytes" in error
    assert files_below(tmp_path) == before


def test_a_failure_at_the_very_end_leaves_what_was_there(call, tmp_path, monkeypatch):
    store = ome(tmp_path / "image.zarr", 2)
    create(tmp_path / "t.zarr", np.arange(4), 2)
    before = files_below(tmp_path)
    rename = Path.rename

    def no_rename_of_new_folders(path, target):
        if path.name == "new":
            raise OSError("no space for 7 bytes")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", no_rename_of_new_folders)
    code, _, error = call("run", store, tmp_path / "t.zarr", *OPTIONS, "--overwrite")
    assert code == 2
    assert "no space for 7 bytes" in error
    assert files_below(tmp_path) == before


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda store: (store / ".zarray").write_text("{"), ".zarray: Zarr metadata cannot be read"),
        (lambda store: (store / "0.0.0").write_bytes(b"x"), "0.0.0"),
        (lambda store: (store / ".zattrs").write_text("{"), "metadata cannot be read"),
        (lambda store: (store / ".zarray").unlink(), "no metadata of Zarr, N5 or precomputed"),
    ],
)
def test_broken_stores(call, tmp_path, harm, said):
    create(tmp_path / "labels.zarr", LABELS, 2, some="attribute")
    harm(tmp_path / "labels.zarr")
    code, _, error = call("run", tmp_path / "labels.zarr", tmp_path / "t.npy", *OPTIONS, "--voxel-size", "4,4,4")
    assert code == 2
    assert "Traceback" not in error
    assert said in re.sub(r"\s+", " ", error)


def test_the_missing_extra_is_named(tmp_path):
    create(tmp_path / "labels.zarr", LABELS, 2)
    code = (
        "import sys; sys.modules['worldarray'] = None; import inner_distance_gpu\n"
        f"try: inner_distance_gpu.open_labels({str(tmp_path / 'labels.zarr')!r})\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'inner_distance_gpu[volumes]'" in done.stdout
