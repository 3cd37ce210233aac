"""Where an array lies in the world, as OME-Zarr says it (0.4 and 0.5)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import units, zarr_arrays
from .opening import Labels

VERSION = {2: "0.4", 3: "0.5"}  # of the metadata, by Zarr format


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


def placed(known: Placement | None, ndim: int, labels: Labels, channels: bool) -> Placement | None:
    """Where a target of labels lies, with an axis for channels in front where there is one.

    The leading axes are those of `known`, what OME-Zarr says of the labels. None where OME-Zarr has no words for the
    axes: it allows one time axis, in front of all, and one channel axis.
    """
    sizes = labels.require_voxel_size()
    dims = len(sizes)
    leading: list[dict[str, Any]] = [{"name": "t", "type": "time"}, {"name": "c", "type": "channel"}]
    leading = leading[2 - (ndim - dims) :] if ndim - dims <= 2 else []
    spatial = [{"name": name, "type": "space"} for name in "zyx"[3 - dims :]]
    scale: tuple[float, ...] = (1.0,) * (ndim - dims)
    translation: tuple[float, ...] = (0.0,) * (ndim - dims)
    if known is not None:
        leading, spatial = list(known.axes[: ndim - dims]), list(known.axes[ndim - dims :])
        scale, translation = known.scale[: ndim - dims], known.translation[: ndim - dims]
    scale, translation = scale + sizes, translation + (labels.translation or (0.0,) * dims)
    named = {"unit": units.LONG[labels.unit]} if labels.unit else {}
    spatial = [{name: value for name, value in axis.items() if name != "unit"} | named for axis in spatial]
    if channels:
        leading = [{"name": "c", "type": "channel"}, *leading]
        scale, translation = (1.0, *scale), (0.0, *translation)
    kinds = [axis.get("type") for axis in leading]
    names = [axis.get("name") for axis in leading]
    if len(leading) + dims != len(scale) or len(set(names)) != len(names) or "time" in kinds[1:]:
        return None
    return Placement((*leading, *spatial), scale, translation)


def attributes(place: Placement, name: str, path: str, format: int) -> dict[str, Any]:
    """The attributes of a group whose array `path` lies at `place`."""
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(place.scale)}]
    if any(place.translation):
        steps.append({"type": "translation", "translation": list(place.translation)})
    multiscale: dict[str, Any] = {
        "name": name,
        "axes": list(place.axes),
        "datasets": [{"path": path, "coordinateTransformations": steps}],
    }
    if format == 2:
        return {"multiscales": [{"version": VERSION[2]} | multiscale]}
    return {"ome": {"version": VERSION[3], "multiscales": [multiscale]}}
