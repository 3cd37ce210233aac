"""Are weights and counts of the device engines, on the host, those of `reference`: with masks, borders and slabs?"""

import numpy as np
import pytest
import torch
from device_calls import ENGINES, LAUNCHERS, MASKS, blobs
from host_launcher import HostLauncher
from oracle import assert_target

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights
from inner_distance_gpu.engines.cuda import plans


@pytest.mark.parametrize("mask_dtype", [None, *MASKS], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_transform(launcher, engine, mask_dtype):
    labels = blobs((2, 3, 5, 17, 36)).astype(np.float32)
    labels[1, 1, :2, :9, :30] = np.nan
    mask = None
    if mask_dtype is not None:
        mask = torch.from_numpy(np.random.default_rng(1).random((1, 5, 17, 36)) * 3).to(mask_dtype)
    for channels, border in ((3, "mask"), (1, "keep")):
        transforms = {
            name: InnerDistanceTransform((40, 4, 4), 15, channels=channels, border=border, ignore_label=9, engine=name)
            for name in ("reference", engine)
        }
        for step in range(2):
            values = torch.from_numpy(labels if step == 0 else 1 - labels)
            (target, weight), (same_target, same_weight) = (t(values, mask) for t in transforms.values())
            assert_target(same_target, target.numpy(), scale=15)
            np.testing.assert_allclose(same_weight, weight, rtol=1e-6)
        counts, same = (t.counts for t in transforms.values())
        torch.testing.assert_close(same.numerators, counts.numerators, rtol=0, atol=0)
        torch.testing.assert_close(same.denominators, counts.denominators, rtol=1e-12, atol=0)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_border_along_an_axis_of_one_voxel(default, engine):
    labels = np.zeros((1, 9, 14), np.uint8)
    labels[..., 7:] = 1
    for depth in (2.0, 5.0, 9.0):  # 1.0, 2.5, 4.5 to the border along z
        _, weight = InnerDistanceTransform((depth, 1, 1), 5, border="mask", engine=engine)(labels)
        _, expected = InnerDistanceTransform((depth, 1, 1), 5, border="mask", engine="reference")(labels)
        np.testing.assert_allclose(weight, expected, rtol=1e-6, err_msg=f"{depth}")
        assert (weight[0, 4] > 0).sum() == {2.0: 2, 5.0: 6, 9.0: 8}[depth]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_border_is_compared_with_distances_beyond_saturation(launcher, engine):
    labels = torch.zeros(1, 41, 61, dtype=torch.uint8)
    labels[0, 20, 10] = 1
    found = {
        name: InnerDistanceTransform((4, 4), 1.5, background="signed", border="mask", engine=name)(labels)[1]
        for name in ("reference", engine)
    }  # saturated from 3.4 voxels on
    assert found[engine][0, 20, 40] == 0  # 29.5 voxels from the site, 20.5 from the border
    assert found[engine][0, 20, 16] > 0  # 5.5 against 16.5
    torch.testing.assert_close(found[engine], found["reference"], rtol=1e-6, atol=0)


@pytest.mark.parametrize("slab", [None, (2, -1, 5, -1), (1, 1, 4, 1), (-1, 2, 3, 4)])
@pytest.mark.parametrize("kind", ["u1", "f4", "i8"])
def test_balanced_weights(default, kind, slab):
    generator = np.random.default_rng(0)
    labels = generator.integers(-1 if kind != "u1" else 0, 5, (3, 3, 11, 13)).astype(kind)
    mask = generator.random((1, 11, 13)).astype(np.float32) * (generator.random((1, 11, 13)) < 0.8)
    for given_mask in (None, mask, (mask * 2**40).astype(np.int64), (mask * 2**63).astype(np.uint64)):
        keywords = {"mask": given_mask, "slab": slab, "ignore_label": 2}
        first = labels.clip(0, 3).astype(kind)
        expected, counts = balanced_weights(first, 4, engine="reference", **keywords)
        result, same = balanced_weights(first, 4, engine="cuda", **keywords)
        np.testing.assert_allclose(result, expected, rtol=1e-6)
        assert torch.equal(same.numerators, counts.numerators)
        exact = given_mask is None or given_mask.dtype.kind in "iu"
        torch.testing.assert_close(same.denominators, counts.denominators, rtol=0 if exact else 1e-12, atol=0)
        keywords |= {"validate": False}
        expected, counts = balanced_weights(labels, 4, counts=counts, engine="reference", **keywords)
        result, same = balanced_weights(labels, 4, counts=same, engine="cuda", **keywords)
        np.testing.assert_allclose(result, expected, rtol=1e-6)
        assert torch.equal(same.numerators, counts.numerators)


@pytest.mark.parametrize(("dtype", "classes"), [("i1", 300), ("i2", 3), ("f2", 3), ("f4", 3), ("f8", 3)])
def test_labels_that_are_no_class(default, dtype, classes):
    labels = np.array([[0, 1, -1, 2, 1.5 if dtype[0] == "f" else -1, 1]], dtype)
    weights, counts = balanced_weights(labels, classes, validate=False, engine="cuda")
    expected, same = balanced_weights(labels, classes, validate=False, engine="reference")
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert torch.equal(counts.numerators, same.numerators)


def test_float_masks_are_summed_in_one_order(on_host):
    labels = np.zeros((3, 50, 2000), np.uint8)
    mask = np.random.default_rng(0).random(labels.shape) * 10.0 ** np.random.default_rng(1).integers(
        -9, 9, labels.shape
    )
    sums = []
    for arguments in LAUNCHERS.values():
        on_host(HostLauncher(**arguments))
        sums.append(balanced_weights(labels, mask=mask, slab=(2, -1, -1), engine="cuda")[1].denominators)
    assert all(torch.equal(other, sums[0]) for other in sums[1:])
    assert sums[0][0, 0] == pytest.approx(1 + mask[:2].sum(), rel=1e-13)


def test_counts_given_are_not_changed(default):
    before = ClassCounts.from_dicts([{0: (3, 10), 1: (7, 10)}])
    balanced_weights(torch.ones(3, 3), counts=before, engine="cuda")
    assert before.to_dicts() == [{0: (3, 10), 1: (7, 10)}]


def test_a_call_is_prepared_once(default):
    labels = [torch.from_numpy(blobs((2, 9, 10, 33), seed=seed)) for seed in range(3)]
    masks = [torch.rand(9, 10, 33) for _ in labels]
    plans.prepare.cache_clear()
    transform = InnerDistanceTransform((40, 4, 4), 15, channels=2, engine="cuda")
    reference = InnerDistanceTransform((40, 4, 4), 15, channels=2, engine="reference")
    numerators = transform.counts.numerators
    for values, mask in zip(labels, masks, strict=True):
        for used in (None, mask):
            for result, expected in zip(transform(values, used), reference(values, used), strict=True):
                torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)
    assert plans.prepare.cache_info().misses == 2
    assert transform.counts.numerators is numerators  # grown where they are
    assert torch.equal(numerators, reference.counts.numerators)
    torch.testing.assert_close(transform.counts.state(), reference.counts.state(), rtol=1e-12, atol=0)


def test_counts_in_any_order_of_memory(default):
    numbers = torch.tensor([[3.0, 7.0], [20.0, 1.0], [5.0, 6.0]], dtype=torch.float64)
    labels = torch.from_numpy(blobs((3, 8, 9)))
    counts = ClassCounts(numbers.T.contiguous().T, (numbers + 9).T.contiguous().T)
    _, after = balanced_weights(labels, slab=(1, -1, -1), counts=counts, engine="cuda")
    _, expected = balanced_weights(labels, slab=(1, -1, -1), counts=counts, engine="reference")
    assert torch.equal(after.numerators, expected.numerators)
    assert counts.to_dicts()[1] == {0: (20, 29), 1: (1, 10)}
