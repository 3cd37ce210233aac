"""Labels from HDF5 files: CREMI, ilastik, h5py's own axis labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .stored import AnsweredError, Stated, StoredArray, letter, missing_library, trailing

LOOKED_FOR = "the attributes resolution, voxel_size and element_size_um of the data set"


def open_hdf5(place: str, path: Path, key: str | None) -> StoredArray:
    """The data set `key` of a file, or its only one."""
    try:
        import h5py
    except ImportError:
        raise missing_library(place, "HDF5", "h5py", "volumes") from None
    with h5py.File(path, "r") as file:
        name = _chosen(place, file, key, h5py.Dataset)
        data = file[name]
        shape = tuple(int(n) for n in data.shape)
        # A data set that is not chunked lies row by row.
        chunk = data.chunks or ((1,) * (len(shape) - 1) + shape[-1:])
        dtype, stated = np.dtype(data.dtype), _stated(data)

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        # Opened anew each time: an open file of HDF5 does not survive a fork.
        with h5py.File(path, "r") as file:
            return np.asarray(file[name][tuple(slice(b, e) for b, e in zip(begin, end, strict=True))])

    return StoredArray(shape, dtype, tuple(chunk), stated, read, LOOKED_FOR)


def _chosen(place: str, file: Any, key: str | None, kind: Any) -> str:
    names: list[str] = []
    file.visititems(lambda name, node: names.append(name) if isinstance(node, kind) and node.ndim >= 2 else None)
    if key is not None:
        if not isinstance(file.get(key), kind):
            raise AnsweredError(f"{place}: no data set {key!r} among {names}; name one with --key")
        return key
    if len(names) != 1:
        raise AnsweredError(f"{place}: holds {len(names)} data sets, {names}; name one with --key")
    return names[0]


def _stated(data: Any) -> Stated:
    ndim, attributes = data.ndim, dict(data.attrs)
    by = next((name for name in ("voxel_size", "resolution", "element_size_um") if name in attributes), "")
    unit: Any = attributes.get("units", attributes.get("unit", ""))
    if by == "element_size_um":
        unit = "um"
    words = [_text(word) for word in np.atleast_1d(unit)]
    units = ("",) * (ndim - len(words)) + tuple(words) if len(words) > 1 else tuple(words) * ndim
    sizes = trailing(np.atleast_1d(attributes[by]).tolist() if by else None, ndim)
    places = trailing(np.atleast_1d(attributes["offset"]).tolist() if "offset" in attributes else None, ndim)
    return Stated(_axes(data, attributes), sizes, units[-ndim:], places, True, by)


def _axes(data: Any, attributes: dict[str, Any]) -> tuple[str, ...]:
    if "axistags" in attributes:  # ilastik and vigra
        found = [letter(axis.get("key")) for axis in json.loads(_text(attributes["axistags"]))["axes"]]
    elif "axis_names" in attributes:
        found = [letter(_text(name)) for name in attributes["axis_names"]]
    else:
        found = [letter(dimension.label) for dimension in data.dims]
    return tuple(found) if len(found) == data.ndim else ("",) * data.ndim


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
