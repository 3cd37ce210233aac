"""Do the kernels that ship race, leave their memory, or read what nobody wrote, on any of their ways?"""

import os

import numpy as np
import pytest
from race import calls, paths
from race.launcher import RaceLauncher

# By hand: RACE_CALLS as many random calls as there is time for, RACE_SEED for others, RACE_REPORT a file for the table.
RANDOM_CALLS = int(os.environ.get("RACE_CALLS", "40"))
SEED = int(os.environ.get("RACE_SEED", "0"))
REPORT = os.environ.get("RACE_REPORT")


@pytest.fixture
def launcher(under_detector, request):
    """A launcher that has found nothing when the test ends."""
    started = under_detector(RaceLauncher())
    yield started
    if REPORT:
        with open(REPORT, "a") as file:
            file.write(f"\n## {request.node.name}\n\n{paths.table(started)}\n")
    assert not started.findings, "\n".join(map(str, started.findings))


def test_every_way_through_every_kernel(launcher):
    for call in [*calls.every_way(), *calls.every_way_doubled()]:
        calls.run(call, launcher)
    calls.weights(launcher)
    missing = [f"{kernel.name}: {path}" for kernel, path in paths.required() if not launcher.launches[kernel, path]]
    assert not missing, "\n".join(missing)


def test_random_calls(launcher):
    generator = np.random.default_rng(SEED)
    for _ in range(RANDOM_CALLS):
        calls.run(calls.random_call(generator), launcher)
