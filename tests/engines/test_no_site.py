"""Is the target of a volume without a site one value, bit for bit, on every engine?"""

import numpy as np
import pytest
from host_launcher import HostLauncher

from inner_distance_gpu import inner_distance

VOXEL_SIZES = ((1, 1, 1), (4, 4, 4), (40, 4, 4), (1e-9, 2.5e-9, 1e-9), (3.7, 1, 29.3))
SHAPES = ((2, 2, 2), (1, 5, 9), (3, 1, 33))


@pytest.fixture(params=["cpu", "cuda", "cucim"])
def engine(request, on_host):
    on_host(HostLauncher())
    return request.param


def test_a_case_that_float32_decides_otherwise(engine):
    result = inner_distance(np.ones((2, 2, 2), np.uint8), (1, 1, 1), scale=3, engine=engine)
    assert set(result.ravel().tolist()) == {np.float32(np.tanh(1 / 3)).item()}


@pytest.mark.parametrize("voxel_size", VOXEL_SIZES)
def test_the_bits_are_those_of_the_reference(engine, voxel_size):
    generator = np.random.default_rng(5)
    for shape in SHAPES:
        labels = np.ones(shape, np.uint8)
        extent = min(n * size for n, size in zip(shape, voxel_size, strict=True))
        for argument in (*generator.uniform(0.01, 10, 60), 9.0109, 9.02, 9.03, 1e-6):
            keywords = {"scale": extent / 2 / argument, "background": "signed"}
            expected = inner_distance(labels, voxel_size, engine="reference", **keywords)
            result = inner_distance(labels, voxel_size, engine=engine, **keywords)
            np.testing.assert_array_equal(result, expected, err_msg=f"{shape}, tanh({argument})")
