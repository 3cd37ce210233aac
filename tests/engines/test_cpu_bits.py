"""Does engine `cpu` return the same bits for any number of threads, layout, SIMD level and arithmetic?"""

import numpy as np
import pytest
from cases import DTYPES, labels_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance
from inner_distance_gpu.engines import cpu, native
from inner_distance_gpu.parameters import TargetParameters

pytestmark = pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"]))
VOXELS = [(8.0, 8.0, 8.0), (40.0, 4.0, 4.0), (5.24, 4.0, 4.1)]


def volume(shape=(37, 45, 70), dtype="u1", kind=1):
    return labels_of(np.random.default_rng(1), shape, dtype, kind)


def same_bits(a, b):
    return a.shape == b.shape and a.dtype == b.dtype and a.tobytes() == b.tobytes()


def on(level, labels, parameters, always_float=False, threads=1):
    """The target on a named SIMD level."""
    out = np.full(labels.shape, np.nan, np.float32)
    plan = cpu._task(parameters, level, always_float)
    element = native.element_format(labels.dtype, parameters.ignore_label)
    native.module.targets(plan, labels, element, out, threads)
    return out


@pytest.mark.parametrize("voxel_size", VOXELS)
@pytest.mark.parametrize("scale", [None, 50.0, 1e4])
@pytest.mark.parametrize("shape", [(37, 45, 70), (3, 2, 20, 33, 41), (2, 300, 301), (1, 1, 40_000)])
def test_threads(voxel_size, scale, shape):
    labels = volume(shape)
    keywords = {"scale": scale, "background": "signed", "engine": "cpu"}
    results = [inner_distance(labels, voxel_size, threads=threads, **keywords) for threads in (1, 2, 5)]
    assert all(same_bits(result, results[0]) for result in results)
    masked = [
        InnerDistanceTransform(voxel_size, scale, border="mask", threads=threads, engine="cpu")(
            labels, np.random.default_rng(2).random(shape)
        )
        for threads in (1, 2, 5)
    ]
    assert all(same_bits(target, masked[0][0]) and same_bits(weight, masked[0][1]) for target, weight in masked)


@pytest.mark.parametrize("voxel_size", VOXELS)
def test_layouts(voxel_size):
    labels = volume()
    expected = inner_distance(labels, voxel_size, scale=50, engine="cpu")
    big = np.zeros([2 * n for n in labels.shape], labels.dtype)
    strided = big[::2, 1::2, ::2]
    strided[...] = labels
    read_only = labels.copy()
    read_only.flags.writeable = False
    for other in (np.asfortranarray(labels), strided, np.flip(np.flip(labels).copy()), read_only, labels.astype(">f8")):
        assert same_bits(inner_distance(other, voxel_size, scale=50, engine="cpu"), expected)
    for out in (
        np.empty(labels.shape, np.float32),
        np.empty(labels.shape, np.float32, order="F"),
        np.empty([2 * n for n in labels.shape], np.float32)[::2, ::2, ::2],
        np.flip(np.empty(labels.shape, np.float32)),
    ):
        out[...] = np.nan
        assert inner_distance(labels, voxel_size, scale=50, engine="cpu", out=out) is out
        assert same_bits(np.ascontiguousarray(out), expected)


@pytest.mark.parametrize("threads", [2, 8])
def test_more_volumes_than_one_wave(threads):
    """Scratch is bounded: two threads take volumes of their own, and eight would need too much: they go in waves."""
    volume_of_many = volume((300, 64, 64), kind=0)
    labels = np.broadcast_to(volume_of_many, (8, *volume_of_many.shape))
    mask = np.random.default_rng(0).integers(0, 3, volume_of_many.shape)
    for masks in (None, mask):
        transform = InnerDistanceTransform((4, 4, 4), None, border="mask", threads=threads, engine="cpu", moving=False)
        target, weight = transform(volume_of_many, masks)
        targets, weights = transform(labels, masks)
        assert all(same_bits(part, target) for part in targets)
        np.testing.assert_array_equal(weights == 0, np.broadcast_to(weight == 0, weights.shape))
        np.testing.assert_allclose(weights, np.broadcast_to(weight, weights.shape), rtol=1e-4)
        assert (weights[1:] == weights[0]).all()


def test_out_beside_what_is_written():
    """Elements between those of a strided `out` are left alone."""
    around = np.full((9, 11, 80), -7.0, np.float32)
    out = around[1:-1, 1:-1, 3:-3:2]
    inner_distance(volume(out.shape), (1, 1, 1), scale=5, engine="cpu", out=out)
    out[...] = -7
    assert (around == -7).all()


