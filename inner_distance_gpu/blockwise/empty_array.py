"""A new output before its first block: the group, its array and their metadata, compression included."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..storage import ome, zarr_arrays

if TYPE_CHECKING:
    from .plan import Plan

ARRAY = "0"  # the array's name in its group
COMPRESSIONS = ("none", "zstd", "gzip", "blosc")
LEVELS = {"zstd": (1, 22), "gzip": (1, 9), "blosc": (1, 9)}
DEFAULT_LEVEL = {"zstd": 3, "gzip": 5, "blosc": 2}


def check_compression(compression: str) -> str:
    """`compression` with its level, such as "zstd:3"."""
    expected = f"expected one of {', '.join(COMPRESSIONS)}, with a level where wanted, such as 'zstd:9'"
    if not isinstance(compression, str):
        raise TypeError(f"compression={compression!r}: {expected}")
    name, colon, level = compression.partition(":")
    if name not in COMPRESSIONS or (colon and (name == "none" or not level.isdecimal())):
        raise ValueError(f"compression={compression!r}: {expected}")
    if name == "none":
        return name
    chosen, (low, high) = int(level) if colon else DEFAULT_LEVEL[name], LEVELS[name]
    if not low <= chosen <= high:
        raise ValueError(f"compression={compression!r}: expected a level between {low} and {high}")
    return f"{name}:{chosen}"


def build(path: Path, plan: Plan) -> None:
    """Create the group of an output, with an array without chunks that is not complete."""
    zarr = zarr_arrays.library(path, plan.format)
    old = zarr_arrays.is_2(zarr)
    group = zarr.open_group(str(path), mode="w", **({} if old else {"zarr_format": plan.format}))
    largest = plan.parameters["factor"]
    of_classes = plan.classes, plan.class_axis, largest
    described = ome.attributes(plan.placement, plan.destination.stem, ARRAY, plan.format, *of_classes)
    group.attrs.update(described)
    wanted: dict[str, Any] = {
        "shape": plan.shape,
        "chunks": plan.chunks,
        "dtype": np.dtype(plan.job.dtype).newbyteorder("<"),
        "fill_value": 0,
    }
    compressor = _compressor(plan)
    if old:
        array = zarr.open_array(str(path / ARRAY), mode="w", compressor=compressor, dimension_separator="/", **wanted)
    else:
        separated = {"name": "v2" if plan.format == 2 else "default", "separator": "/"}
        names = [axis["name"] for axis in plan.placement.axes] if plan.format == 3 else None
        array = zarr.create_array(
            str(path / ARRAY),
            shards=plan.shards,
            compressors=compressor,
            zarr_format=plan.format,
            chunk_key_encoding=separated,
            dimension_names=names,
            **wanted,
        )
    array.attrs.update(plan.parameters | {"complete": False})


def _compressor(plan: Plan) -> Any:
    """Byte shuffling helps floats; the level decides nothing about the values."""
    name, _, level = check_compression(plan.compression).partition(":")
    if name == "none":
        return None
    if plan.format == 2:
        import numcodecs

        if name == "blosc":
            return numcodecs.Blosc("zstd", int(level), numcodecs.Blosc.SHUFFLE)
        return (numcodecs.Zstd if name == "zstd" else numcodecs.GZip)(int(level))
    from zarr import codecs

    if name == "blosc":
        return codecs.BloscCodec(cname="zstd", clevel=int(level), shuffle="shuffle")
    return (codecs.ZstdCodec if name == "zstd" else codecs.GzipCodec)(level=int(level))
