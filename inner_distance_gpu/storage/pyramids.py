"""The resolutions of an OME-Zarr image: how large each is, where it lies, and what the metadata say of all of them."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import zarr_arrays, zarr_nodes
from .chunk_files import ChunkFiles, metadata
from .ome import applied
from .stored import missing_library
from .zarr_nodes import Node

SOFTWARE = "inner_distance_gpu"  # in the attributes of what this package writes


@dataclass(frozen=True)
class Level:
    """A resolution that is averaged from the one below it.

    Attributes
    ----------
    number
        0 is the full resolution.
    below, path
        The arrays, as paths below the group.
    shape
    factors
        Voxels of the level below per voxel of this one, along each axis.
    dataset
        What the multiscale says of it.
    """

    number: int
    below: str
    path: str
    shape: tuple[int, ...]
    factors: tuple[int, ...]
    dataset: dict[str, Any]


@dataclass(frozen=True)
class Pyramid:
    """An image with the levels that it has and those that are to be made. `shapes` are of all of them."""

    group: Node
    there: int
    shapes: tuple[tuple[int, ...], ...]
    new: tuple[Level, ...]
    dtype: str

    def files_of(self, level: Level) -> dict[str, dict[str, Any]]:
        """The JSON files of a new level's array: those of the last one that was there, with another shape."""
        last = self.group.path / self.new[0].below
        format, stored = metadata(last)
        there = zarr_arrays.node(last)
        attributes = {"software": SOFTWARE, "averaged_from": level.below, "averaged_voxels": list(level.factors)}
        if there is not None and "factor" in there.attributes:  # what an int8 target was multiplied by
            attributes["factor"] = there.attributes["factor"]
        stored = stored | {"shape": list(level.shape)}
        if format == 3:
            return {"zarr.json": stored | {"attributes": attributes}}
        return {".zarray": stored, ".zattrs": attributes}

    def attributes(self) -> dict[str, Any]:
        """Those of the group, with all levels."""
        attributes = copy.deepcopy(self.group.attributes)
        multiscale = attributes.get("ome", attributes)["multiscales"][0]
        if len(multiscale["datasets"]) == 1 and self.new:
            multiscale["type"] = "mean"
        multiscale["datasets"] += [level.dataset for level in self.new]
        return attributes


def is_level(folder: Path) -> bool:
    """Whether a folder is a level that this package averaged, complete or not."""
    found = zarr_arrays.node(folder)
    return found is not None and found.attributes.get("software") == SOFTWARE and "averaged_from" in found.attributes


def check_levels(levels: int | str) -> int | None:
    """How many levels; None for "auto"."""
    if levels == "auto":
        return None
    expected = f"levels={levels!r}: expected 'auto' or a positive whole number, 1 for the full resolution alone"
    if isinstance(levels, bool) or not isinstance(levels, (int, np.integer)):
        raise (ValueError if isinstance(levels, str) else TypeError)(expected)
    if levels < 1:
        raise ValueError(expected)
    return int(levels)


