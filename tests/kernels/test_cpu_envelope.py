"""Does the lower envelope return what a search through every sample would, to the last bit?

Compiled by itself, so that samples can be chosen that hardly any labels have: parabolas that cross right at a voxel,
where float32 may find lower what exact numbers find higher.
"""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

TESTS = Path(__file__).parents[1]
NONE = np.float32(np.inf)


@pytest.fixture(scope="module")
def envelope(tmp_path_factory):
    """(whole, half or None, square of half a step, vouched, best) -> best."""
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to compile the envelope")
    built = tmp_path_factory.mktemp("envelope") / "envelope.so"
    flags = [
        "-std=c++17",
        "-O2",
        "-ffp-contract=off",
        "-shared",
        "-fPIC",
        *(f"-I{TESTS.parent / 'kernels' / part}" for part in ("", "cpu")),
    ]
    subprocess.run([compiler, *flags, "-o", built, TESTS / "host_envelope.cpp"], check=True)
    function = ctypes.CDLL(str(built)).envelope
    pointer = np.ctypeslib.ndpointer(np.float32, flags="C")
    function.argtypes = [pointer, ctypes.c_void_p, ctypes.c_longlong, ctypes.c_float, ctypes.c_float, pointer]
    function.restype = None

    def run(whole, half, square, vouched, best):
        result = best.copy()
        function(whole, None if half is None else half.ctypes.data, len(whole), square, vouched, result)
        return result

    return run


def least(whole, half, square):
    """The least of sample + way² · square over all samples, each step rounded to float32 as the kernels do."""
    samples, positions = whole, 2 * np.arange(len(whole))
    if half is not None:
        samples, positions = np.concatenate([whole, half]), np.concatenate([positions, positions + 1])
    way = np.abs(2 * np.arange(len(whole))[:, None] - positions).astype(np.float32)
    return (samples + way * way * np.float32(square)).min(axis=1)


def assert_least(envelope, whole, half, square):
    best = np.full(len(whole), 3e38, np.float32)
    np.testing.assert_array_equal(envelope(whole, half, square, 0.0, best), least(whole, half, square))


@settings(max_examples=300, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(2, 300), square=st.sampled_from([1.0, 1.3357, 0.7, 25.0]))
def test_random_samples(envelope, seed, rows, square):
    rng = np.random.default_rng(seed)
    whole, half = (np.float32(rng.integers(0, 40, rows) ** 2 * rng.choice([1.0, 1.69, 900.0])) for _ in range(2))
    for samples in (whole, half):
        samples[rng.random(rows) < rng.choice([0.0, 0.9])] = NONE
    whole[0] = 7  # at least one
    for other in (half, None):
        assert_least(envelope, whole, other, square)


def test_crossings_right_at_a_voxel(envelope):
    """Two parabolas that are the same there but for a bit: the lower one of the two is the one that float32 says."""
    rng, otherwise = np.random.default_rng(0), 0
    for _ in range(3000):
        rows, square = 200, np.float32(rng.choice([1.3357, 0.7, 3.1]))
        near, far = np.sort(rng.choice(100, 2, replace=False))[::-1]
        meet = int(rng.integers(110, rows))
        ways = np.float32([(2 * (meet - place)) ** 2 for place in (near, far)])
        samples = np.float32([0, rng.integers(1000)])
        samples[0] = (samples[1] + ways[1] * square) - ways[0] * square
        samples[0] += rng.integers(-1, 2) * np.spacing(samples[0])
        exact = samples.astype(np.float64) + ways.astype(np.float64) * float(square)
        rounded = samples + ways * square
        otherwise += (exact[0] - exact[1]) * float(rounded[0] - rounded[1]) < 0
        whole = np.full(rows, NONE)
        whole[[near, far]] = samples
        assert_least(envelope, whole, None, float(square))
        assert_least(envelope, whole[::-1].copy(), None, float(square))
    assert otherwise > 10  # where exact numbers would have taken the other one


def test_what_the_search_vouched_for_is_left_alone(envelope):
    whole, best = np.full(9, NONE), np.full(9, 50.0, np.float32)
    whole[4] = 1
    expected = least(whole, None, 1.0)
    np.testing.assert_array_equal(envelope(whole, None, 1.0, 50.0, best), best)
    np.testing.assert_array_equal(envelope(whole, None, 1.0, 49.0, best), np.minimum(expected, best))
    best[3] = NONE  # an idle lane
    assert envelope(whole, None, 1.0, 49.0, best)[3] == NONE
    np.testing.assert_array_equal(envelope(np.full(9, NONE), None, 1.0, 0.0, best), best)  # no sample at all
