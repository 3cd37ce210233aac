"""Consolidated metadata of Zarr groups: a copy of what all nodes below say, which has to follow when one changes."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from . import disk, zarr_arrays
from .chunk_files import reading
from .zarr_nodes import Node

NAMES = {2: ".zmetadata", 3: "zarr.json"}  # the file that has them, by Zarr format
_TRIES = 5
_DOCUMENTS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")


def renew(group: Path) -> None:
    """Bring consolidated metadata that name the nodes of a group up to date: its own, and those of groups around it.

    Raises
    ------
    OSError
        They cannot be written; the message names the file.
    """
    for copied in groups_with_copies(group):
        file = copied.path / NAMES[copied.format]
        disk.remove_abandoned_files(file)
        for _ in range(_TRIES):  # another output of the group may be completed at the same time
            data = consolidated(copied)
            if file.read_bytes() == data:
                break
            with disk.beside(file) as temporary:
                with temporary.open("xb") as new:
                    disk.lock(new, file)
                    new.write(data)
                    new.flush()
                    disk.sync(new, file)
                disk.put(temporary, file)
            disk.sync_folder(file.parent)


def groups_with_copies(group: Path) -> Iterator[Node]:
    """The groups with consolidated metadata that name the nodes below `group`: itself, and those around it."""
    for folder in (group, *group.parents):
        found = zarr_arrays.node(folder)
        if found is None or found.kind != "group":
            return
        file = folder / NAMES[found.format]
        if file.is_file() and (found.format == 2 or _stored(file).get("consolidated_metadata") is not None):
            yield found


def consolidated(group: Node, changed: Mapping[str, bytes] = {}) -> bytes:
    """What zarr-python writes into the file `NAMES` of a group, from the metadata that lie below it now.

    `changed` are files of the group that are about to get other contents.
    """
    zarr = zarr_arrays.library(group.path, group.format)
    documents = dict(sorted((_documents(group.path) | dict(changed)).items()))
    if zarr_arrays.is_2(zarr):
        zarr.consolidate_metadata(documents)
        return bytes(documents[NAMES[2]])
    from zarr.core.buffer import default_buffer_prototype

    buffer = default_buffer_prototype().buffer
    stored: dict[str, Any] = {name: buffer.from_bytes(data) for name, data in documents.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that format 3 does not define them: the group has them already
        zarr.consolidate_metadata(zarr.storage.MemoryStore(stored), zarr_format=group.format)
    return bytes(stored[NAMES[group.format]].to_bytes())


def _documents(group: Path) -> dict[str, bytes]:
    """The metadata files below a group. Folders of chunks, which may be millions, are not looked into."""
    found = {}
    for folder, folders, names in os.walk(group):
        here = Path(folder)
        for name in _DOCUMENTS:
            if name in names:
                found[(here / name).relative_to(group).as_posix()] = (here / name).read_bytes()
        is_array = ".zarray" in names or ("zarr.json" in names and _stored(here / "zarr.json")["node_type"] == "array")
        folders[:] = [] if is_array else [name for name in folders if not name.startswith(".")]
    return found


def _stored(file: Path) -> dict[str, Any]:
    with reading(file):
        stored = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(stored, dict) or "node_type" not in stored:
            raise ValueError("expected an object with a node_type")
        return stored
