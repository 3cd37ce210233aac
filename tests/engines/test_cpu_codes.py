"""Are targets from squares of 16 bits the same bits as those from floats, however far the codes of squares reach?"""

import numpy as np
import pytest

from inner_distance_gpu import engines
from inner_distance_gpu.engines import cpu, native
from inner_distance_gpu.parameters import TargetParameters

pytestmark = pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"]))


def on(level, labels, parameters, always_float=False):
    out = np.full(labels.shape, np.nan, np.float32)
    task, element = cpu._task(parameters, level, always_float), native.element_format(labels.dtype, None)
    native.module.targets(task, labels, element, out, 1)
    return out


def agree(labels, parameters):
    """Whether every level returns what floats do; returns that."""
    expected = on("auto", labels, parameters, always_float=True)
    assert all(on(level, labels, parameters).tobytes() == expected.tobytes() for level in native.module.levels())
    return expected


def planes(shape, seed):
    """Few faces along every long axis, so that distances of all lengths occur, up to where targets saturate."""
    rng = np.random.default_rng(seed)
    cuts = [np.sort(rng.integers(0, n, (n > 9) + n // 150)) for n in shape]
    places = np.meshgrid(
        *(np.searchsorted(cut, np.arange(n)) for cut, n in zip(cuts, shape, strict=True)), indexing="ij"
    )
    labels = 1 + sum(2**axis * (place % 2) for axis, place in enumerate(places))
    labels[tuple(rng.integers(0, n, 2) for n in shape)] = 0
    return labels.astype(np.uint8)


# One remainder modulo 4; all four modulo 16; two modulo 4; one long voxel along each axis; no codes that reach so far.
@pytest.mark.parametrize(
    ("voxel_size", "scales"),
    [
        ((8.0, 8.0, 8.0), (100.0, 150.0, 200.0, 210.0)),
        ((40.0, 32.0, 32.0), (50.0, 120.0, 200.0)),
        ((16.0, 8.0, 8.0), (114.0, 150.0)),
        ((8.0, 16.0, 8.0), (110.0, 150.0)),
        ((8.0, 8.0, 16.0), (110.0, 150.0)),
        ((20.0, 8.0, 16.0), (70.0,)),
        ((8.0, 8.0, 40.0), (150.0, 190.0, 208.0)),
        ((1000.0, 8.0, 8.0), (3.0, 100.0)),
        ((8.0, 1000.0, 8.0), (3.0, 100.0)),
        ((8.0, 8.0, 1000.0), (3.0, 100.0)),
        ((8.0, 2048.0, 8.0), (3.0,)),
    ],
)
@pytest.mark.parametrize("background", ["zero", "signed"])
def test_codes_and_floats(voxel_size, scales, background):
    for scale in scales:
        parameters = TargetParameters.checked(voxel_size, scale, background, "extent", None, 0.5)
        for seed, shape in enumerate([(3, 40, 260), (3, 260, 40), (90, 34, 35), (1, 130, 150)]):
            target = agree(planes(shape, seed), parameters)
            assert len(np.unique(target)) > 3


def test_codes_of_images():
    for voxel_size in ((8.0, 8.0), (32.0, 32.0), (32.0, 40.0)):
        parameters = TargetParameters.checked(voxel_size, 160, "zero", "extent", None, 0.5)
        agree(planes((200, 300), 5), parameters)