@settings(max_examples=400, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    shape=st.tuples(*[st.integers(1, 40)] * 2) | st.tuples(*[st.integers(1, 17)] * 3),
    dtype=st.sampled_from(DTYPES),
    kind=st.integers(0, 4),
    data=st.data(),
)
def test_simd_levels(seed, shape, dtype, kind, data):
    rng = np.random.default_rng(seed)
    labels = labels_of(rng, shape, dtype, kind)
    parameters = TargetParameters.checked(
        data.draw(st.tuples(*[st.sampled_from([1.0, 4.0, 5.24, 40.0])] * len(shape))),
        data.draw(st.sampled_from([None, 3.0, 50.0, 1e5])),
        data.draw(st.sampled_from(["zero", "signed", "times_label"])),
        "extent",
        data.draw(st.sampled_from([None, 1])),
        0.5,
    )
    results = [on(level, labels, parameters) for level in ("auto", *native.module.levels())]
    assert all(same_bits(result, results[0]) for result in results)
    # Whole squares in 16 bits and the same in floats are the same numbers.
    assert same_bits(on("auto", labels, parameters, always_float=True), results[0])


@pytest.mark.parametrize("voxel_size", VOXELS)
@pytest.mark.parametrize("scale", [None, 50.0])
@pytest.mark.parametrize("shape", [(3, 200, 130), (2, 90, 301), (1, 1, 700)])
def test_simd_levels_of_long_lines_and_borders(monkeypatch, voxel_size, scale, shape):
    labels = np.ones(shape, np.uint8)
    labels[tuple(np.random.default_rng(4).integers(0, n, 3) for n in shape)] = 0
    plan, results = cpu._task.__wrapped__, []
    transform = InnerDistanceTransform(voxel_size, scale, border="mask", engine="cpu", moving=False)
    for level in native.module.levels():
        monkeypatch.setattr(cpu, "_task", lambda parameters, level=level: plan(parameters, level))
        results.append(transform(labels))
    assert 0 < (results[0][1] == 0).sum() < labels.size or shape[0] == 1
    for target, weight in results[1:]:
        assert same_bits(target, results[0][0])
        assert same_bits(weight, results[0][1])


def test_the_levels_are_those_of_the_processor():
    levels = native.module.levels()
    assert levels[-1] == "baseline"
    with pytest.raises(ValueError, match="SIMD level avx1024 does not run"):
        cpu._task(TargetParameters.checked((1, 1), 1, "zero", "extent", None, 0), "avx1024")


@pytest.mark.parametrize("seed", range(4))
def test_flips_beyond_the_bounded_search(seed):
    """The lower envelope rounds where parabolas cross; ties must not show which end it began at."""
    rng = np.random.default_rng(seed)
    labels = np.ones((500, 600), np.uint8)
    labels[rng.integers(0, 500, 6), rng.integers(0, 600, 6)] = 0
    result = inner_distance(labels, (1.3, 1.7), engine="cpu", background="signed")
    for axes in ((0,), (1,), (0, 1)):
        flipped = inner_distance(np.flip(labels, axes), (1.3, 1.7), engine="cpu", background="signed")
        assert same_bits(np.ascontiguousarray(np.flip(flipped, axes)), result)


@pytest.mark.parametrize("voxel_size", VOXELS)
@pytest.mark.parametrize("scale", [50.0, 400.0])
def test_blocks_with_a_halo(voxel_size, scale):
    """Algorithm and width follow from the reach: a block with a halo has the bits of the whole."""
    labels = volume((60, 300, 40))
    whole = inner_distance(labels, voxel_size, scale=scale, engine="cpu")
    halo = [int(np.ceil(9.02 * scale / size)) for size in voxel_size]
    for start, stop in (((0, 0, 0), (7, 9, 11)), ((20, 150, 13), (33, 160, 40)), ((59, 299, 39), (60, 300, 40))):
        low = [max(0, a - h) for a, h in zip(start, halo, strict=True)]
        high = [min(n, b + h) for n, b, h in zip(labels.shape, stop, halo, strict=True)]
        part = labels[tuple(map(slice, low, high))]
        inner = tuple(slice(a - c, b - c) for a, b, c in zip(start, stop, low, strict=True))
        block = inner_distance(part, voxel_size, scale=scale, engine="cpu", no_boundary="saturate")[inner]
        assert same_bits(np.ascontiguousarray(block), np.ascontiguousarray(whole[tuple(map(slice, start, stop))]))
