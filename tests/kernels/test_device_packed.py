"""Do packed squares, labels read four at a time, and chunks that are left out give the bits of the float kernel?

Sums of packed squares that do not fit 16 bits stop the process: the launch shim looks.
"""

import numpy as np
import pytest
import torch
from device_calls import blobs, packed_calls, views
from host_launcher import HostLauncher
from hypothesis import HealthCheck, given, settings
from oracle import assert_target

from inner_distance_gpu import InnerDistanceTransform, inner_distance

LAUNCHERS = {
    "as chosen": {},
    "one block of one warp": {"grid": 1, "block": 32},
    "backwards": {"grid": 3, "block": 64, "order": 1},
    "warps ahead": {"grid": 2, "block": 64, "order": 2},
    "columns in device memory": {"shared_bytes": 5888, "grid": 2},
}


@pytest.fixture(params=LAUNCHERS.values(), ids=LAUNCHERS.keys())
def launcher(request, on_host):
    return on_host(HostLauncher(**request.param))


def kernels_of(launcher):
    names = [launch.kernel.name.removeprefix("half_grid::").split("<")[0] for launch in launcher.launches]
    launcher.launches.clear()
    launcher.records.clear()
    return names


def both(launcher, labels, voxel_size, **keywords):
    """The target by packed squares, and by floats."""
    packed = inner_distance(labels, voxel_size, engine="cuda", **keywords)
    assert kernels_of(launcher) == ["scan", "pairs"]
    launcher.other_limits = {"packs": False}
    floats = inner_distance(labels, voxel_size, engine="cuda", **keywords)
    launcher.other_limits = {}
    assert kernels_of(launcher) == ["scan", "plane"]
    return packed, floats


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(packed_calls())
def test_bits_are_those_of_floats(launcher, call):
    labels, voxel_size, keywords = call
    packed, floats = both(launcher, labels, voxel_size, **keywords)
    np.testing.assert_array_equal(packed, floats)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("background", ["zero", "signed"])
def test_the_longest_ways(default, axis, background):
    """One voxel of background at the end of a full volume as deep as the reach: 125 voxels at the largest scale."""
    shape = [3, 5, 4]
    shape[axis] = 140
    labels = np.ones(shape, np.uint8)
    labels[0, 0, 0] = 0
    for scale in (14.1, 13.0, 7.0):
        packed, floats = both(default, labels, (1, 1, 1), scale=scale, background=background)
        np.testing.assert_array_equal(packed, floats)
        expected = inner_distance(labels, (1, 1, 1), scale=scale, background=background, engine="reference")
        assert_target(packed, expected, scale=scale)
    assert (packed == 1).any()  # beyond the reach of the last


def test_only_what_fits_is_packed(default):
    labels = blobs((4, 9, 12), 0, 0.5, 1)
    for voxel_size, scale, kernel in (
        ((1, 1, 1), 14.1, "pairs"),  # 65,4xx squared half voxels
        ((1, 1, 1), 14.2, "plane"),
        ((1, 1, 1), None, "plane"),
        ((5.24, 4, 4.1), 5, "plane"),  # no common unit
        ((1, 1, 300), 1, "pairs"),  # a square beyond any cap along x
    ):
        result = inner_distance(labels, voxel_size, scale=scale, engine="cuda")
        assert kernels_of(default) == ["scan", kernel], (voxel_size, scale)
        assert_target(result, inner_distance(labels, voxel_size, scale=scale, engine="reference"), scale=scale)


def test_rows_that_shared_memory_does_not_hold_are_searched_in_floats(on_host):
    launcher = on_host(HostLauncher(shared_bytes=8 << 10))
    labels = blobs((2, 9, 200), 0, 0.5, 2)
    result = inner_distance(labels, (1, 1, 1), scale=5, engine="cuda")
    assert kernels_of(launcher) == ["scan", "plane"]
    assert_target(result, inner_distance(labels, (1, 1, 1), scale=5, engine="reference"), scale=5)


