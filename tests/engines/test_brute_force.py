"""Does engine `reference` agree with measuring the distance to every site, and weighing every voxel?"""

import itertools

import numpy as np
import pytest
from oracle import assert_target, target, weights

from inner_distance_gpu import ClassCounts, balanced_weights, inner_distance

BACKGROUNDS = ("zero", "signed", "times_label")
IGNORED = 7


def random_case(seed):
    """Labels (…, *spatial) and keywords: 2D or 3D, 1-voxel axes, instances, unannotated voxels, anisotropy."""
    rng = np.random.default_rng(seed)
    dims = int(rng.integers(2, 4))
    shape = tuple(rng.integers(1, 8 if dims == 2 else 6, size=dims))
    leading = ((), (2,), (2, 2))[int(rng.choice(3, p=[0.6, 0.3, 0.1]))]
    ids = int(rng.choice([2, 2, 4]))
    labels = (rng.random(leading + shape) < rng.choice([0.03, 0.2, 0.5, 0.9, 1.0])) * rng.integers(
        1, ids, size=leading + shape
    )
    dtype = rng.choice(["uint8", "int16", "int64", "float32"])
    labels = labels.astype(dtype)
    ignore_label = None
    if rng.random() < 0.4:
        unannotated = rng.random(labels.shape) < rng.choice([0.1, 0.5])
        if dtype == "float32" and rng.random() < 0.5:
            labels[unannotated] = np.nan
        else:
            labels[unannotated] = ignore_label = IGNORED
    if dtype in ("int16", "float32") and rng.random() < 0.3:
        labels = np.where(labels == 1, labels.dtype.type(-3), labels)
    keywords = {
        "voxel_size": tuple(rng.choice([1, 4, 5.24, 30, 0.001, 40], size=dims)),
        "scale": [None, 0.3, 8.0, 100.0][int(rng.integers(4))],
        "background": BACKGROUNDS[seed % 3],
        "no_boundary": ("extent", "saturate")[int(rng.integers(2))],
        "ignore_label": ignore_label,
        "fill": float(rng.choice([0.0, -1.0, np.nan])),
    }
    return labels, keywords


@pytest.mark.parametrize("block", range(20))
def test_targets(block):
    for seed in range(25 * block, 25 * (block + 1)):
        labels, keywords = random_case(seed)
        result = inner_distance(labels, engine="reference", **keywords)
        expected = target(labels, **keywords)
        assert_target(result, expected, labels if keywords["background"] == "times_label" else None, keywords["scale"])


def test_the_random_cases_cover_what_they_claim():
    cases = [random_case(seed) for seed in range(500)]
    dims = [len(keywords["voxel_size"]) for _, keywords in cases]
    assert min(dims.count(2), dims.count(3)) > 150
    assert sum(1 in labels.shape[-d:] for (labels, _), d in zip(cases, dims, strict=True)) > 100
    assert sum(len(set(keywords["voxel_size"])) > 1 for _, keywords in cases) > 300
    assert sum(keywords["ignore_label"] is not None for _, keywords in cases) > 100
    assert sum(bool(np.isnan(labels.astype(float)).any()) for labels, _ in cases) > 10
    assert sum(len(np.unique(labels[np.isfinite(labels.astype(float))])) > 3 for labels, _ in cases) > 50


def test_sites_across_unannotated_voxels():
    labels = np.array([[[1, 9, 9]], [[0, 9, 1]]])
    result = inner_distance(labels, (40, 4, 4), ignore_label=9, fill=-5, engine="reference")
    np.testing.assert_allclose(result, [[[20, -5, -5]], [[0, -5, np.hypot(20, 8)]]], rtol=1e-6)


@pytest.mark.parametrize("seed", range(60))
def test_weights(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 5, size=int(rng.integers(1, 5))))
    classes = int(rng.integers(1, 5))
    slab = tuple(int(rng.choice([-1, 1, 2, 3])) for _ in shape)
    extents = [n if extent == -1 else extent for extent, n in zip(slab, shape, strict=True)]
    slabs = len(list(itertools.product(*(range(0, n, e) for n, e in zip(shape, extents, strict=True)))))
    clip = [(0.05, 0.95), (0.2, 0.6), (1e-9, 1.0)][seed % 3]
    expected_counts = [[[0, 1] for _ in range(classes)] for _ in range(slabs)]
    counts = None
    for _ in range(3):
        labels = rng.integers(0, classes, size=shape).astype(rng.choice(["uint8", "int64", "float64"]))
        mask = rng.integers(0, 3, size=shape) if seed % 2 else rng.random(shape) * rng.integers(0, 2, size=shape)
        if seed % 4 == 0:
            labels = np.where(rng.random(shape) < 0.2, 99, labels)
        before = counts
        result, counts = balanced_weights(
            labels, classes, mask=mask, slab=slab, clip=clip, counts=before, ignore_label=99, engine="reference"
        )
        expected = weights(labels, classes, mask, slab, clip, expected_counts, ignore_label=99)
        np.testing.assert_allclose(result, expected, rtol=1e-6)
        np.testing.assert_array_equal(counts.numerators, np.array(expected_counts)[..., 0])
        np.testing.assert_allclose(
            counts.denominators, np.array(expected_counts)[..., 1], rtol=0 if seed % 2 else 1e-12
        )
        assert isinstance(counts, ClassCounts)
        assert counts is not before
