"""Does every engine that runs here keep the laws of the definition?"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inner_distance_gpu import balanced_weights, engines, inner_distance

ENGINES = [name for name, why_not in engines.available().items() if why_not is None]
pytestmark = pytest.mark.parametrize("engine", ENGINES)


@st.composite
def volumes(draw):
    """Random labels (…, *spatial) with a voxel size; ids, background share and shape vary."""
    dims = draw(st.sampled_from([2, 3]))
    shape = draw(st.tuples(*[st.integers(1, 9)] * dims))
    leading = draw(st.sampled_from([(), (2,)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.02, 0.3, 0.7, 0.98, 1.0]))
    ids = draw(st.sampled_from([2, 5]))
    labels = (rng.random(leading + shape) < share) * rng.integers(1, ids, leading + shape)
    voxel_size = draw(st.tuples(*[st.sampled_from([0.5, 1.0, 4.0, 5.24, 40.0])] * dims))
    return labels.astype(np.uint8), voxel_size


parameters = st.fixed_dictionaries(
    {
        "scale": st.sampled_from([None, 0.7, 10.0, 300.0]),
        "background": st.sampled_from(["zero", "signed", "times_label"]),
        "no_boundary": st.sampled_from(["extent", "saturate"]),
        "ignore_label": st.sampled_from([None, 2]),
    }
)
few = settings(max_examples=60, deadline=None)


@few
@given(volume=volumes(), keywords=parameters, power=st.integers(-6, 6))
def test_units_cancel(engine, volume, keywords, power):
    """Powers of two change no mantissa: the same bits in any unit."""
    labels, voxel_size = volume
    unit = 2.0**power
    scaled = [size * unit for size in voxel_size]
    result = inner_distance(labels, voxel_size, engine=engine, **keywords)
    if keywords["scale"] is None:
        np.testing.assert_array_equal(inner_distance(labels, scaled, engine=engine, **keywords), result * unit)
    else:
        keywords = keywords | {"scale": keywords["scale"] * unit}
        np.testing.assert_array_equal(inner_distance(labels, scaled, engine=engine, **keywords), result)


@few
@given(volume=volumes(), keywords=parameters, data=st.data())
def test_flips(engine, volume, keywords, data):
    labels, voxel_size = volume
    axis = -data.draw(st.integers(1, len(voxel_size)))
    result = inner_distance(labels, voxel_size, engine=engine, **keywords)
    flipped = inner_distance(np.flip(labels, axis), voxel_size, engine=engine, **keywords)
    np.testing.assert_array_equal(np.flip(flipped, axis), result)


@few
@given(volume=volumes(), keywords=parameters, data=st.data())
def test_axis_permutations(engine, volume, keywords, data):
    labels, voxel_size = volume
    dims = len(voxel_size)
    order = data.draw(st.permutations(range(dims)))
    spatial = [labels.ndim - dims + axis for axis in order]
    permuted = labels.transpose(*range(labels.ndim - dims), *spatial)
    result = inner_distance(labels, voxel_size, engine=engine, **keywords)
    other = inner_distance(permuted, [voxel_size[axis] for axis in order], engine=engine, **keywords)
    expected = result.transpose(*range(labels.ndim - dims), *spatial)
    np.testing.assert_allclose(other, expected, rtol=1e-6, atol=1e-6 if keywords["scale"] else 0)


@few
@given(volume=volumes(), keywords=parameters)
def test_only_differences_between_labels_matter(engine, volume, keywords):
    labels, voxel_size = volume
    keywords = keywords | {"background": "signed", "ignore_label": None}
    names = np.array([0, 77, -5, 2**40, 3], np.int64)
    result = inner_distance(labels, voxel_size, engine=engine, **keywords)
    np.testing.assert_array_equal(inner_distance(names[labels], voxel_size, engine=engine, **keywords), result)


@few
@given(volume=volumes(), keywords=parameters)
def test_leading_axes_hold_independent_volumes(engine, volume, keywords):
    labels, voxel_size = volume
    stacked = np.stack([labels, np.zeros_like(labels), labels[..., ::-1]])
    result = inner_distance(stacked, voxel_size, engine=engine, **keywords)
    for one, expected in zip(stacked, result, strict=True):
        np.testing.assert_array_equal(inner_distance(one, voxel_size, engine=engine, **keywords), expected)


@few
@given(volume=volumes(), keywords=parameters)
def test_range_and_sign(engine, volume, keywords):
    labels, voxel_size = volume
    result = inner_distance(labels, voxel_size, engine=engine, **keywords)
    known = np.ones(labels.shape, bool) if keywords["ignore_label"] is None else labels != 2
    assert (result[known & (labels != 0)] > 0).all()
    assert (result[~known] == 0).all()
    if keywords["background"] == "signed":
        assert (result[known & (labels == 0)] < 0).all()
    else:
        assert (result[labels == 0] == 0).all()
    if keywords["scale"] is not None and keywords["background"] != "times_label":
        assert np.abs(result).max() <= 1


@few
@given(volume=volumes(), keywords=parameters)
def test_the_same_call_gives_the_same_bits(engine, volume, keywords):
    labels, voxel_size = volume
    first = inner_distance(labels, voxel_size, engine=engine, **keywords)
    for threads in (1, 2, 5):
        np.testing.assert_array_equal(
            inner_distance(labels, voxel_size, engine=engine, threads=threads, **keywords), first
        )


@pytest.mark.parametrize("unit", [1e-12, 1e-9, 1.0, 1e12])
def test_extreme_units(engine, unit):
    labels = np.zeros((3, 40, 40), np.uint8)
    labels[1, 20, 20] = 1
    result = inner_distance(labels, [40 * unit, 4 * unit, 4 * unit], background="signed", engine=engine)
    expected = inner_distance(labels, [40, 4, 4], background="signed", engine="reference")
    np.testing.assert_allclose(result / unit, expected, rtol=1e-6)


def test_saturation_is_exact(engine):
    labels = np.zeros((1, 60), np.uint8)
    labels[:, 0] = 1
    result = inner_distance(labels, (1, 1), scale=1.0, background="signed", engine=engine)
    distance = np.arange(60) - 0.5
    assert (result[0, distance >= 9.02] == -1).all()
    assert (result[0, (distance > 0) & (distance < 8.6)] > -1).all()


@pytest.mark.parametrize("background", ["zero", "signed", "times_label"])
@pytest.mark.parametrize("scale", [None, 5.0])
def test_volumes_without_a_site(engine, background, scale):
    for value, label in ((0, 0), (1, 1), (3, 3)):
        labels = np.full((4, 6), value)
        for no_boundary, distance in (("extent", 8.0), ("saturate", math.inf)):
            result = inner_distance(
                labels, (4, 4), scale=scale, background=background, no_boundary=no_boundary, engine=engine
            )
            signed = distance if scale is None else math.tanh(distance / scale)
            expected = signed if label else -signed if background == "signed" else 0.0
            if background == "times_label" and label:
                expected = signed * label
            np.testing.assert_allclose(result, np.full((4, 6), expected), rtol=1e-6)


def test_unannotated_voxels_are_no_boundary(engine):
    labels = np.ones((5, 5), np.float32)
    labels[2] = np.nan
    result = inner_distance(labels, (2, 2), fill=-7, engine=engine)
    np.testing.assert_array_equal(result[2], -7)
    np.testing.assert_array_equal(np.delete(result, 2, axis=0), 5)  # no site: half the extent
    everything = inner_distance(np.full((3, 3), 9), (1, 1), ignore_label=9, fill=np.nan, engine=engine)
    assert np.isnan(everything).all()


def test_weights_of_a_balanced_batch_are_one(engine):
    labels = np.array([[0, 1] * 500])
    weights, counts = balanced_weights(labels, engine=engine)
    np.testing.assert_allclose(weights, 1, atol=2e-3)  # the prior, 0 of 1, is still felt
    assert counts.numerators.tolist() == [[500, 500]]


def test_denominators_count_beyond_float32(engine):
    labels = np.zeros(2**20, np.uint8)
    mask = np.full(2**20, 255, np.uint8)
    mask[0] = 254
    _, counts = balanced_weights(labels, mask=mask, engine=engine)
    assert counts.denominators.tolist() == [[255 * 2**20 - 1 + 1] * 2]
    wide = np.full(4, 2**63 + 1, np.uint64)
    assert balanced_weights(labels[:4], mask=wide, engine=engine)[1].denominators[0, 0] == float(4 * (2**63 + 1) + 1)
    half = np.full(2**20, 0.1, np.float16)
    _, counts = balanced_weights(labels, mask=half, engine=engine)
    np.testing.assert_allclose(counts.denominators, 1 + 2**20 * float(np.float16(0.1)), rtol=1e-12)


def test_unchecked_labels_weigh_nothing_and_are_not_counted(engine):
    labels = np.array([[0, 1, 2, -1, 300]])
    weights, counts = balanced_weights(labels, validate=False, engine=engine)
    assert weights[0, 2:].tolist() == [0, 0, 0]
    assert counts.to_dicts() == [{0: (1, 3.0), 1: (1, 3.0)}]


def test_masks_broadcast_over_leading_axes_only(engine):
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (2, 3, 4, 5))
    for shape in ((4, 5), (3, 4, 5), (1, 3, 4, 5), (2, 1, 4, 5), (1, 4, 5)):
        mask = rng.integers(0, 3, shape)
        weights, counts = balanced_weights(labels, mask=mask, engine=engine)
        full = np.broadcast_to(mask, labels.shape).copy()
        expected, expected_counts = balanced_weights(labels, mask=full, engine=engine)
        np.testing.assert_array_equal(weights, expected)
        assert counts.to_dicts() == expected_counts.to_dicts()
