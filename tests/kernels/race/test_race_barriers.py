"""Is every barrier of the kernels needed, and does the detector report when it is gone?

Barriers are found by scanning the sources, so a new one is tried without another line here.
"""

import re
import shutil

import numpy as np
import pytest
import torch
from race import build, calls
from race.launcher import RaceLauncher

from inner_distance_gpu import balanced_weights

BARRIER = re.compile(r"__sync(threads|warp)\(\);")
# One instance of each kernel that has barriers is enough, since templates share their text.
INSTANCES = {
    "scan.cu": ["half_grid::scan<unsigned char, half_grid::Square>"],
    "plane.cu": ["half_grid::plane<unsigned char, false>"],
    "pairs.cu": ["half_grid::pairs"],
    "weights.cu": [f"half_grid::{name}" for name in ("count", "settle", "weigh")],
}


def barriers():
    """File, number and line of each barrier."""
    for path in sorted((build.KERNELS / "cuda").iterdir()):
        text = path.read_text()
        for number, found in enumerate(BARRIER.finditer(text)):
            line = text[: found.start()].count("\n") + 1
            yield pytest.param(path.name, number, id=f"{path.name}:{line}")


@pytest.mark.parametrize(("file", "number"), list(barriers()))
def test_a_barrier_that_is_gone_is_reported(file, number, tmp_path, under_detector):
    copy = tmp_path / "kernels"
    shutil.copytree(build.KERNELS, copy)
    path = copy / "cuda" / file
    text = path.read_text()
    found = list(BARRIER.finditer(text))[number]
    path.write_text(text[: found.start()] + text[found.end() :])
    changed = build.kernels_of(file, copy, INSTANCES[file], tmp_path)
    launcher = under_detector(RaceLauncher(kernels=lambda name: changed if name == file else build.shipped(name)))
    labels = calls.labelled((2, 70, 18, 36), torch.uint8, np.random.default_rng(0))  # read four at a time
    if file == "weights.cu":
        launcher.grid = 1
        labels, slab = labels[:, :8], (1, 1, -1, -1)
        balanced_weights(labels, 4, mask=labels > 0, slab=slab, engine="cuda")
    else:
        stored, keywords = 1 if file == "plane.cu" else "square", {"scale": 3, "weights": False}
        call = calls.Call(labels, None, (1, 1, 1), keywords, "cuda", stored, 48 << 10, grid=1)
        calls.run_kernels(call, launcher)
    races = [finding for finding in launcher.findings if finding.kind == "race"]
    assert races, launcher.findings
    assert all(file.split(".")[0] in line for finding in races for line in finding.lines)
