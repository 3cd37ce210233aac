"""Do the OME-Zarr metadata of a target put every voxel where its labels lie?"""

import numpy as np
import pytest
from zarr_stores import FORMATS, ZARR_2, create, zarr

from inner_distance_gpu import blockwise, open_labels
from inner_distance_gpu.storage import ome, zarr_arrays

LABELS = np.zeros((4, 8, 8), np.uint8)
LABELS[1:3, 2:6, 2:6] = 1


def image(path, version, axes, data, steps, shared=()):
    """An OME-Zarr image of one resolution."""
    group = zarr.open_group(str(path), mode="w", **({} if ZARR_2 else {"zarr_format": version}))
    multiscale = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}]}
    if shared:
        multiscale["coordinateTransformations"] = list(shared)
    described = {"multiscales": [multiscale]}
    group.attrs.update(described if version == 2 else {"ome": described | {"version": "0.5"}})
    create(path / "s0", data, version)
    return path


def spatial(names, unit="micrometer"):
    return [{"name": name, "type": "space", "unit": unit} for name in names]


def step(kind, *numbers):
    return {"type": kind, kind: list(numbers)}


def multiscale(path, version):
    attributes = dict(zarr.open_group(str(path), mode="r").attrs)
    if version == 3:
        assert attributes["ome"]["version"] == "0.5"
        return attributes["ome"]["multiscales"][0]
    assert attributes["multiscales"][0]["version"] == "0.4"
    return attributes["multiscales"][0]


@pytest.mark.parametrize("version", FORMATS)
def test_scale_unit_and_place_are_those_of_the_labels(tmp_path, version):
    steps = [step("scale", 2, 0.5, 0.25), step("translation", 10, 20, 30)]
    shared = [step("scale", 10, 10, 10), step("translation", 1, 2, 3)]
    source = image(tmp_path / "labels.zarr", version, spatial("zyx"), LABELS, steps, shared)
    written = blockwise.write(source, tmp_path / "t.zarr", scale=4)
    assert written.plan.format == version
    found = multiscale(tmp_path / "t.zarr", version)
    assert found["axes"] == spatial("zyx")
    assert found["name"] == "t"
    (dataset,) = found["datasets"]
    assert dataset["path"] == "0"
    assert dataset["coordinateTransformations"] == [step("scale", 20, 5, 2.5), step("translation", 101, 202, 303)]
    assert open_labels(tmp_path / "t.zarr").voxel_size == (20, 5, 2.5)
    assert open_labels(tmp_path / "t.zarr").unit == "µm"
    if version == 3:
        assert zarr.open_array(str(tmp_path / "t.zarr" / "0"), mode="r").metadata.dimension_names == ("z", "y", "x")
    # The same voxel of labels and target lies at the same place, and what is written can be placed again.
    there, here = (ome.placement(zarr_arrays.locate(path).path, 3) for path in (source, tmp_path / "t.zarr"))
    assert there == here


@pytest.mark.parametrize("version", FORMATS)
def test_labels_without_metadata(tmp_path, version):
    source = create(tmp_path / "labels.zarr", LABELS, version)
    blockwise.write(source, tmp_path / "t.zarr", (40, 4, 4.5), scale=4, unit="nm")
    found = multiscale(tmp_path / "t.zarr", version)
    assert found["axes"] == spatial("zyx", "nanometer")
    assert found["datasets"][0]["coordinateTransformations"] == [step("scale", 40, 4, 4.5)]
    blockwise.write(source, tmp_path / "u.zarr", (40, 4, 4.5), scale=4)
    assert multiscale(tmp_path / "u.zarr", version)["axes"] == [{"name": n, "type": "space"} for n in "zyx"]


def test_another_voxel_size_says_that_the_metadata_are_wrong(tmp_path):
    steps = [step("scale", 2, 2, 2), step("translation", 10, 20, 30)]
    source = image(tmp_path / "labels.zarr", 2, spatial("zyx"), LABELS, steps)
    blockwise.write(source, tmp_path / "t.zarr", (4, 4, 4), scale=4)
    assert multiscale(tmp_path / "t.zarr", 2)["datasets"][0]["coordinateTransformations"] == [step("scale", 4, 4, 4)]


def test_leading_axes_and_ids(tmp_path):
    axes = [{"name": "t", "type": "time", "unit": "second"}, *spatial("yx")]
    steps = [step("scale", 3, 2, 2), step("translation", 5, 10, 20)]
    source = image(tmp_path / "labels.zarr", 2, axes, LABELS, steps)
    blockwise.write(source, tmp_path / "t.zarr", scale=4)
    found = multiscale(tmp_path / "t.zarr", 2)
    assert (found["axes"], found["datasets"][0]["coordinateTransformations"]) == (axes, steps)
    # OME-Zarr has time in front of channels; a target has its classes in front of all, and readers go by names.
    blockwise.write(source, tmp_path / "u.zarr", scale=4, ids=[1])
    found = multiscale(tmp_path / "u.zarr", 2)
    assert found["axes"] == [{"name": "c", "type": "channel"}, *axes]
    steps = [step("scale", 1, 3, 2, 2), step("translation", 0, 5, 10, 20)]
    assert found["datasets"][0]["coordinateTransformations"] == steps
    source = image(tmp_path / "plain.zarr", 2, spatial("zyx"), LABELS, [step("scale", 2, 2, 2)])
    blockwise.write(source, tmp_path / "v.zarr", scale=4, ids=[1])
    found = multiscale(tmp_path / "v.zarr", 2)
    assert found["axes"] == [{"name": "c", "type": "channel"}, *spatial("zyx")]
    assert found["datasets"][0]["coordinateTransformations"] == [step("scale", 1, 2, 2, 2)]
