"""Does index arithmetic of engine `cpu` hold beyond 2³¹ and 2³² without the memory?"""

import mmap
import sys

import numpy as np
import pytest

from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance
from inner_distance_gpu.engines import Arrays, cpu
from inner_distance_gpu.parameters import TargetParameters, Task

pytestmark = [
    pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"])),
    pytest.mark.skipif(sys.platform != "linux", reason="reserves address space as Linux does"),
]
SHAPE = (2, 3, 4, 5)


def spread(dtype, bytes_apart=(2**35, 2**33 + 2**16, 2**31 + 2**12, 2**29 + 8)):
    """An array whose elements lie gigabytes apart, in address space that is reserved and hardly touched."""
    size = sum(step * (n - 1) for step, n in zip(bytes_apart, SHAPE, strict=True)) + 64
    no_reserve = getattr(mmap, "MAP_NORESERVE", 0x4000)  # named from Python 3.13 on
    space = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | no_reserve)
    return np.ndarray(SHAPE, dtype, space, strides=bytes_apart)


@pytest.mark.parametrize("dtype", ["u1", "i8", ">f4"])
def test_strides_of_gigabytes(dtype):
    values = np.random.default_rng(0).integers(0, 3, SHAPE)
    labels, out, mask = spread(dtype), spread(np.float32), spread(np.float32)
    labels[...] = values
    mask[...] = values + 0.5
    for background in ("zero", "times_label"):
        keywords = {"scale": 5, "background": background, "engine": "cpu"}
        result = inner_distance(labels, (1, 2, 3), out=out, **keywords)
        np.testing.assert_array_equal(result, inner_distance(values, (1, 2, 3), **keywords))
    _, weight = InnerDistanceTransform((1, 2, 3), 5, engine="cpu")(labels, mask)
    _, expected = InnerDistanceTransform((1, 2, 3), 5, engine="cpu")(values, values + np.float32(0.5))
    np.testing.assert_array_equal(weight, expected)


def test_more_voxels_than_32_bits_count():
    """4.4 thousand million voxels through one call, all in one plane of memory."""
    plane = np.zeros((1024, 1024), np.uint8)
    volumes = 4200
    labels = np.broadcast_to(plane, (volumes, *plane.shape))
    out = np.lib.stride_tricks.as_strided(np.full(plane.shape, 7, np.float32), labels.shape, (0, 4096, 4))
    parameters = TargetParameters.checked((1, 1), 10, "zero", "extent", None, 0)
    cpu.run(Task(parameters), Arrays(labels, None, out, None), 1)
    assert labels.size > 2**32
    assert (out[-1] == 0).all()
