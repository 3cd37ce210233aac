"""Zarr arrays on disk: where they lie in a hierarchy, and what may be put into one.

Metadata are read from the JSON files of the formats 2 and 3; zarr-python (2 or 3) is needed for the data only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .chunk_files import metadata_file, reading
from .zarr_nodes import Node as Node
from .zarr_nodes import datasets
from .zarr_nodes import node as node

CHUNK = {2: 1024, 3: 64}  # voxels per axis of a target's chunks


def is_zarr(path: Path) -> bool:
    """Whether a path means a Zarr array or group, there already or not: in or below a folder called *.zarr."""
    return any(part.lower().endswith(".zarr") for part in path.parts) or node(path) is not None


def locate(path: Path, key: str | None = None) -> Node:
    """The array that a path means.

    Parameters
    ----------
    path : Path
        An array; or a group: an OME-Zarr image or label (its full resolution is meant), one with a single array.
    key : str or None
        The array's path below `path`.

    Raises
    ------
    OSError, ValueError
        There is no such folder, it is not Zarr, or it holds several arrays.
    """
    place = path if key is None else path / key
    found = node(place)
    if found is None:
        if not place.exists():
            parent = node(path) if key is not None else None
            there = f"; it holds {_names(parent)}" if parent is not None and parent.kind == "group" else ""
            raise FileNotFoundError(f"{place}: no such Zarr array{there}")
        raise ValueError(f"{place}: not a Zarr array or group")
    if found.kind == "array":
        return found
    for _, dataset in datasets(found):
        return locate(place / dataset["path"])
    arrays = list(_arrays(found))
    if len(arrays) != 1:
        raise ValueError(f"{place}: a Zarr group with the arrays {_names(found)}; name one with --key")
    return arrays[0]


def multiscale_of(array: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The OME-Zarr multiscale that an array belongs to, and its dataset therein; None without."""
    place = array.resolve()
    for folder in place.parents:
        group = node(folder)
        if group is None:
            return None
        for multiscale, dataset in datasets(group):
            if (folder / dataset["path"]).resolve() == place:
                return multiscale, dataset
    return None


def _arrays(group: Node) -> Iterator[Node]:
    for path in sorted(group.path.iterdir()):
        child = node(path) if path.is_dir() else None
        if child is not None and child.kind == "array":
            yield child
        elif child is not None:
            yield from _arrays(child)


def _names(group: Node) -> list[str]:
    return [str(array.path.relative_to(group.path)) for array in _arrays(group)]


def check_place(path: Path) -> None:
    """Raise unless something may be created at `path`: a new *.zarr, or a place in a group."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    parent = node(path.parent)
    if parent is not None and parent.kind == "array":
        raise ValueError(f"{path}: {path.parent} is an array; expected a place in a Zarr group")
    if parent is None and path.suffix.lower() != ".zarr":
        raise ValueError(f"{path}: expected a name that ends in .zarr, or one in a Zarr group that exists")
    _check_meaning(path)


def _check_meaning(path: Path) -> None:
    """Raise where the metadata of an OME-Zarr say already what lies at `path`: a target there would be taken for it."""
    place = Path(os.path.realpath(path))
    for folder in place.parents:
        group = node(folder)
        if group is None or group.kind != "group":
            return
        if place in {Path(os.path.realpath(folder / name)) for name in _named_parts(group)}:
            raise ValueError(f"{path}: is a part of the OME-Zarr {folder}, as its metadata say; choose another name")


def _named_parts(group: Node) -> Iterator[str]:
    """Paths below a group that its OME-Zarr metadata give a meaning, there already or not."""
    for _, dataset in datasets(group):
        yield dataset["path"]
        yield "labels"  # the group of an image's label images
    ome = group.attributes.get("ome", group.attributes)
    ome = ome if isinstance(ome, dict) else {}
    for container, name in ((ome.get("plate"), "wells"), (ome.get("well"), "images")):
        entries = container.get(name) if isinstance(container, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("path"), str):
                yield entry["path"]
    for name in ("labels", "series"):
        yield from (part for part in ome.get(name) or () if isinstance(part, str))


def open_array(path: Path, mode: str = "r") -> Any:
    """The array at `path` as zarr-python sees it, its values on disk."""
    stored = node(path)
    zarr = library(path, stored.format if stored else 2)
    with reading(metadata_file(path)[1]):
        return zarr.open_array(str(path), mode=mode)


def library(path: Path, format: int) -> Any:
    """zarr-python; ValueError where it is missing or too old for the format."""
    try:
        import zarr
    except ImportError:
        raise ValueError(f"{path}: Zarr needs zarr-python: pip install 'inner_distance_gpu[volumes]'") from None
    if format == 3 and is_2(zarr):
        raise ValueError(f"{path}: Zarr format 3 needs zarr-python 3, but {zarr.__version__} is installed")
    return zarr


def stores_zeros_as_nothing() -> bool:
    """Whether zarr-python, with its settings, leaves out chunks that hold only the fill value."""
    import zarr

    return not is_2(zarr) and not zarr.config.get("array.write_empty_chunks", False)


def is_2(zarr: Any) -> bool:
    """Whether this is zarr-python 2, which writes format 2 only."""
    return int(zarr.__version__.split(".")[0]) < 3