@pytest.mark.parametrize(("name", "labels"), list(views()))
def test_layouts(launcher, name, labels):
    packed, floats = both(launcher, labels, (2, 1, 1), scale=4, background="signed")
    torch.testing.assert_close(packed, floats, rtol=0, atol=0)
    expected = inner_distance(labels.contiguous(), (2, 1, 1), scale=4, background="signed", engine="reference")
    assert_target(packed, expected.numpy(), scale=4)


def test_out_that_two_floats_do_not_fit(default):
    labels = torch.from_numpy(blobs((9, 10, 21), 0, 0.5, 1))
    expected = inner_distance(labels, (1, 1, 1), scale=3, engine="reference")
    memory = torch.full((9, 10, 60), 7.0)
    for out in (memory[..., 1:22], memory[..., ::2][..., :21], memory[..., 2:23]):
        memory.fill_(7)
        assert inner_distance(labels, (1, 1, 1), scale=3, engine="cuda", out=out) is out
        assert_target(out, expected.numpy(), scale=3)
        assert (memory == 7).sum() == memory.numel() - labels.numel()  # nothing was written beside it


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("border", ["keep", "mask"])
@pytest.mark.parametrize("slabs", [1, 3])
def test_weights_and_counts(launcher, masked, border, slabs):
    labels = torch.from_numpy(blobs((2, 3, 33, 11, 40), 0, 0.3, 2))
    labels[0, 1] = 0  # a volume without a site
    mask = torch.rand(2, 3, 33, 11, 40) if masked else None
    found = {}
    for engine in ("reference", "cuda"):
        transform = InnerDistanceTransform((4, 1, 1), 3, channels=slabs, border=border, engine=engine)
        for _ in range(2):
            found[engine] = (*transform(labels, mask), transform.counts)
    (target, weight, counts), (same_target, same_weight, same) = found.values()
    assert "pairs" in kernels_of(launcher)
    assert_target(same_target, target.numpy(), scale=3)
    torch.testing.assert_close(same_weight, weight, rtol=1e-6, atol=0)
    assert torch.equal(same.numerators, counts.numerators)
    torch.testing.assert_close(same.denominators, counts.denominators, rtol=1e-12, atol=0)


def test_empty_space_is_not_swept(default):
    """The chunks around one object, and bytes that say "none" everywhere else."""
    labels = np.zeros((64, 16, 96), np.uint8)
    labels[20:28, 5:7, 40:50] = 1
    packed, floats = both(default, labels, (1, 1, 1), scale=5)
    np.testing.assert_array_equal(packed, floats)
    assert_target(packed, inner_distance(labels, (1, 1, 1), scale=5, engine="reference"), scale=5)


def against_reference(launcher, labels, **keywords):
    packed, floats = both(launcher, labels, (1, 1, 1), scale=5, **keywords)
    np.testing.assert_array_equal(packed, floats)
    expected = inner_distance(labels, (1, 1, 1), scale=5, engine="reference", **keywords)
    assert_target(packed, expected, scale=5)
    return expected


def test_labels_that_differ_in_the_highest_bit(default):
    labels = np.random.default_rng(0).choice(np.uint8([0, 1, 128, 129]), (9, 10, 32))
    against_reference(default, labels)


def test_empty_space_across_unannotated_voxels_is_swept(default):
    """The nearest site lies below a chunk without a face, and an unannotated plane hides that the chunk is outside."""
    labels = np.ones((64, 4, 64), np.uint8)
    labels[:33, :, 32:] = 0
    labels[:, :, 31] = 2
    expected = against_reference(default, labels, ignore_label=2)
    assert expected[31, 2, 30] == np.float32(np.tanh(2.5 / 5))  # 1.5 voxels down and 2 across


def test_a_full_chunk_of_one_row_is_swept(default):
    labels = np.ones((48, 5, 40), np.uint8)
    labels[36:] = 0
    expected = against_reference(default, labels)
    assert expected[31, 4, 7] == np.float32(np.tanh(4.5 / 5))
