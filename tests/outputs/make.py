"""Outputs of `blockwise.write` as the version that is installed leaves them: one that is finished, one that is begun.

python make.py FOLDER    with the environment of the version that is to be frozen; see README.md
"""

import sys
from pathlib import Path

import numpy as np
import zarr

from inner_distance_gpu import blockwise

OPTIONS = {"scale": 2, "dtype": "int8", "chunks": (2, 4, 4), "blocks": (2, 4, 4), "workers": 1, "engine": "cpu"}


class StopError(Exception):
    pass


def stop(progress):
    if progress.computed == 3:
        raise StopError


def labels():
    values = np.zeros((4, 8, 8), np.uint8)
    values[1:3, 2:6, 2:7] = 1
    return values


def main(folder):
    for version in (2, 3):
        source = folder / f"labels-{version}.zarr"
        array = zarr.create_array(str(source), shape=(4, 8, 8), chunks=(2, 4, 4), dtype="u1", zarr_format=version)
        array[...] = labels()
        blockwise.write(source, folder / f"finished-{version}.zarr", (2, 1, 1), **OPTIONS)
        try:
            blockwise.write(source, folder / f"begun-{version}.zarr", (2, 1, 1), **OPTIONS, progress=stop)
        except StopError:
            continue
        raise AssertionError("it was to be stopped")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
