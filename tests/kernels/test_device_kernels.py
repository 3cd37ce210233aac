"""Do the kernels of the device engines, run on the host thread by thread, return what `reference` does?

The whole of the engine runs, from the public function down; only the launcher is another one. Grids that are too
small, blocks of one warp, threads in reverse order and too little shared memory take every path of the kernels.
"""

import ctypes

import numpy as np
import pytest
import torch
from device_calls import ENGINES, TORCH, blobs, calls
from host_launcher import HostLauncher, record_at
from hypothesis import HealthCheck, given, settings
from oracle import assert_target

from inner_distance_gpu import engines, inner_distance


@pytest.mark.parametrize("engine", ENGINES)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls())
def test_targets(launcher, engine, call):
    labels, voxel_size, keywords = call
    expected = inner_distance(labels, voxel_size, engine="reference", **keywords)
    result = inner_distance(labels, voxel_size, engine=engine, **keywords)
    times_label = labels if keywords["background"] == "times_label" else None
    assert_target(result, expected, times_label, keywords["scale"])


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
def test_every_width(on_host, scan_bytes, dtype, shared_bytes):
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


def test_long_buffers_of_blocks_are_apart(on_host):
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


@pytest.mark.parametrize("engine", ENGINES)
def test_more_leading_axes_than_kernels_take(default, engine):
    labels = torch.from_numpy(blobs((2, 2, 2, 2, 2, 3, 5, 6))).permute(4, 3, 2, 1, 0, 5, 6, 7)
    expected = inner_distance(labels.contiguous(), (1, 1, 1), scale=2, engine="reference")
    memory = torch.full((2, 2, 2, 2, 2, 3, 5, 12), 7.0)
    out = memory[..., ::2].permute(4, 3, 2, 1, 0, 5, 6, 7)
    assert inner_distance(labels, (1, 1, 1), scale=2, engine=engine, out=out) is out
    assert_target(out, expected.numpy(), scale=2)
    assert (memory[..., 1::2] == 7).all()


def test_an_ignored_label_that_bfloat16_cannot_hold(default):
    labels = torch.tensor([[0, 1, 1, 2]], dtype=torch.bfloat16)
    for ignored in (1.001, 1.0, 3e38):
        expected = inner_distance(labels, (1, 1), ignore_label=ignored, fill=9, engine="reference")
        result = inner_distance(labels, (1, 1), ignore_label=ignored, fill=9, engine="cuda")
        assert torch.equal(result, expected), ignored
