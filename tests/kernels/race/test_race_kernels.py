"""Do the kernels that ship race, leave their memory, or read what nobody wrote, on any of their ways?"""

import os

import numpy as np
import pytest
import torch
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
    for call in [*calls.every_way(), *calls.every_way_doubled(), *calls.every_way_of_classes()]:
        calls.run(call, launcher)
    calls.weights(launcher)
    calls.weights_of_classes(launcher)
    missing = [f"{kernel.name}: {path}" for kernel, path in paths.required() if not launcher.launches[kernel, path]]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("weights", [False, True])
def test_labels_are_read_once_for_all_classes(launcher, weights):
    """Neither launches nor bytes of labels grow with the classes, with a mask either."""
    labels = calls.labelled((2, 9, 10, 36), calls.INTEGERS[2], np.random.default_rng(5))
    seen = set()
    for count in (1, 7, 48):
        launcher.launches.clear()
        launcher.label_bytes.clear()
        keywords = {"scale": 3, "classes": [(1, 2)] * count, "weights": weights}
        mask = torch.ones(labels.shape) if weights else None
        calls.run_kernels(calls.Call(labels, mask, (1, 1, 1), keywords, "cuda", None, 48 << 10), launcher)
        total = sum(launched for (_, path), launched in launcher.launches.items() if path == paths.ANY)
        seen.add((total, *sorted(launcher.label_bytes.items())))
    ((launches, *of_kernels),) = seen
    assert launches == (5 if weights else 3)
    # The 28 lanes beyond the end of a row of 36 voxels read its last one.
    assert {name: size for name, size in of_kernels if size} == {"classify": 2 * 9 * 10 * 64 * 2}


def test_random_calls(launcher):
    generator = np.random.default_rng(SEED)
    for _ in range(RANDOM_CALLS):
        calls.run(calls.random_call(generator), launcher)
