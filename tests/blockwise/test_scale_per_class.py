"""Has each class, computed block by block, the target of a single call with its own scale, and is that list kept?"""

import dask.array as da
import numpy as np
import pytest
from zarr_stores import attributes, create, values

from inner_distance_gpu import blockwise, inner_distance, open_labels

VOXEL = (8.0, 4.0, 4.5)
CLASSES = {"large": (1, 3), "small": 2, "absent": 77, "too": 88}
SCALES = [9.0, 2.0, 30.0, 12.0]  # the last two show what no site means: they reach half the extent of the volume
LABELS = np.kron(np.random.default_rng(0).integers(0, 4, (3, 4, 4)), np.ones((3, 7, 6), int)).astype(np.uint16)
LABELS[:, 20:] = 9
KEYWORDS = {"classes": CLASSES, "background": "signed", "ignore_label": 9, "fill": -0.5}


def single_calls(labels=LABELS, scales=SCALES, **keywords):
    """A call for each class alone."""
    keywords = KEYWORDS | keywords
    own = keywords.pop("classes").values()
    called = [
        inner_distance(labels, VOXEL, scale=scale, classes=[ids], **keywords)
        for ids, scale in zip(own, scales, strict=True)
    ]
    return np.concatenate(called, axis=-4)


@pytest.mark.parametrize("no_boundary", ["extent", "saturate"])
@pytest.mark.parametrize("chunks", [(4, 10, 9), (9, 28, 24)])
def test_lazy_arrays(chunks, no_boundary):
    array = da.from_array(LABELS, chunks=chunks)
    lazy = blockwise.inner_distance(array, VOXEL, scale=SCALES, no_boundary=no_boundary, **KEYWORDS)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), single_calls(no_boundary=no_boundary))
    other = blockwise.inner_distance(array, VOXEL, scale=SCALES[::-1], no_boundary=no_boundary, **KEYWORDS)
    assert other.name != lazy.name
    batch = np.stack([LABELS, LABELS[::-1]])
    lazy = blockwise.inner_distance(da.from_array(batch, chunks=(1, *chunks)), VOXEL, scale=SCALES, **KEYWORDS)
    np.testing.assert_array_equal(lazy.compute(scheduler="sync"), single_calls(batch))


def test_written_volumes(tmp_path):
    source, target = create(tmp_path / "labels.zarr", LABELS), tmp_path / "target.zarr"
    small = {"chunks": (4, 8, 8), "blocks": (4, 8, 16)}
    plan = blockwise.plan(source, target, VOXEL, scale=SCALES, **KEYWORDS, **small)
    assert plan.halo == (34, 68, 61), "of the largest scale"
    assert blockwise.plan(source, target, VOXEL, scale=[9, 2, 3, 1], **KEYWORDS).halo == (11, 21, 19)
    written = blockwise.write(source, target, VOXEL, scale=SCALES, **KEYWORDS, **small)
    assert written.computed == written.plan.blocks > 1
    np.testing.assert_array_equal(values(target / "0"), single_calls())
    assert attributes(target / "0")["scale"] == SCALES
    assert "scales" not in attributes(target / "0")
    assert open_labels(target / "0").voxel_size[-3:] == VOXEL, "no reader takes the list for a voxel size"
    assert blockwise.write(source, target, VOXEL, scale=tuple(SCALES), **KEYWORDS, **small).computed == 0
    for other in (30, 9, [2.0, 9.0, 30.0, 12.0]):
        with pytest.raises(ValueError, match=r"other parameters is there\n  scale: \[9\.0, 2\.0, 30\.0, 12\.0\] there"):
            blockwise.write(source, target, VOXEL, scale=other, **KEYWORDS, **small)


def test_a_list_of_equal_scales_is_one_scale(tmp_path):
    """An output with one scale is complete for it, and the other way round."""
    source, target = create(tmp_path / "labels.zarr", LABELS), tmp_path / "target.zarr"
    blockwise.write(source, target, VOXEL, scale=5, **KEYWORDS)
    assert attributes(target / "0")["scale"] == 5.0
    assert blockwise.write(source, target, VOXEL, scale=[5, 5.0, 5, 5], **KEYWORDS).computed == 0


def test_a_scale_per_id(tmp_path):
    source, target = create(tmp_path / "labels.zarr", LABELS), tmp_path / "target.zarr"
    blockwise.write(source, target, VOXEL, scale=[9, 2], ids=[1, 2])
    alone = [inner_distance(LABELS, VOXEL, scale=scale, classes=[i])[0] for i, scale in ((1, 9), (2, 2))]
    np.testing.assert_array_equal(values(target / "0"), alone)


@pytest.mark.parametrize(
    ("keywords", "error", "said"),
    [
        ({"scale": [9, 2]}, ValueError, r"scale=\[9, 2\] has 2 numbers: expected 4 numbers"),
        ({"scale": [9] * 5}, ValueError, "has 5 numbers: expected 4 numbers"),
        ({"scale": []}, ValueError, "has 0 numbers: expected 4"),
        ({"scale": [9, 2], "classes": None}, ValueError, "has 2 numbers: expected one number, or classes"),
        ({"scale": [9, 2, None]}, TypeError, "none of them None"),
        ({"scale": [9, 2, 0, 1]}, ValueError, "scale=0: expected a positive"),
        ({"scale": None}, ValueError, "scale=None"),
    ],
)
def test_lists_that_do_not_fit(tmp_path, keywords, error, said):
    source = create(tmp_path / "labels.zarr", LABELS)
    with pytest.raises(error, match=said):
        blockwise.write(source, tmp_path / "target.zarr", VOXEL, **KEYWORDS | keywords)
    assert not (tmp_path / "target.zarr").exists()
    with pytest.raises(error, match=said):
        blockwise.inner_distance(da.from_array(LABELS), VOXEL, **KEYWORDS | keywords)


def test_ids_and_their_scales(tmp_path):
    source = create(tmp_path / "labels.zarr", LABELS)
    with pytest.raises(ValueError, match="has 3 numbers: expected 2 numbers"):
        blockwise.write(source, tmp_path / "target.zarr", VOXEL, scale=[9, 2, 3], ids=[1, 2])
