"""Are scratch and machine code chosen within what a device has and loads?"""

import pytest
import torch

from inner_distance_gpu.engines.cuda import compiler, plans
from inner_distance_gpu.engines.cuda.launcher import Limits
from inner_distance_gpu.parameters import TargetParameters, Task


def planned(shape, limits):
    """The launches of a call on labels of one byte, and the pieces of scratch in order: (name, offset, bytes)."""
    steps = (shape[1] * shape[2], shape[2], 1)
    parameters = TargetParameters.checked((1, 1.01, 1), 9, "zero", "extent", None, 0.0)
    labels, target = ((torch.Size(shape), steps, dtype) for dtype in (torch.uint8, torch.float32))
    found = plans.prepare(labels, None, target, Task(parameters), limits)
    return *found.launches, found.plan.pieces


@pytest.mark.parametrize("shape", [(1, 600, 1_000_000), (600, 1, 5_000_000)])
def test_scratch_of_long_rows_is_bounded_by_that_of_the_volumes(shape):
    """528 blocks would take 17 GB and 84 GB. What blocks need of long columns is never more than the columns' scans."""
    _, plane, pieces = planned(shape, Limits(132, 227 << 10))
    name, at, rows = pieces[-1]
    assert name == "rows"
    assert 1 <= plane.grid <= 4 * 132
    assert plane.grid * 32 * shape[2] == rows <= max(1 << 28, at)


def test_one_block_is_always_there():
    scan, plane, _ = planned((1, 1, 2**30), Limits(132, 0))
    assert (scan.grid, plane.grid) == (4 * 132, 1)


@pytest.mark.parametrize(
    ("capability", "target"),
    [((9, 0), "sm_90"), ((8, 6), "sm_80"), ((12, 1), "compute_100"), ((7, 5), "sm_75"), ((10, 3), "sm_100")],
)
def test_the_nearest_architecture_is_taken(capability, target):
    assert compiler.target_for(capability, (75, 80, 90, 100)) == target


@pytest.mark.parametrize(
    ("capability", "target"),
    [
        ((10, 3), "sm_100"),  # 10.1 is embedded: its machine code does not load on 10.3
        ((10, 1), "sm_101"),
        ((8, 9), "sm_86"),
        ((8, 8), "compute_86"),  # embedded, as 8.7 is, but another one
        ((8, 7), "sm_87"),
        ((11, 0), "compute_100"),
        ((12, 1), "sm_120"),
        ((13, 0), "compute_120"),
    ],
)
def test_machine_code_stays_on_its_side_of_embedded_and_discrete(capability, target):
    assert compiler.target_for(capability, (72, 75, 80, 86, 87, 90, 100, 101, 120)) == target


def test_devices_too_old_for_the_compiler_are_named():
    with pytest.raises(compiler.CompileError, match=r"7\.5 and above, the device has 7\.0; install a torch and a CuPy"):
        compiler.target_for((7, 0), (75, 80))
