"""A target as OME-Zarr: a group with the array `0`, complete or not there. zarr-python writes it, as for volumes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from . import disk, ome, zarr_arrays
from .opening import Labels
from .target import Target
from .zarr_nodes import datasets, node

ARRAY = "0"  # the array's name in its group
SOFTWARE = "inner_distance_gpu run"  # of outputs that are replaced as a whole; those of volumes have another


def check_writable(path: Path, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Raise unless a target may be written at `path`: a new *.zarr, or a place in a group."""
    if path.exists() and any(other.exists() and path.samefile(other) for other in inputs):
        raise ValueError(f"{path}: is also an input; writing there would destroy it")
    zarr_arrays.check_place(path)
    if not path.exists():
        return
    there = node(path)
    if there is None or (there.kind == "group" and not _is_ours(path)):
        raise IsADirectoryError(f"{path}: is a {'group' if there else 'folder or file'}, and is not replaced")
    for other in inputs:
        if Path(os.path.realpath(path)) in Path(os.path.realpath(other)).parents:
            raise ValueError(f"{path}: holds the input {other}; writing there would destroy it")
    if not overwrite:
        raise FileExistsError(f"{path}: exists already; --overwrite replaces it")


def _is_ours(path: Path) -> bool:
    """Whether a group is a target of this command and its pyramid, and nothing else."""
    group, array = node(path), node(path / ARRAY)
    if group is None or array is None or array.attributes.get("software") != SOFTWARE:
        return False
    ours = {ARRAY, "zarr.json", *(dataset["path"] for _, dataset in datasets(group))}
    return all(entry.name in ours or entry.name.startswith(".") for entry in path.iterdir())


@contextlib.contextmanager
def writing(path: Path, target: Target, labels: Labels | None) -> Iterator[Store]:
    """An OME-Zarr to fill: at `path` when the block ends well, or not there at all.

    It has the format of the group it goes into, else that of the store of the labels, else the one zarr-python prefers.
    """
    path = Path(os.path.realpath(path))
    disk.remove_abandoned_folders(path)
    with disk.folder_beside(path) as (new, old):
        with disk.naming(path):
            store = Store(path, new, _build(path, new, target, labels))
        yield store
        disk.put(new, path, old)
        disk.sync_folder(path.parent)


class Store:
    """A group that is being written, whose array is filled by index."""

    def __init__(self, path: Path, new: Path, array: Any) -> None:
        self.values, self._array, self._path, self._new = self, array, path, new

    def __setitem__(self, index: Any, values: Any) -> None:
        with disk.naming(self._path):  # zarr-python names no file
            self._array[index] = values

    def finish(self) -> None:
        """Have everything on the disk."""
        disk.make_durable({self._new, *self._new.rglob("*")}, self._new)


def _build(path: Path, new: Path, target: Target, labels: Labels | None) -> Any:
    folder = None if labels is None else labels.folder
    relative = node(path.parent) or (node(folder) if folder is not None else None)
    zarr = zarr_arrays.library(path, relative.format if relative else 2)
    old = zarr_arrays.is_2(zarr)
    group = zarr.open_group(str(new), mode="w", **({"zarr_format": relative.format} if relative and not old else {}))
    format = 2 if old else int(group.metadata.zarr_format)
    place = ome.placed(target, None if labels is None else ome.stated(labels))
    group.attrs.update(ome.attributes(place, path.stem, ARRAY, format, target.classes, target.class_axis))
    dims = target.dims
    chunks = (1,) * len(target.leading) + tuple(min(n, zarr_arrays.CHUNK[dims]) for n in target.shape[-dims:])
    wanted: dict[str, Any] = {"shape": target.shape, "chunks": chunks, "dtype": np.dtype("<f4"), "fill_value": 0}
    if old:
        array = zarr.open_array(str(new / ARRAY), mode="w", dimension_separator="/", **wanted)
    else:
        wanted["chunk_key_encoding"] = {"name": "v2" if format == 2 else "default", "separator": "/"}
        names = list(target.axes) if format == 3 else None
        array = zarr.create_array(str(new / ARRAY), zarr_format=format, dimension_names=names, **wanted)
    array.attrs.update(target.description | {"software": SOFTWARE})
    return array
