"""Is a target exact where sites are far away, and has it the same bits on every SIMD level?

Lines are long enough for the search of lines.hpp: for its first window, for what lies beyond, and for the envelope.
"""

import numpy as np
import pytest

from inner_distance_gpu import engines, inner_distance
from inner_distance_gpu.engines import cpu, native
from inner_distance_gpu.parameters import TargetParameters

pytestmark = pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"]))


def cells(seed, shape, points):
    """Every voxel has the label of the nearest of some random points; 0 is background, 7 is nowhere else."""
    rng = np.random.default_rng(seed)
    places = rng.random((points, len(shape))) * shape
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)[..., None, :]
    labels = np.argmin(((grid - places) ** 2).sum(-1), -1) % 7
    labels.flat[rng.integers(labels.size, size=3)] = 7
    return labels.astype(np.uint8)


def on(level, labels, parameters):
    out = np.full(labels.shape, np.nan, np.float32)
    element = native.element_format(labels.dtype, parameters.ignore_label)
    native.module.targets(cpu._task(parameters, level), labels, element, out, 1)
    return out


@pytest.mark.parametrize("voxel_size", [(8.0, 8.0, 8.0), (40.0, 4.0, 4.0), (5.24, 4.0, 4.1)])
@pytest.mark.parametrize("background", ["zero", "signed"])
@pytest.mark.parametrize("scale", [None, 1e4])
@pytest.mark.parametrize(
    ("shape", "points"), [((3, 150, 61), 3), ((2, 45, 420), 2), ((2, 420, 45), 9), ((1, 700, 35), 2)]
)
def test_far_sites(voxel_size, background, scale, shape, points):
    labels = cells(points, shape, points)
    for ignored in (None, 7):
        keywords = {"scale": scale, "background": background, "ignore_label": ignored}
        expected = inner_distance(labels, voxel_size, engine="reference", **keywords)
        parameters = TargetParameters.checked(voxel_size, scale, background, "extent", ignored, 0)
        results = [on(level, labels, parameters) for level in native.module.levels()]
        np.testing.assert_allclose(results[0], expected, rtol=3e-7, atol=1e-12)
        assert all(result.tobytes() == results[0].tobytes() for result in results)


@pytest.mark.parametrize("ignored", [None, 7])
@pytest.mark.parametrize("scale", [2.0, 9.0, 40.0])
def test_saturated_targets_and_equal_neighbours(scale, ignored):
    """Flat faces make pairs of equal columns; short reaches leave voxels that see no site."""
    labels = np.kron(np.random.default_rng(3).integers(0, 4, (2, 3, 4)), np.ones((8, 17, 23))).astype(np.uint8)
    labels[::5, ::7, ::11] = 7
    for voxel_size in ((8.0, 8.0, 8.0), (5.24, 4.0, 4.1), (1.0, 4.0, 4.0)):
        keywords = {"scale": scale, "ignore_label": ignored}
        result = inner_distance(labels, voxel_size, engine="cpu", **keywords)
        expected = inner_distance(labels, voxel_size, engine="reference", **keywords)
        np.testing.assert_allclose(result, expected, rtol=3e-7, atol=1e-12)


@pytest.mark.parametrize("voxel_size", [(8.0, 8.0), (5.24, 4.1)])
def test_a_disc_whose_samples_all_tie(voxel_size):
    """At its middle every chunk of every line may be the best one, along both axes and beyond the first window."""
    y, x = np.mgrid[:330, :700]
    labels = ((x - 350) ** 2 + (2 * y - 330) ** 2 < 320**2).astype(np.uint8)
    expected = inner_distance(labels, voxel_size, engine="reference")
    parameters = TargetParameters.checked(voxel_size, None, "zero", "extent", None, 0)
    results = [on(level, labels, parameters) for level in native.module.levels()]
    np.testing.assert_allclose(results[0], expected, rtol=3e-7)
    assert all(result.tobytes() == results[0].tobytes() for result in results)


@pytest.mark.parametrize("shape", [(40, 420, 2), (1, 40, 420)])
@pytest.mark.parametrize("flipped", [False, True])
def test_a_slanted_face_at_the_other_end(shape, flipped):
    """Chunk after chunk improves the last outputs, and the best one is farther away than the search goes."""
    first, second = (i for i, n in enumerate(shape) if n >= 40)
    grid = np.indices(shape)
    labels = (1 + (3 * grid[first] > grid[second])).astype(np.uint8)
    labels = np.flip(labels) if flipped else labels
    voxel_size = tuple(12.0 if i == first else 1.0 for i in range(3))
    expected = inner_distance(labels, voxel_size, engine="reference")
    parameters = TargetParameters.checked(voxel_size, None, "zero", "extent", None, 0)
    for level in native.module.levels():
        np.testing.assert_allclose(on(level, labels, parameters), expected, rtol=3e-7)


def test_samples_that_were_never_written():
    """The first chunk of every line is background, so memory there holds what it held: labels, here like -1e6."""
    y, x = np.mgrid[:48, :184]
    label = np.float32(-1e6).view(np.int32)
    labels = np.where((x - 68) ** 2 + y**2 < 44**2, label, 0).astype(np.int32)
    expected = inner_distance(labels, (4.0, 4.0), engine="reference")
    parameters = TargetParameters.checked((4.0, 4.0), None, "zero", "extent", None, 0)
    for level in native.module.levels():
        np.testing.assert_allclose(on(level, labels, parameters), expected, rtol=3e-7)
