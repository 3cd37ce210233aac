"""Do the kernels of the device engines, run on the host thread by thread, return what `reference` does?

The whole of the engine runs, from the public function down; only the launcher is another one. Grids that are too
small, blocks of one warp, threads in reverse order and too little shared memory take every path of the kernels.
"""

import ctypes

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher, on_host, record_at  # noqa: F401
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle import assert_target

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, engines, inner_distance
from inner_distance_gpu.engines.cuda import plans

ENGINES = ["cuda", "cucim"]
LAUNCHERS = {
    "as chosen": {},
    "one block of one warp": {"grid": 1, "block": 32},
    "backwards": {"grid": 3, "block": 64, "order": 1},
    "warps ahead": {"grid": 1, "block": 64, "order": 2},
    "no shared memory": {"shared_bytes": 0, "grid": 2},
}


@pytest.fixture(params=LAUNCHERS.values(), ids=LAUNCHERS.keys())
def launcher(request, on_host):  # noqa: F811
    return on_host(HostLauncher(**request.param))


@st.composite
def calls(draw):
    dims = draw(st.sampled_from([2, 3]))
    leading = draw(st.lists(st.integers(1, 3), max_size=2))
    spatial = draw(st.lists(st.one_of(st.integers(1, 9), st.integers(30, 37)), min_size=dims, max_size=dims))
    while np.prod(leading + spatial) > 6000:
        spatial[spatial.index(max(spatial))] //= 3
    seed, fraction = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0.0, 0.02, 0.5, 0.98, 1.0]))
    generator = np.random.default_rng(seed)
    labels = (generator.random(leading + spatial) < fraction) * generator.integers(1, 4, leading + spatial)
    keywords = {
        "scale": draw(st.sampled_from([None, 0.7, 5, 60])),
        "background": draw(st.sampled_from(["zero", "signed", "times_label"])),
        "no_boundary": draw(st.sampled_from(["extent", "saturate"])),
        "ignore_label": draw(st.sampled_from([None, 0, 1, 3])),
        "fill": draw(st.sampled_from([0.0, -2.5])),
    }
    sizes = st.sampled_from([1, 2, 3.7, 4, 30, 40])
    return labels.astype(np.int16), draw(st.lists(sizes, min_size=dims, max_size=dims)), keywords


@pytest.mark.parametrize("engine", ENGINES)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls())
def test_targets(launcher, engine, call):
    labels, voxel_size, keywords = call
    expected = inner_distance(labels, voxel_size, engine="reference", **keywords)
    result = inner_distance(labels, voxel_size, engine=engine, **keywords)
    times_label = labels if keywords["background"] == "times_label" else None
    assert_target(result, expected, times_label, keywords["scale"])


@pytest.fixture
def default(on_host):  # noqa: F811
    return on_host(HostLauncher())


def blobs(shape, seed=0, fraction=0.5):
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    return (noise > np.quantile(noise, 1 - fraction)).astype(np.uint8)


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("engine", ENGINES)
def test_blobs(default, engine, fraction):
    labels = blobs((33, 35, 70), fraction=fraction)
    for voxel_size in ((4, 4, 4), (40, 4, 4)):
        expected = inner_distance(labels, voxel_size, scale=20, background="signed", engine="reference")
        result = inner_distance(labels, voxel_size, scale=20, background="signed", engine=engine)
        assert_target(result, expected, scale=20)


@pytest.mark.parametrize("engine", ENGINES)
def test_columns_of_several_segments(launcher, engine):
    labels = blobs((2, 100, 9, 40), fraction=0.9)
    expected = inner_distance(labels, (4, 4, 4), engine="reference")
    assert_target(inner_distance(labels, (4, 4, 4), engine=engine), expected)


@pytest.mark.parametrize("scan_bytes", [1, 2, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.uint64])
@pytest.mark.parametrize("shared_bytes", [0, 48 << 10])
def test_every_width(on_host, scan_bytes, dtype, shared_bytes):  # noqa: F811
    launcher = on_host(HostLauncher(shared_bytes=shared_bytes, scan_bytes=scan_bytes))
    labels = blobs((2, 70, 9, 33), fraction=0.7).astype(dtype)
    expected = inner_distance(labels, (3, 2, 1), background="signed", engine="reference")
    assert_target(inner_distance(labels, (3, 2, 1), background="signed", engine="cuda"), expected)
    names = [launch.kernel.name for launch in launcher.launches]
    assert len(names) == 2
    assert names[0].endswith({1: "unsigned char>", 2: "unsigned short>", 4: "unsigned int>"}[scan_bytes])
    assert ("true" in names[1]) == (shared_bytes == 0)