def factors_of_levels(
    shape: Sequence[int], voxel_size: Sequence[float], chunk: Sequence[int], levels: int | str, where: str
) -> list[tuple[int, ...]]:
    """By what each level has fewer voxels than the one below it, along each spatial axis.

    An axis is halved where its voxels are not longer than 1.5 times the shortest ones, so that voxels become more alike
    from level to level. An axis of one voxel is left as it is.

    Parameters
    ----------
    shape, voxel_size, chunk
        Of the full resolution, per spatial axis.
    levels
        How many, the full resolution included; "auto" ends with the first that fits one chunk.
    where
        What the error names.

    Raises
    ------
    ValueError
        More levels are asked for than halving gives, or the voxel size is not positive.
    """
    try:
        from worldarray import level_factors
    except ImportError:
        raise missing_library(where, "and writing the levels of a pyramid", "worldarray", "volumes") from None
    wanted = check_levels(levels)
    now, sizes = list(shape), [float(size) for size in voxel_size]
    found: list[tuple[int, ...]] = []
    if not all(0 < size < math.inf for size in sizes):
        raise ValueError(f"{where}: voxel size {tuple(voxel_size)}: expected positive numbers")
    while any(n > c for n, c in zip(now, chunk, strict=True)) if wanted is None else len(found) + 1 < wanted:
        halved = [axis for axis, n in enumerate(now) if n > 1]
        if not halved:
            raise ValueError(f"{where}: levels={levels}: {tuple(shape)} voxels have at most {len(found) + 1} levels")
        step = [1] * len(now)
        (chosen,) = level_factors([sizes[axis] for axis in halved], max_levels=1)
        for axis, factor in zip(halved, chosen, strict=True):
            step[axis], sizes[axis], now[axis] = factor, sizes[axis] * factor, -(-now[axis] // factor)
        found.append(tuple(step))
    return found


def plan_levels(store: Path, levels: int | str) -> Pyramid:
    """What would be added to an OME-Zarr image so that it has so many levels; nothing is written.

    Raises
    ------
    OSError, ValueError
        It is no image, not complete, holds no targets, or something else is where a level would be.
    """
    check_levels(levels)
    group, multiscale = _image(store)
    datasets = multiscale["datasets"]
    shapes = []
    for dataset in datasets:
        zarr_arrays.locate(store / dataset["path"])
        shapes.append(ChunkFiles.of(store / dataset["path"]).shape)
    last = datasets[-1]["path"]
    dtype = _check_values(store, datasets[0]["path"], last)
    kinds = [_kind(axis) for axis in multiscale.get("axes") or ()]
    spatial = [axis for axis, kind in enumerate(kinds) if kind == "space"]
    if len(kinds) != len(shapes[-1]) or not spatial:
        raise ValueError(f"{store}: its multiscale has the axes {multiscale.get('axes')}: expected z, y, x or y, x too")
    files = ChunkFiles.of(store / last)
    scale, translation = _placed(store, datasets[-1], len(kinds))
    more = "auto" if levels == "auto" else max(int(levels) - len(datasets), 0) + 1
    shape, sizes, chunk = ([values[axis] for axis in spatial] for values in (shapes[-1], scale, files.inner))
    steps = factors_of_levels([int(n) for n in shape], sizes, [int(n) for n in chunk], more, str(store))
    new: list[Level] = []
    for step in steps:
        factors = [1] * len(kinds)
        for axis, factor in zip(spatial, step, strict=True):
            factors[axis] = factor
        # OME-Zarr places the centre of the first voxel: an average of two lies half a voxel further.
        translation = [t + s * (f - 1) / 2 for t, s, f in zip(translation, scale, factors, strict=True)]
        scale = [s * f for s, f in zip(scale, factors, strict=True)]
        path, number = _next_path(last, len(shapes)), len(shapes)
        placed = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": translation}]
        shapes.append(tuple(-(-n // f) for n, f in zip(shapes[-1], factors, strict=True)))
        dataset = {"path": path, "coordinateTransformations": placed}
        new.append(Level(number, last, path, shapes[-1], tuple(factors), dataset))
        last = path
    return Pyramid(group, len(datasets), tuple(shapes), tuple(new), dtype)


def _image(store: Path) -> tuple[Node, dict[str, Any]]:
    """An OME-Zarr image, and its multiscale."""
    group = zarr_arrays.node(store)
    if group is None:
        if not store.exists():
            raise FileNotFoundError(f"{store}: no such OME-Zarr image")
        raise ValueError(f"{store}: not a Zarr group; expected an OME-Zarr image, such as volume writes")
    if group.kind == "array":
        raise ValueError(f"{store}: is an array; levels lie beside it, so give the OME-Zarr image that it belongs to")
    if not zarr_nodes.datasets(group):
        raise ValueError(
            f"{store}: has no OME-Zarr multiscale, so nothing could say what its levels are; expected an OME-Zarr "
            "image, such as volume writes"
        )
    ome = group.attributes.get("ome", group.attributes)
    if "image-label" in ome:
        raise ValueError(f"{store}: is a label image, and the average of two ids is no id; expected targets")
    multiscale = ome["multiscales"][0]
    named = [isinstance(dataset.get("path"), str) for dataset in multiscale.get("datasets") or ()]
    if not named or not all(named):
        raise ValueError(f"{store}: its multiscale lists datasets without a path")
    return group, multiscale


def _check_values(store: Path, first: str, last: str) -> str:
    """The data type, which has to be one whose averages mean something."""
    begun = zarr_arrays.node(store / first)
    if (
        begun is not None
        and begun.attributes.get("software") == SOFTWARE
        and not begun.attributes.get("complete", True)
    ):
        raise ValueError(f"{store}: is not complete; the command that began it goes on with it")
    dtype = np.dtype(zarr_arrays.open_array(store / last).dtype)
    if dtype.kind != "f" and dtype != np.int8:
        raise ValueError(
            f"{store}: holds {dtype}: expected float32 or int8, as targets are; averages of labels are no labels"
        )
    return str(dtype.newbyteorder("="))


def _kind(axis: Any) -> str:
    """The type of an axis. Before 0.4 an axis was a name, and a type may be left out."""
    name, kind = (axis.get("name"), axis.get("type")) if isinstance(axis, dict) else (axis, None)
    return str(kind or ("space" if name in ("z", "y", "x") else "other"))


def _placed(store: Path, dataset: dict[str, Any], ndim: int) -> tuple[list[float], list[float]]:
    """Scale and translation of a dataset, without those of all datasets together."""
    scale, translation = [1.0] * ndim, [0.0] * ndim
    for step in zarr_nodes.steps(dataset):
        if step["type"] == "identity":
            continue
        found = applied(step, scale, translation)
        if found is None:
            raise ValueError(
                f"{store}: {dataset['path']} has the transformation {step}: expected a scale and a translation, with "
                f"{ndim} numbers each"
            )
        scale, translation = found
    return scale, translation


def _next_path(path: str, number: int) -> str:
    """ "1" after "0", "s1" after "s0"."""
    match = re.fullmatch(r"(.*?)(\d+)", path)
    return str(number) if match is None else f"{match[1]}{int(match[2]) + 1}"
