"""Is what cuCIM's 32-bit indices do not hold refused before anything runs, and what they hold computed?"""

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher

from inner_distance_gpu import InnerDistanceTransform, inner_distance
from inner_distance_gpu.engines import cucim

PADDED = 32  # cuCIM's kernels work in blocks of that many points


@pytest.fixture
def launcher(on_host):
    return on_host(HostLauncher())


@pytest.mark.parametrize(("axes", "most"), [(3, 640), (2, 23168), (1, 23168)])
def test_the_largest_axis_is_the_last_whose_padded_grid_has_32_bit_indices(axes, most):
    assert cucim.largest_axis(axes) == most
    for n, fits in ((most, True), (most + 1, False)):
        extent = -(-(2 * n - 1) // PADDED) * PADDED
        assert (extent ** max(axes, 2) < 2**31) == fits


@pytest.mark.no_kernel
@pytest.mark.parametrize(
    ("shape", "voxel_size"),
    [((641, 2, 2), (1, 1, 1)), ((3, 2, 641, 2), (4, 4, 4)), ((2, 23169), (1, 1)), ((1, 1, 23169), (1, 1, 1))],
)
def test_larger_volumes_are_refused_before_anything_runs(launcher, shape, voxel_size):
    labels = torch.zeros(shape, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"engine='cucim'.*axis of (641|23169) voxels.*up to (640|23168) .*'cuda'"):
        inner_distance(labels, voxel_size, engine="cucim")
    transform = InnerDistanceTransform(voxel_size, 5, engine="cucim")
    with pytest.raises(ValueError, match="engine='cucim'"):
        transform(labels)
    assert transform.counts.to_dicts() == [{0: (0, 1.0), 1: (0, 1.0)}]
    assert launcher.launches == []


@pytest.mark.parametrize("shape", [(640, 2, 2), (1, 641, 2)])
def test_what_fits_is_computed(launcher, shape):
    labels = (np.arange(np.prod(shape)).reshape(shape) // 300 % 2).astype(np.uint8)
    keywords = {"voxel_size": (1, 2, 1), "scale": 20}
    result = inner_distance(labels, engine="cucim", **keywords)
    np.testing.assert_allclose(result, inner_distance(labels, engine="reference", **keywords), atol=1e-6)
