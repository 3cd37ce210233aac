"""Can each part of the race detector fail? Small kernels with one fault each (planted.cu) must be reported."""

import ctypes

import pytest
import torch
from cuda_records import Weighing
from race import build

THREADS = 64
PLANTED = {
    "sound": set(),
    "read_beyond": {"read out of bounds"},
    "write_before": {"write out of bounds"},
    "read_between": {"read out of bounds"},
    "beyond_shared": {"write out of bounds"},
    "misaligned": {"misaligned access"},
    "uninitialised": {"uninitialised read"},
    "writes_input": {"write to an input"},
    "divided_barrier": {"barriers at different lines"},
    "left_waiting": {"threads wait for ever"},
    "blocks_race": {"race"},
    "atomic_race": {"race", "uninitialised read"},
    "ballot_race": {"race"},
    "far_shift": {"shift out of range"},
}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    names = [f"half_grid::{name}" for name in PLANTED]
    return build.Kernels(build.RACE / "planted.cu", names, "Weighing", tmp_path_factory.mktemp("planted"))


def array(runtime, name, tensor, writable, content, count, step):
    """Tell the runtime of `count` elements of a tensor, `step` bytes apart."""
    runtime.race_region(name.encode(), writable)
    one = ctypes.c_int64 * 1
    runtime.race_array(tensor.data_ptr(), 1, one(count), one(step), tensor.element_size(), content)


@pytest.mark.parametrize("name", PLANTED)
def test_planted(planted, name):
    runtime = build.runtime()
    labels, weights = torch.ones(THREADS, dtype=torch.int32), torch.empty(THREADS + 2)
    mask = torch.zeros(2 * THREADS, dtype=torch.uint8)
    record = Weighing(labels=labels.data_ptr(), mask=mask.data_ptr(), weights=weights[1:].data_ptr())
    runtime.race_begin()
    array(runtime, "labels", labels, False, 1, THREADS, 4)
    array(runtime, "mask", mask, False, 1, THREADS, 2)
    array(runtime, "weights", weights[1:], True, 2, THREADS, 4)
    kernel = getattr(planted.loaded, planted.symbols[f"half_grid::{name}"])
    block, blocks = (ctypes.c_uint32 * 3)(THREADS, 1, 1), 2 if name == "blocks_race" else 1
    arguments = (ctypes.byref(record), ctypes.byref(planted.module), blocks, block, 4 * THREADS, 0)
    ended = runtime.race_run(kernel, *arguments)
    found = {line.split("\t")[0] for line in runtime.race_findings().decode().splitlines()}
    found |= set() if ended else {"threads wait for ever"}
    assert found == PLANTED[name]