def test_a_scan_stops_where_its_width_does(default):
    """Scan distances of 254 and 255 steps: the last that 8 bits hold, and none."""
    labels = np.zeros((300, 3, 3), np.uint8)
    labels[0] = 1
    for scale in (27.0, 28.0, None):  # reach 244, 253 and all
        expected = inner_distance(labels, (1, 1, 1), scale=scale, background="signed", engine="reference")
        result = inner_distance(labels, (1, 1, 1), scale=scale, background="signed", engine="cuda")
        assert_target(result, expected, scale=scale)
    assert default.launches[0].kernel.name.endswith("unsigned char>")
    assert default.launches[-1].kernel.name.endswith("short, false>")


def test_long_buffers_of_blocks_are_apart(on_host):  # noqa: F811
    """Blocks run one after the other here, and would not notice if they shared their rows or columns."""

    class Watching(HostLauncher):
        def run_one(self, launch, at):
            record = record_at(launch, at)
            address, size = {
                "scan.cu": (record.segments, 3 * 4 * 4 * 32 * 4),
                "plane.cu": (record.rows, 2 * 40 * 16),
            }[launch.kernel.file]
            ctypes.memset(address, 0xA5, size * launch.grid)
            super().run_one(launch, at)
            for block in range(launch.grid):
                assert set(ctypes.string_at(address + block * size, size)) != {0xA5}

    launcher = on_host(Watching(shared_bytes=0))
    inner_distance(blobs((70, 20, 40)), (1, 1, 1), engine="cuda")
    assert [launch.grid for launch in launcher.launches] == [8, 8]


def test_columns_longer_than_shared_memory(default):
    labels = blobs((4200, 2, 2), fraction=0.5)
    labels[500:4000] = 1
    expected = inner_distance(labels, (1, 1, 1), engine="reference")
    assert_target(inner_distance(labels, (1, 1, 1), engine="cuda"), expected)
    assert default.launches[0].shared_bytes == 0
    assert default.records[0].segments


@pytest.mark.parametrize("voxel_size", [(40, 4, 4), (3.3, 1, 1.7)])
def test_bits_are_those_of_the_cpu_engine(default, voxel_size):
    """One mathematics for both: what differs here was changed on one side only."""
    if engines.available()["cpu"] is not None:
        pytest.skip(engines.available()["cpu"])
    labels = blobs((2, 20, 40, 50), fraction=0.8)
    for scale in (30, 7, None):
        expected = inner_distance(labels, voxel_size, scale=scale, background="signed", engine="cpu")
        result = inner_distance(labels, voxel_size, scale=scale, background="signed", engine="cuda")
        np.testing.assert_array_equal(result, expected)


def test_volumes_of_a_call_are_apart(default):
    """With a site and without, with unannotated voxels and without, in the same launch."""
    labels = np.zeros((4, 5, 6, 7), np.float32)
    labels[1] = 2
    labels[2, 2:, 3:] = 1
    labels[3, :, :3] = np.nan
    labels[3, 0, 4] = 1
    for engine in ENGINES:
        result = inner_distance(labels, (40, 4, 4), scale=30, background="signed", fill=7, engine=engine)
        expected = inner_distance(labels, (40, 4, 4), scale=30, background="signed", fill=7, engine="reference")
        assert_target(result, expected, scale=30)


def test_search_across_unannotated_voxels(default):
    labels = np.array([[[1, 9, 9]], [[0, 9, 1]]])
    result = inner_distance(labels, (40, 4, 4), ignore_label=9, engine="cuda")
    assert result[1, 0, 2] == pytest.approx((20**2 + 8**2) ** 0.5)


