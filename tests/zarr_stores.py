"""Zarr arrays to read, and what a store holds, byte for byte; for zarr-python 2 and 3."""

import hashlib

import pytest

zarr = pytest.importorskip("zarr", reason="zarr is not installed (extra 'volumes')")

ZARR_2 = int(zarr.__version__.split(".")[0]) < 3
FORMATS = [
    2,
    pytest.param(3, marks=pytest.mark.skipif(ZARR_2, reason="zarr-python 2 does not write format 3")),
]


def create(path, data, version=2, chunks=None, **more):
    chosen = {} if ZARR_2 else {"zarr_format": version}
    chunks = chunks or tuple(-(-n // 2) for n in data.shape)
    array = zarr.open_array(str(path), mode="w", shape=data.shape, chunks=chunks, dtype=data.dtype, **chosen, **more)
    array[...] = data
    return path


def values(path):
    return zarr.open_array(str(path), mode="r")[...]


def attributes(path):
    return dict(zarr.open_array(str(path), mode="r").attrs)


def digests(folder):
    """The SHA-256 of every file below a folder, by its name."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
