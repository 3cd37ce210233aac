"""Are classes computed block by block those of the whole volume, lazily and on disk, and what is said of them there?"""

import json

import dask.array as da
import numpy as np
import pytest
from volumes import SCALE, VOXEL
from zarr_stores import FORMATS, attributes, create, values

from inner_distance_gpu import blockwise, engines, inner_distance

ENGINES = [name for name in ("cpu", "reference") if engines.available()[name] is None]
CLASSES = {"mito": (1, 3), "nucleus": 2, "absent": 77, "outside": 0}


def labels_of(*leading):
    generator = np.random.default_rng(len(leading))
    labels = np.kron(generator.integers(0, 5, (*leading, 3, 5, 4)), np.ones((3, 8, 9), int)).astype(np.uint32)
    labels = labels[..., :7, :, :33]
    labels[..., 30:, :] = 9
    return labels


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("leading", [(), (2,)])
def test_blocks_equal_the_whole(engine, leading):
    labels = labels_of(*leading)
    generator = np.random.default_rng(7)
    for case in range(6):
        keywords = {
            "scale": (SCALE, 8 * SCALE)[case // 2 % 2],  # the larger shows what no site means
            "background": ("zero", "signed", "times_label")[case % 3],
            "no_boundary": ("extent", "saturate")[case % 2],
            "ignore_label": 9,
            "fill": -2.0,
            "engine": engine,
            "classes": CLASSES,
        }
        chunks = tuple(int(generator.integers(-(-n // 6), n + 1)) for n in labels.shape)
        lazy = blockwise.inner_distance(da.from_array(labels, chunks=chunks), VOXEL, **keywords)
        front = len(leading)
        spans = da.empty(labels.shape, chunks=chunks).chunks
        assert lazy.chunks == (*spans[:front], (4,), *spans[front:])
        expected = inner_distance(labels, VOXEL, **keywords)
        np.testing.assert_array_equal(lazy.compute(scheduler="sync"), expected, err_msg=f"chunks {chunks}")
        np.testing.assert_array_equal(lazy[..., 2, 1:, 4:9, :].compute(scheduler="sync"), expected[..., 2, 1:, 4:9, :])


def test_other_classes_are_another_array():
    array = da.from_array(labels_of(), chunks=(7, 20, 33))
    names = {blockwise.inner_distance(array, VOXEL, scale=5, classes=c).name for c in (None, [1], [2], [(1, 2)])}
    assert len(names) == 4


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("leading", [(), (2,)])
def test_written_volumes(tmp_path, version, leading):
    labels = labels_of(*leading)
    source = create(tmp_path / "labels.zarr", labels, version)
    keywords = {"scale": 12, "ignore_label": 9, "fill": -0.5, "background": "signed", "classes": CLASSES}
    target, small = tmp_path / "target.zarr", {"chunks": (4, 8, 16), "blocks": (4, 16, 16)}
    written = blockwise.write(source, target, VOXEL, **keywords, **small)
    np.testing.assert_array_equal(values(target / "0"), inner_distance(labels, VOXEL, **keywords))
    stated = attributes(target / "0")
    assert stated["classes"] == [
        {"name": "mito", "ids": [1, 3]},
        {"name": "nucleus", "ids": [2]},
        {"name": "absent", "ids": [77]},
        {"name": "outside", "ids": [0]},
    ]
    group = json.loads((target / (".zattrs" if version == 2 else "zarr.json")).read_text())
    scales = (group if version == 2 else group["attributes"]["ome"])["multiscales"][0]
    axes = [axis["name"] for axis in scales["axes"]] if not leading else None
    if axes is not None:
        assert axes == ["c", "z", "y", "x"]
    inside = [np.isin(labels, ids).sum() for ids in CLASSES.values()]
    assert [count[1] for count in written.class_voxels] == inside
    assert [sum(count) for count in written.class_voxels] == [(labels != 9).sum()] * 4
    again = blockwise.write(source, target, VOXEL, **keywords, **small)
    assert again.computed == 0


def test_other_classes_are_other_parameters(tmp_path):
    source = create(tmp_path / "labels.zarr", labels_of())
    target = tmp_path / "target.zarr"
    blockwise.write(source, target, VOXEL, scale=5, classes={"a": 1, "b": 2})
    for other in (None, {"b": 2, "a": 1}, {"a": 1, "c": 2}, [1, 2]):
        with pytest.raises(ValueError, match="finished output with other parameters is there\n  classes: "):
            blockwise.write(source, target, VOXEL, scale=5, classes=other)


@pytest.mark.parametrize(
    ("keywords", "said"),
    [
        ({"ids": [1, 2]}, r"ids=\[1, 2\] with classes=: expected one of them"),
        ({"binary": True}, "binary=True with classes=: expected one of them"),
        ({"classes": [-1]}, "classes= holds -1, which labels of uint32 cannot hold"),
        ({"ignore_label": 1}, r"class 0 \(1\) of classes= holds ignore_label=1"),
    ],
)
def test_bad_input(tmp_path, keywords, said):
    source = create(tmp_path / "labels.zarr", labels_of())
    with pytest.raises(ValueError, match=said):
        blockwise.write(source, tmp_path / "target.zarr", VOXEL, **{"scale": 5, "classes": [1]} | keywords)
    assert not (tmp_path / "target.zarr").exists()
