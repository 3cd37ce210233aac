"""Does a region in world units name the right voxels, with fractions and where fractions were cut off?"""

import math

import numpy as np
import pytest
import torch
from funlib.geometry import Roi
from hypothesis import given
from hypothesis import strategies as st

from inner_distance_gpu import InnerDistancePredictor
from inner_distance_gpu.predictors.spatial import Region, SpatialArray

DATA = np.arange(2 * 6 * 7 * 8).reshape(2, 6, 7, 8)


def test_the_region_of_data_at_the_origin():
    whole = SpatialArray(DATA, (8, 4, 4))
    assert whole.roi == Roi((0, 0, 0), (48, 28, 32))
    fractions = SpatialArray(DATA, (8, 4.5, 4))
    assert fractions.roi == Region((0, 0, 0), (48, 31.5, 32))
    assert fractions.roi.end == (48, 31.5, 32)
    assert fractions.roi.dims == 3
    for array in (whole, fractions):
        assert array.axis_names == ["c^", "z", "y", "x"]
        np.testing.assert_array_equal(array[array.roi], DATA)
    assert SpatialArray(DATA[0, 0], (4, 4)).axis_names == ["y", "x"]
    assert SpatialArray(DATA[None], (4, 4, 4)).axis_names == ["b^", "c^", "z", "y", "x"]


def test_a_part_of_an_array_that_lies_elsewhere():
    array = SpatialArray(DATA, (8, 4, 4), Roi((80, -40, 4), (48, 28, 32)))
    np.testing.assert_array_equal(array[Roi((96, -36, 4), (16, 8, 32))], DATA[:, 2:4, 1:3])
    fractions = SpatialArray(DATA, (8, 4.5, 0.25), Region((80, 9.25, -1), (48, 31.5, 2)))
    np.testing.assert_array_equal(
        fractions[Region((80, 13.75, -0.5), (8, 27, 0.75))], DATA[:, :1, 1:7, 2:5], err_msg="0.25 is a voxel, not 0"
    )


def test_other_keys_are_those_of_the_data():
    np.testing.assert_array_equal(SpatialArray(DATA, (8, 4, 4))[:, 2], DATA[:, 2])
    assert torch.equal(SpatialArray(torch.from_numpy(DATA), (8, 4, 4))[...], torch.from_numpy(DATA))


@given(
    size=st.floats(1, 60).filter(lambda size: size != round(size)),
    n=st.integers(1, 400),
    first=st.integers(0, 400),
    last=st.integers(0, 400),
)
def test_a_roi_that_lost_its_fractions(size, n, first, last):
    first, last = sorted((min(first, n), min(last, n)))
    data = np.arange(2 * n).reshape(2, n)
    array = SpatialArray(data, (8, size), Roi((0, 0), (16, math.floor(n * size))))
    cut = Roi((0, math.floor(first * size)), (16, math.floor((last - first) * size)))
    np.testing.assert_array_equal(array[cut], data[:, first:last])
    exact = Region((0, first * size), (16, (last - first) * size))
    np.testing.assert_array_equal(SpatialArray(data, (8, size))[exact], data[:, first:last])


@pytest.mark.parametrize(
    "roi",
    [
        Roi((0, 0, 0), (48, 28, 36)),
        Roi((-8, 0, 0), (8, 4, 4)),
        Roi((0, 0, 2), (8, 4, 4)),
        Roi((0, 0, 0), (8, 4, 5)),
        Roi((48, 0, 0), (8, 4, 4)),
        Roi((0, 0), (4, 4)),
        Region((0, 0, 0.5), (8, 4, 4)),
    ],
)
def test_regions_outside_or_off_the_grid(roi):
    with pytest.raises(ValueError, match="roi"):
        SpatialArray(DATA, (8, 4, 4))[roi]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DATA[None, None], (8, 4, 4)), "after at most 2 others"),
        ((DATA[0, 0], (8, 4, 4)), "3 spatial axes"),
        ((DATA, (8, 4, -4)), "voxel_size"),
        ((DATA, (8, 4, 4), Roi((0, 0, 0), (48, 28, 28))), r"expected shape \(48.0, 28.0, 32.0\)"),
        ((DATA, (8, 4.5, 4), Roi((0, 0, 0), (48, 30, 32))), "expected shape"),
        ((DATA, (8, 4, 4), Roi((0, 0), (28, 32))), "expected shape"),
        ((DATA, (8, 4, 4), None, ["z", "y", "x"]), "one name per axis"),
    ],
)
def test_arrays_that_do_not_fit_their_region(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpatialArray(*arguments)


def test_a_region_has_as_many_offsets_as_extents():
    with pytest.raises(ValueError, match="as many numbers"):
        Region((0, 0), (1, 1, 1))


@pytest.mark.parametrize("names", [["z", "y", "x", "c^"], ["c^", "z", "y", "c"], ["z", "y", "x", "b^"]])
def test_channels_that_are_last_are_refused(names):
    """Names say which axis is which, and a short last axis would be taken for x."""
    gt = SpatialArray(np.zeros((4, 5, 6, 2), np.uint8), (4, 4, 4), axis_names=names)
    for create in (InnerDistancePredictor(["a", "b"], 10).create_target, lambda gt: weighed(gt)):
        with pytest.raises(ValueError, match=r"expected the 3 spatial axes last; .*numpy\.moveaxis\(labels, -1, -4\)"):
            create(gt)


def weighed(gt):
    return InnerDistancePredictor(["a", "b"], 10).create_weight(gt, gt, None)
