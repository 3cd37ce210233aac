"""Consolidated metadata of the groups around an output: one file that repeats those of all arrays below a group."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from . import zarr_arrays
from .zarr_nodes import node

FILE = ".zmetadata"  # in format 2; format 3 keeps them in zarr.json


def renew(path: Path) -> None:
    """Bring those up to date that have them: of the group at `path` and of every group that it lies in.

    Raises
    ------
    ValueError
        One cannot be renewed; the message names it. The output is complete.
    """
    place = Path(os.path.realpath(path))
    for folder in (place, *place.parents):
        group = node(folder)
        if group is None:
            return
        if group.kind == "group" and is_consolidated(folder):
            try:
                _consolidate(folder, group.format)
            except Exception as error:  # whatever another array of the group leads to
                raise ValueError(f"{folder}: its consolidated metadata cannot be renewed ({error})") from error


def is_stale(array: Path) -> bool:
    """Whether consolidated metadata of a group around an array have other attributes of it than the array has."""
    place = Path(os.path.realpath(array))
    found = node(place)
    for folder in place.parents:
        group = node(folder)
        if group is None or found is None:
            return False
        if is_consolidated(folder):
            name = place.relative_to(folder).as_posix()
            if group.format == 2:
                listed = json.loads((folder / FILE).read_text(encoding="utf-8"))["metadata"].get(f"{name}/.zattrs")
            else:
                stored = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
                listed = stored["consolidated_metadata"]["metadata"].get(name, {}).get("attributes")
            if listed != found.attributes:
                return True
    return False


def is_consolidated(folder: Path) -> bool:
    """Whether a group has consolidated metadata."""
    if (folder / FILE).is_file():
        return True
    try:
        stored: Any = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and bool(stored.get("consolidated_metadata"))


def _consolidate(folder: Path, format: int) -> None:
    zarr = zarr_arrays.library(folder, format)
    if zarr_arrays.is_2(zarr):
        zarr.consolidate_metadata(zarr.DirectoryStore(str(folder)))
        return
    with warnings.catch_warnings():
        # The specification of format 3 does not have them yet; this group has.
        warnings.filterwarnings("ignore", message="Consolidated metadata is currently not part")
        zarr.consolidate_metadata(str(folder), zarr_format=format)
