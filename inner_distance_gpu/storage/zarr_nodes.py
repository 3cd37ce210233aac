"""What the JSON files of a Zarr hierarchy say of its arrays and groups (formats 2 and 3), and of OME-Zarr images."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .chunk_files import reading


@dataclass(frozen=True)
class Node:
    """A folder of a Zarr hierarchy, as its JSON files describe it."""

    path: Path
    kind: Literal["array", "group"]
    format: int
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def attributes_file(self) -> Path:
        return self.path / ("zarr.json" if self.format == 3 else ".zattrs")


def node(path: Path) -> Node | None:
    """What Zarr knows of a folder; None where it is not part of a hierarchy.

    Raises
    ------
    MetadataError
        Its metadata are not what Zarr says.
    """
    if (file := path / "zarr.json").is_file():
        with reading(file):
            stored = json.loads(file.read_text(encoding="utf-8"))
            if stored["node_type"] not in ("array", "group"):
                raise ValueError(f"node_type {stored['node_type']!r}: expected 'array' or 'group'")
            return Node(path, stored["node_type"], 3, _object(stored.get("attributes") or {}))
    for name, kind in ((".zarray", "array"), (".zgroup", "group")):
        if (path / name).is_file():
            attributes = path / ".zattrs"
            with reading(attributes):
                stored = json.loads(attributes.read_text(encoding="utf-8")) if attributes.is_file() else {}
                return Node(path, kind, 2, _object(stored))  # type: ignore[arg-type]
    return None


def _object(stored: Any) -> dict[str, Any]:
    if not isinstance(stored, dict):
        raise ValueError(f"attributes {json.dumps(stored)[:40]}: expected an object")
    return stored


def datasets(group: Node) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Every (multiscale, dataset) of an OME-Zarr group, the full resolution first."""
    ome = group.attributes.get("ome", group.attributes)  # 0.5 nests, 0.4 does not
    multiscales = ome.get("multiscales") if isinstance(ome, dict) else None
    found = []
    with reading(group.attributes_file):
        for multiscale in multiscales or ():
            for axis in multiscale.get("axes") or ():
                if isinstance(axis, dict) and not isinstance(axis.get("unit") or "", str):
                    raise ValueError(f"unit {axis['unit']!r}: expected text")
            for dataset in multiscale.get("datasets") or ():
                for step in (*steps(dataset), *steps(multiscale)):
                    _check_step(step)
                if isinstance(dataset.get("path"), str):
                    found.append((multiscale, dataset))
    return found


def steps(described: dict[str, Any]) -> Any:
    return described.get("coordinateTransformations") or ()  # models of the metadata write null for what is absent


def _check_step(step: dict[str, Any]) -> None:
    """Raise where a scale or a translation is not a list of numbers; one that lies in a file of its own has none."""
    values = step.get(step["type"], []) if step["type"] in ("scale", "translation") else []
    if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise ValueError(f"{step['type']} {values!r}: expected a list of numbers")
