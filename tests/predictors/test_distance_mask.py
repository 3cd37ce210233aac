"""Is the distance mask DaCapo's: in closed form or by a transform, whatever the values and channels of the mask?"""

import numpy as np
import pytest

from inner_distance_gpu import DistancePredictor, HotDistancePredictor, balanced_weights
from inner_distance_gpu.predictors.spatial import SpatialArray


@pytest.mark.parametrize("steps", [1, 2])
def test_the_rule_of_the_distance_mask_in_float64(steps):
    """Straight from the definition, voxel by voxel, with every voxel around the mask."""
    rng = np.random.default_rng(3)
    mask = (rng.random((1, 4, 5, 6)) < 0.9).astype(np.uint8) * 3
    targets = rng.uniform(-0.9, 0.9, mask.shape).astype(np.float32)
    sizes, scale = (8.0, 5.0, 3.0), 9.0
    made = (HotDistancePredictor(["a"], 1, True, 1), DistancePredictor(["a"], 1, True))[steps - 1]
    found = made.create_distance_mask(targets, mask, sizes, "tanh", scale)
    zeros = np.argwhere(np.pad(mask[0], 1) == 0) - 1
    for voxel in np.ndindex(mask.shape[1:]):
        nearest = np.sqrt((((zeros - voxel) * sizes / steps) ** 2).sum(axis=1)).min()
        kept = min(abs(float(targets[0][voxel])) + 0.05, 0.8) < np.tanh(nearest / scale)
        assert found[0][voxel] == (mask[0][voxel] if kept else 0), voxel
    assert 0 < np.count_nonzero(found) < np.count_nonzero(mask)
    assert found.dtype == mask.dtype


@pytest.mark.parametrize("shape", [(1, 7), (6, 9), (5, 6, 7), (1, 1, 1), (3, 4, 1)])
def test_a_mask_of_ones_in_closed_form(shape, monkeypatch):
    """Equal to the transform of the padded mask, which is not asked; one voxel of 0 asks it."""
    from scipy import ndimage

    calls, transform = [], ndimage.distance_transform_edt
    monkeypatch.setattr(ndimage, "distance_transform_edt", lambda *a, **k: (calls.append(1), transform(*a, **k))[1])
    sizes = (7.0, 3.0, 2.5)[: len(shape)]
    targets = np.random.default_rng(0).uniform(-1, 1, (2, *shape)).astype(np.float32)
    made = HotDistancePredictor(["a", "b"], 1, True, 1)
    ones = np.ones((2, *shape), np.float32)
    found = made.create_distance_mask(targets, ones, sizes, "tanh", 12.0)
    assert not calls
    border = np.tanh(transform(np.pad(np.ones(shape), 1), sampling=sizes)[(slice(1, -1),) * len(shape)] / 12.0)
    expected = np.clip(np.abs(targets) + 0.05, 0, 0.8) < border
    np.testing.assert_array_equal(found, expected)
    ones.flat[0] = 0
    made.create_distance_mask(targets, ones, sizes, "tanh", 12.0)
    assert len(calls) == 1, "for the channel with a 0 alone"
    shared = np.ascontiguousarray(np.broadcast_to(ones[:1], ones.shape))
    made.create_distance_mask(targets, shared, sizes, "tanh", 12.0)
    assert len(calls) == 2, "once for channels with the same mask"


def test_constants_may_be_changed_as_in_dacapo():
    targets, ones = np.full((1, 4, 4), 0.5, np.float32), np.ones((1, 4, 4), bool)
    made = HotDistancePredictor(["a"], 1, True, 1)
    # One voxel from the border, b = 1: tanh(1 / 1.8) = 0.505.
    assert not made.create_distance_mask(targets, ones, (1, 1), "tanh", 1.8)[0, 0, 0]
    made.epsilon = None
    assert made.create_distance_mask(targets, ones, (1, 1), "tanh", 1.8)[0, 0, 0]
    made.epsilon, made.threshold = 5e-2, 0.5
    assert made.create_distance_mask(targets, ones, (1, 1), "tanh", 1.8)[0, 0, 0]


def test_a_mask_enters_twice():
    """As in DaCapo: the distance mask holds the values of the mask, and is multiplied by it."""
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 3:6, 3:6] = 1
    gt = SpatialArray(labels, (4, 4))
    made = DistancePredictor(["a"], 4, True)
    target = made.create_target(gt)
    half, _ = made.create_weight(gt, target, SpatialArray(np.full((1, 9, 9), 0.5), (4, 4)))
    kept = made.create_distance_mask(target.data, np.ones((1, 9, 9)), (4, 4), "tanh", 4)
    expected, _ = balanced_weights(labels, mask=kept * 0.25)
    np.testing.assert_allclose(half.data, expected, rtol=1e-6)
    assert 0 < kept.sum() < 81


@pytest.mark.filterwarnings("ignore:mask of uint8:inner_distance_gpu.LabelWarning")
def test_a_mask_of_255_does_not_wrap_round():
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 4, 4] = 1
    gt = SpatialArray(labels, (4, 4))
    made = DistancePredictor(["a"], 4, True)
    target = made.create_target(gt)
    _, counts = made.create_weight(gt, target, SpatialArray(np.full((1, 9, 9), 255, np.uint8), (4, 4)))
    kept = made.create_distance_mask(target.data, np.ones((1, 9, 9)), (4, 4), "tanh", 4).sum()
    assert counts.denominators[0, 0] == 1 + kept * 255**2


def test_one_mask_for_all_channels():
    """Then the distances of channel 0 decide for all, as in DaCapo."""
    rng = np.random.default_rng(5)
    labels = np.stack([np.zeros((12, 12)), np.ones((12, 12))]).astype(np.uint8)
    labels[0, 5:, 5:] = 1
    labels[1, 2:4, 2:4] = 0
    mask = (rng.random((12, 12)) < 0.97).astype(np.uint8)
    gt = SpatialArray(labels, (4, 4))
    for made in (DistancePredictor(["a", "b"], 8, True), HotDistancePredictor(["a", "b"], 8, True, 1)):
        target = made.create_target(gt)
        kept = made.create_distance_mask(target.data[-2:], np.stack([mask, mask]), (4, 4), "tanh", 8)
        assert (kept[0] != kept[1]).any()
        for given in (mask[None], mask):
            weight, _ = made.create_weight(gt, target, SpatialArray(given, (4, 4)))
            np.testing.assert_array_equal(weight.data[-2:] > 0, np.stack([kept[0], kept[0]]) > 0)
            alone = made.create_distance_mask(target.data[-2:], given, (4, 4), "tanh", 8)
            np.testing.assert_array_equal(alone, kept[0].reshape(given.shape))
