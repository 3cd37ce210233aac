"""Do the parts of an OME-Zarr keep their meaning when a target is written into it?"""

import numpy as np
import pytest
from zarr_stores import FORMATS, create, digests, zarr

from inner_distance_gpu import blockwise

LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
OPTIONS = ["--voxel-size", "30,4,4.5", "--scale", "5"]


def group(path, described, version):
    chosen = {"zarr_format": version} if version == 3 else {}
    made = zarr.open_group(str(path), mode="w", **chosen)
    made.attrs.update({"ome": described | {"version": "0.5"}} if version == 3 else described)


@pytest.fixture(params=FORMATS)
def image(request, tmp_path):
    """An OME-Zarr with the level 0; its metadata name a level 1 and the labels of cells."""
    datasets = [
        {"path": name, "coordinateTransformations": [{"type": "scale", "scale": [30, 4, 4]}]} for name in ("0", "1")
    ]
    axes = [{"name": name, "type": "space"} for name in "zyx"]
    group(tmp_path / "image.zarr", {"multiscales": [{"axes": axes, "datasets": datasets}]}, request.param)
    create(tmp_path / "image.zarr" / "0", LABELS, request.param)
    return tmp_path / "image.zarr"


@pytest.mark.parametrize("name", ["0", "1", "labels"])
@pytest.mark.parametrize("command", ["run", "volume"])
def test_a_part_that_the_metadata_name_is_no_place_for_a_target(call, tmp_path, image, command, name):
    create(tmp_path / "l.zarr", LABELS)
    before = digests(tmp_path)
    code, _, error = call(command, tmp_path / "l.zarr", image / name, *OPTIONS, "--overwrite")
    assert code == 2
    assert f"{image / name}: is a part of the OME-Zarr {image}" in error
    assert digests(tmp_path) == before


@pytest.mark.parametrize("command", ["run", "volume"])
def test_other_names_are_free(call, tmp_path, image, command):
    before = digests(image)
    for more in ([], ["--overwrite"]):
        code, _, error = call(command, image, image / "target", *OPTIONS, *more)
        assert code == 0, error
    after = digests(image)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("described", "part"),
    [
        ({"plate": {"wells": [{"path": "A/1"}]}}, "A/1"),
        ({"well": {"images": [{"path": "0"}]}}, "0"),
        ({"labels": ["cells"]}, "cells"),
        ({"series": ["0"]}, "0"),
    ],
)
@pytest.mark.parametrize("version", FORMATS)
def test_plates_wells_labels_and_series(call, tmp_path, described, part, version):
    group(tmp_path / "o.zarr", described, version)
    (tmp_path / "o.zarr" / part).parent.mkdir(exist_ok=True)
    if "/" in part:
        group(tmp_path / "o.zarr" / "A", {}, version)
    np.save(tmp_path / "l.npy", LABELS)
    code, _, error = call("run", tmp_path / "l.npy", tmp_path / "o.zarr" / part, *OPTIONS)
    assert code == 2
    assert "is a part of the OME-Zarr" in error


@pytest.mark.parametrize("address", ["s3://bucket/l.zarr", "https://example.org/l.zarr"])
def test_addresses_keep_their_spelling_in_python(tmp_path, address):
    create(tmp_path / "l.zarr", LABELS)
    for source, destination in ((address, tmp_path / "t.zarr"), (tmp_path / "l.zarr", address)):
        with pytest.raises(ValueError, match=f"^{address}: "):
            blockwise.plan(source, destination, (1, 1, 1), scale=5)
