"""Label volumes that are hard to compute block by block, each in its own way."""

import numpy as np

VOXEL, SCALE = (40.0, 4.0, 5.24), 5.0  # an exact halo of (2, 12, 9) voxels


def volumes():
    """Named label volumes, each hard in its own way."""
    rng = np.random.default_rng(0)
    shape = (7, 40, 33)
    sparse = np.zeros(shape, np.uint8)
    sparse[2, 11, 5] = sparse[5, 30, 31] = 1
    corner = np.ones(shape, np.uint8)
    corner[0, 0, 0] = 0
    instances = np.kron(rng.integers(0, 5, (3, 5, 4)), np.ones((3, 8, 9), int)).astype(np.uint32)[:7, :, :33]
    floats = (rng.random(shape) < 0.98).astype(np.float32)
    floats[rng.random(shape) < 0.2] = np.nan
    unannotated = instances.copy()
    unannotated[:, 10:25] = 9
    return {
        "sparse": sparse,
        "dense": (rng.random(shape) < 0.5).astype(bool),
        "one site in a corner": corner,
        "instances": instances,
        "background only": np.zeros(shape, np.int16),
        "foreground only": np.full(shape, 3, np.int16),
        "nothing annotated": np.full(shape, 9, np.int16),
        "unannotated voxels": floats,
        "unannotated regions": unannotated,
        "no site across unannotated voxels": np.where(np.arange(33) < 12, 1, np.where(np.arange(33) < 20, 9, 2))
        * np.ones(shape, int),
        "channels, one without a site": np.stack([sparse, np.zeros_like(sparse), corner]),
    }


VOLUMES = volumes()
