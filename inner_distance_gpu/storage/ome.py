"""Where an array lies in the world, as OME-Zarr says it (0.4 and 0.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import units, zarr_arrays
from .opening import Labels
from .target import Target

VERSION = {2: "0.4", 3: "0.5"}  # of the metadata, by Zarr format
# OME-Zarr has a type for these; an axis of another name has none.
LEADING: dict[str, dict[str, Any]] = {"t": {"name": "t", "type": "time"}, "c": {"name": "c", "type": "channel"}}


@dataclass(frozen=True)
class Placement:
    """World = scale × index + translation, per axis of an array; `axes` as OME-Zarr describes them."""

    axes: tuple[dict[str, Any], ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]


def placement(array: Path, ndim: int) -> Placement | None:
    """What the multiscale that an array belongs to says of it; None where there is none for all its axes."""
    found = zarr_arrays.multiscale_of(array)
    if found is None:
        return None
    multiscale, dataset = found
    axes = tuple(axis if isinstance(axis, dict) else {"name": axis} for axis in multiscale.get("axes") or ())
    if len(axes) != ndim:
        return None
    scale, translation = [1.0] * ndim, [0.0] * ndim
    # The transformations of the dataset come first, then those of all datasets together.
    for described in (dataset, multiscale):
        for step in described.get("coordinateTransformations") or ():
            scale, translation = applied(step, scale, translation) or (scale, translation)
    return Placement(axes, tuple(scale), tuple(translation))


def applied(
    step: dict[str, Any], scale: list[float], translation: list[float]
) -> tuple[list[float], list[float]] | None:
    """Scale and translation after one more transformation; None for one of another kind, or of other axes."""
    values = step.get(str(step.get("type")))
    if not isinstance(values, list) or len(values) != len(scale):
        return None
    if step["type"] == "scale":
        scale = [float(v) * s for v, s in zip(values, scale, strict=True)]
        return scale, [float(v) * t for v, t in zip(values, translation, strict=True)]
    if step["type"] == "translation":
        return scale, [float(v) + t for v, t in zip(values, translation, strict=True)]
    return None


def stated(labels: Labels) -> Placement | None:
    """What a local OME-Zarr says of the axes of labels, in their order; None for any other labels."""
    found = None if labels.folder is None else placement(labels.folder, len(labels.stored_axes))
    if found is None:
        return None
    axes, scale, translation = found.axes, found.scale, found.translation
    return Placement(
        tuple(axes[axis] for axis in labels.order),
        tuple(scale[axis] for axis in labels.order),
        tuple(translation[axis] for axis in labels.order),
    )


def placed(target: Target, known: Placement | None) -> Placement:
    """Where a target lies. Its axes are described as in `known`, what OME-Zarr says of the labels, where it is there.

    OME-Zarr allows one time axis, in front of all, and one axis of channels or of another kind. Targets that have more,
    or classes in front of time, are described all the same: readers take axes by their names.
    """
    described = [dict(LEADING.get(name, {"name": name})) for name in target.leading]
    described += [{"name": name, "type": "space"} for name in target.spatial]
    scale, translation = [1.0] * len(target.leading), [0.0] * len(target.leading)
    if known is not None:
        own = target.class_axis  # which the labels do not have
        taken = set() if own is None else {described[own]["name"]}
        of_labels = [axis for axis in range(len(described)) if axis != own]
        for axis, its, step, start in zip(of_labels, known.axes, known.scale, known.translation, strict=True):
            if its.get("name") not in taken:
                described[axis] = {name: value for name, value in its.items() if name != "unit" or axis < len(scale)}
            if axis < len(scale):
                scale[axis], translation[axis] = step, start
    named = {"unit": units.LONG[target.unit]} if target.unit else {}
    axes = (*described[: len(scale)], *(axis | named for axis in described[len(scale) :]))
    place = target.translation or (0.0,) * target.dims
    return Placement(axes, (*scale, *target.voxel_size), (*translation, *place))


def attributes(
    place: Placement,
    name: str,
    path: str,
    format: int,
    classes: Sequence[str] = (),
    class_axis: int | None = None,
    largest: float = 1,
) -> dict[str, Any]:
    """The attributes of a group whose array `path` lies at `place`.

    With names of `classes` for its channels, along that axis, which viewers show from 0 to `largest`.
    """
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(place.scale)}]
    if any(place.translation):
        steps.append({"type": "translation", "translation": list(place.translation)})
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": list(place.axes),
        "datasets": [{"path": path, "coordinateTransformations": steps}],
    }
    shown = {}
    if class_axis is not None and place.axes[class_axis].get("type") == "channel":
        window = {"min": -largest, "max": largest, "start": 0, "end": largest}
        channels = [{"label": name, "color": "FFFFFF", "window": window, "active": True} for name in classes]
        shown = {"omero": {"channels": channels}}
    if format == 2:
        return {"multiscales": [{"version": VERSION[2]} | multiscale]} | shown
    return {"ome": {"version": VERSION[3], "multiscales": [multiscale]} | shown}
