"""Writes inner_distance_gpu/engines/cuda/known_answers.npz: `python tests/record_known_answers.py`.

The expected bits are what the kernels give on a host, from the sources as they are. Run it after a change that is
meant to change bits, and say in the commit which.
"""

import numpy as np
import torch
from host_launcher import HostLauncher

from inner_distance_gpu.engines.cuda import launcher, self_test
from inner_distance_gpu.engines.cuda import run as cuda

SHAPE = (2, 38, 13, 37)  # several segments along z, bands along y and words along x, all of them ragged


def inputs():
    """Blobs of three ids above a wide one with a few holes; a volume without a site; a mask of zeros and halves."""
    generator = np.random.default_rng(2024)
    coarse = generator.random((7, 4, 7)) * 3 + 0.6
    labels = np.ones(SHAPE, np.uint8)
    labels[0] = coarse.repeat(6, 0).repeat(4, 1).repeat(6, 2)[: SHAPE[1], : SHAPE[2], : SHAPE[3]]
    labels[0, 20:] = 2
    labels[0][generator.random(SHAPE[1:]) < 0.001] = 0
    mask = (generator.integers(0, 4, (1, *SHAPE[1:])) / 2).astype(np.float32)
    return labels, np.broadcast_to(mask, SHAPE).copy()


def record(labels, mask):
    """The arrays of the file by name."""
    arrays = {"labels": labels, "mask": mask}
    for case in self_test.CASES:
        for result in self_test.compute(case, labels, mask, torch.device("cpu"), cuda.start):
            arrays[f"{case.name}/{result.name}"] = result.values
    return arrays


if __name__ == "__main__":
    launcher.launcher = HostLauncher()
    with open(str(self_test.FILE), "wb") as file:
        np.savez_compressed(file, **record(*inputs()))
