"""Are broken metadata of the labels one error that names their file?"""

import json

import pytest
from volumes import VOLUMES
from zarr_stores import ZARR_2, create, zarr

LABELS = VOLUMES["instances"]


@pytest.fixture
def source(tmp_path):
    return create(tmp_path / "labels.zarr", LABELS)


def changed(file, change):
    """Harm to a store: a file of JSON with other contents."""

    def harm(store):
        stored = json.loads((store / file).read_text()) if (store / file).exists() else {}
        (store / file).write_text(json.dumps(stored | change if isinstance(change, dict) else change))

    return harm


def described(**changes):
    """An OME-Zarr multiscale with something else in it."""
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1]}]}
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    return {"multiscales": [{"axes": axes, "datasets": [dataset | changes.pop("dataset", {})]} | changes]}


@pytest.mark.parametrize(
    "change",
    [
        *([], "x", {"chunks": [0, 1, 1]}, {"chunks": [4]}, {"chunks": "ab"}, {"shape": [-1, 8, 8]}, {"shape": 8}),
        *({"dtype": "<q9"}, {"dtype": None}, {"compressor": {"id": "nope"}}, {"compressor": "x"}, {"order": "X"}),
        *({"fill_value": "abc"}, {"fill_value": -1}, {"filters": [{"id": "nope"}]}, {"zarr_format": 7}),
    ],
    ids=str,
)
def test_broken_metadata_of_the_labels_name_their_file(call, tmp_path, source, change):
    changed(".zarray", change)(source)
    code, _, error = call("volume", source, tmp_path / "target.zarr", "--voxel-size", "1,1,1", "--scale", "1")
    assert code == 2
    assert f"{source / '.zarray'}: Zarr metadata cannot be read (" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "target.zarr").exists()


@pytest.mark.parametrize(
    "change",
    [
        *([], "x", {"multiscales": "x"}, {"multiscales": ["x"]}),
        described(datasets=["0"]),
        *(described(dataset={"coordinateTransformations": [step]}) for step in ("x", {"type": "scale", "scale": 3})),
        described(coordinateTransformations=[{"type": "translation", "translation": ["a", 1, 1]}]),
        described(axes=[{"name": name, "type": "space", "unit": 3} for name in "zyx"]),
    ],
    ids=str,
)
def test_broken_metadata_of_an_image_name_their_file(call, tmp_path, change):
    zarr.open_group(str(tmp_path / "image.zarr"), mode="w", **({} if ZARR_2 else {"zarr_format": 2}))
    create(tmp_path / "image.zarr" / "0", LABELS)
    changed(".zattrs", change)(tmp_path / "image.zarr")
    code, _, error = call("volume", tmp_path / "image.zarr", tmp_path / "target.zarr", "--scale", "1")
    assert code == 2
    assert f"{tmp_path / 'image.zarr' / '.zattrs'}: Zarr metadata cannot be read (" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (described(axes=None), ""),
        (described(datasets=None), "states no voxel size"),
        (described(dataset={"coordinateTransformations": None}), "states no voxel size"),
    ],
    ids=["axes", "datasets", "coordinateTransformations"],
)
def test_null_is_as_if_it_were_not_there(call, tmp_path, change, said):
    zarr.open_group(str(tmp_path / "image.zarr"), mode="w", **({} if ZARR_2 else {"zarr_format": 2}))
    create(tmp_path / "image.zarr" / "0", LABELS)
    changed(".zattrs", change)(tmp_path / "image.zarr")
    code, _, error = call("volume", tmp_path / "image.zarr", tmp_path / "t.zarr", "--scale", "1", "--dry-run")
    assert (code, said in error) == (2 if said else 0, True), error
