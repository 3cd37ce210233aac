"""Is the weight 0 exactly where the border of the array is nearer than the nearest site?"""

import numpy as np
import pytest
import torch
from oracle import distances

from inner_distance_gpu import InnerDistanceTransform, engines

HOST = [name for name in ("cpu", "reference") if engines.available()[name] is None]
pytestmark = pytest.mark.parametrize("engine", HOST)


def weights(labels, voxel_size, border, engine, **keywords):
    transform = InnerDistanceTransform(voxel_size, 50, border=border, engine=engine, moving=False, **keywords)
    return transform(labels)


@pytest.mark.parametrize("seed", range(40))
def test_against_the_definition(engine, seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 8, size=int(rng.integers(2, 4))))
    voxel_size = tuple(rng.choice([1.0, 2.0, 5.24, 40.0], size=len(shape)))
    labels = (rng.random(shape) < rng.choice([0.03, 0.5, 0.97])).astype(np.uint8)
    _, kept = weights(labels, voxel_size, "keep", engine)
    _, masked = weights(labels, voxel_size, "mask", engine)
    d = distances(labels, voxel_size)
    to_border = np.min(
        [
            np.minimum(i + 0.5, n - i - 0.5) * size
            for i, n, size in zip(np.indices(shape), shape, voxel_size, strict=True)
        ],
        axis=0,
    )
    beyond = d > to_border * (1 + 1e-9)
    np.testing.assert_array_equal(masked, np.where(beyond, 0, kept))


def test_ties_are_kept(engine):
    """A site exactly as far as the border: no object outside is nearer. Sizes that float32 cannot hold."""
    for size in (1.0, 0.1, 5.24, 3e-9):
        labels = np.zeros((1, 7, 8), np.uint8)
        labels[..., 4:] = 1
        _, weight = weights(labels, (size * 100, size, size), "mask", engine)
        along = np.minimum(np.arange(8), 7 - np.arange(8)) + 0.5
        across = np.minimum(np.arange(7), 6 - np.arange(7)) + 0.5
        expected = np.abs(np.arange(8) - 3.5) <= np.minimum(along, across[:, None])
        np.testing.assert_array_equal(weight[0] > 0, expected)
        assert expected[3].sum() == 4


@pytest.mark.parametrize("seed", range(10))
def test_ties_of_any_size(engine, seed):
    """The border is as far as the face behind voxel 2i, for every i: no rounding may take one of them for nearer."""
    small, ratio = np.random.default_rng(seed).uniform(1, [100, 1.5])
    for half in range(1, 40, 3):
        labels = np.ones((1, 100, 130), np.uint8)
        labels[:, 2 * half + 1 :] = 0
        _, weight = weights(labels, (1e3 * small, ratio * small, small), "mask", engine)
        assert weight[0, half, 65] > 0, (small, ratio, half)
        assert weight[0, half - 1, 65] == 0, (small, ratio, half)


def test_beyond_saturation(engine):
    """The target is 1 from 9.02 scales on; whether the border is nearer still takes the true distance."""
    labels = np.zeros((601, 601), np.uint8)
    labels[300, 100] = 1
    target, weight = weights(labels, (30.0, 30.0), "mask", engine, background="signed")
    assert target[300, 300] == -1
    assert weight[300, 199] > 0  # 98.5 voxels from the site, 199.5 from the border
    assert weight[300, 300] > 0  # 199.5 against 300.5
    assert weight[300, 352] == 0  # 251.5 against 248.5
    assert weight[300, 20] == 0  # 79.5 against 20.5


def test_targets_and_counts_do_not_change(engine):
    labels = torch.from_numpy((np.random.default_rng(0).random((2, 9, 20, 30)) < 0.01).astype(np.int64))
    kept, masked = (InnerDistanceTransform((4, 4, 4), 50, border=border, engine=engine) for border in ("keep", "mask"))
    target, weight = kept(labels)
    same_target, less = masked(labels)
    assert torch.equal(target, same_target)
    assert kept.counts.to_dicts() == masked.counts.to_dicts()
    assert 0 < (less != weight).sum() < weight.numel()
    assert set(less[less != weight].tolist()) == {0}


@pytest.mark.parametrize(("no_boundary", "left"), [("extent", 1), ("saturate", 0)])
def test_without_a_site(engine, no_boundary, left):
    _, weight = weights(np.ones((3, 3), np.uint8), (1, 1), "mask", engine, no_boundary=no_boundary)
    assert (weight > 0).sum() == left


def test_without_weights(engine):
    with pytest.raises(ValueError, match="border='mask' with weights=False"):
        InnerDistanceTransform((1, 1), 1, border="mask", weights=False, engine=engine)