TORCH = [torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32]
TORCH += [torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", TORCH, ids=str)
@pytest.mark.parametrize("engine", ENGINES)
def test_types(default, engine, dtype):
    values = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (2, 5, 6, 7)))
    labels = (values * 3).to(dtype)
    if dtype.is_floating_point:
        labels[labels == 0] = -0.0
        labels[0, 0, 0, :2] = torch.tensor([torch.inf, torch.nan]).to(dtype)
    elif dtype not in (torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64):
        labels = -labels
    for background in ("signed", "times_label"):
        keywords = {"scale": 20, "background": background, "ignore_label": 1, "fill": 9}
        expected = inner_distance(labels, (30, 4.5, 4), engine="reference", **keywords)
        result = inner_distance(labels, (30, 4.5, 4), engine=engine, **keywords)
        assert_target(result, expected.numpy(), labels.float().nan_to_num(posinf=3).numpy(), 20)


@pytest.mark.parametrize("engine", ENGINES)
def test_types_of_numpy(default, engine):
    values = np.random.default_rng(0).integers(0, 2, (2, 5, 6, 7))
    expected = inner_distance(values, (3, 2, 1), engine="reference")
    import ml_dtypes

    for dtype in ("?", ">i2", ">u8", ">f4", "<f2", ml_dtypes.bfloat16):
        np.testing.assert_array_equal(inner_distance(values.astype(dtype), (3, 2, 1), engine=engine), expected)
    flipped = np.ascontiguousarray(values[..., ::-1])[..., ::-1]
    np.testing.assert_array_equal(inner_distance(flipped, (3, 2, 1), engine=engine), expected)
    flipped.flags.writeable = False
    np.testing.assert_array_equal(inner_distance(flipped.T.copy().T, (3, 2, 1), engine=engine), expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_layouts_and_out(default, engine):
    labels = torch.from_numpy(blobs((2, 3, 6, 7, 8))).permute(1, 0, 4, 2, 3)
    expected = inner_distance(labels.contiguous(), (3, 2, 1), engine="reference")
    out = torch.full((3, 2, 16, 6, 14), 99.0)[:, :, ::2, :, ::2]
    assert inner_distance(labels, (3, 2, 1), engine=engine, out=out) is out
    assert_target(out, expected.numpy())
    many = labels[:, :, None, None].expand(3, 2, 2, 2, 8, 6, 7).movedim(0, 3).flip(0)
    same = inner_distance(many, (3, 2, 1), engine=engine)
    assert_target(same, inner_distance(many, (3, 2, 1), engine="reference").numpy())


def test_more_leading_axes_than_a_kernel_takes(default):
    labels = torch.from_numpy(blobs((2,) * 6 + (4, 5))).permute(5, 4, 3, 2, 1, 0, 6, 7)
    out = torch.empty((2,) * 6 + (5, 4)).permute(0, 2, 1, 4, 3, 5, 7, 6)
    assert inner_distance(labels, (2, 1), engine="cuda", out=out) is out
    assert_target(out, inner_distance(labels, (2, 1), engine="reference").numpy())


MASKS = [torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64]


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
def test_more_leading_axes_than_kernels_take(default, engine):
    labels = torch.from_numpy(blobs((2, 2, 2, 2, 2, 3, 5, 6))).permute(4, 3, 2, 1, 0, 5, 6, 7)
    expected = inner_distance(labels.contiguous(), (1, 1, 1), scale=2, engine="reference")
    memory = torch.full((2, 2, 2, 2, 2, 3, 5, 12), 7.0)
    out = memory[..., ::2].permute(4, 3, 2, 1, 0, 5, 6, 7)
    assert inner_distance(labels, (1, 1, 1), scale=2, engine=engine, out=out) is out
    assert_target(out, expected.numpy(), scale=2)
    assert (memory[..., 1::2] == 7).all()


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


def test_an_ignored_label_that_bfloat16_cannot_hold(default):
    labels = torch.tensor([[0, 1, 1, 2]], dtype=torch.bfloat16)
    for ignored in (1.001, 1.0, 3e38):
        expected = inner_distance(labels, (1, 1), ignore_label=ignored, fill=9, engine="reference")
        result = inner_distance(labels, (1, 1), ignore_label=ignored, fill=9, engine="cuda")
        assert torch.equal(result, expected), ignored


def test_float_masks_are_summed_in_one_order(on_host):  # noqa: F811
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
