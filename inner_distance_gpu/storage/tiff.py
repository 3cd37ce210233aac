"""Labels from TIFF files (ImageJ, OME, BigTIFF) and from folders or patterns of slices."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import units
from .stored import AnsweredError, Stated, StoredArray, missing_library

LOOKED_FOR = "ImageJ's spacing, resolution and unit, and OME's PhysicalSize of every axis"
SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")


def is_slice(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def open_tiff(place: str, path: Path) -> StoredArray:
    """The only image series of a file."""
    tifffile = _library(place)
    with tifffile.TiffFile(path) as tiff:
        if len(tiff.series) != 1:
            shapes = [series.shape for series in tiff.series]
            raise AnsweredError(f"{place}: holds {len(shapes)} images of shapes {shapes}; expected one label image")
        series = tiff.series[0]
        page = series.keyframe
        if page.samplesperpixel > 1:
            raise AnsweredError(f"{place}: is a colour image of shape {series.shape}; expected one label per pixel")
        axes, shape, dtype = series.axes, tuple(int(n) for n in series.shape), series.dtype
        sizes, unit, by = _physical(tiff)
        mapped = series.dataoffset if page.is_final and page.is_memmappable else None
        order = tiff.byteorder
        # Only planes with one image each are read in parts; anything else as a whole.
        planes = page.ndim == 2 and not mapped
        segment = tuple(int(n) for n in page.chunks[-2:]) if planes else ()
    # tifffile calls axes that the file does not name Q, I and the like.
    letters = tuple(name.lower() if name in "TCZYX" else "" for name in axes)
    stated = Stated(
        letters,
        tuple(sizes.get(name) for name in letters),
        (unit,) * len(letters),
        by=by if sizes else "",
    )
    if mapped is not None:
        chunk = (1,) * (len(shape) - 1) + shape[-1:]
    elif planes:
        chunk = (1,) * (len(shape) - 2) + tuple(min(s, n) for s, n in zip(segment, shape[-2:], strict=True))
    else:
        chunk = shape

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        region = tuple(slice(b, e) for b, e in zip(begin, end, strict=True))
        if mapped is not None:
            stored = np.memmap(path, dtype.newbyteorder(order), "r", mapped, shape)
            return np.asarray(stored[region])
        with tifffile.TiffFile(path) as tiff:
            if not planes:
                return np.asarray(tiff.series[0].asarray()[region])
            return _read_planes(tiff.series[0], shape, dtype, region)

    return StoredArray(shape, np.dtype(dtype), chunk, stated, read, LOOKED_FOR)


def open_slices(place: str, pattern: Path | str) -> StoredArray:
    """A folder, or a pattern with * and ?, of slices: one 2D image per file, in natural order, along z."""
    tifffile = _library(place)
    named = str(pattern)
    found = [name for suffix in SUFFIXES for name in glob.glob(f"{glob.escape(named)}/*{suffix}")]
    if not Path(named).is_dir():
        found = glob.glob(named)
    names = tifffile.natural_sorted(found)
    if not names:
        raise FileNotFoundError(f"{place}: no such file, and no TIFF files of that pattern")
    first = open_tiff(names[0], Path(names[0]))
    if len(first.shape) != 2:
        raise AnsweredError(f"{place}: {names[0]} has shape {first.shape}; expected slices, one 2D image per file")
    shape = (len(names), *first.shape)

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        values = np.empty([e - b for b, e in zip(begin, end, strict=True)], first.dtype)
        for number in range(begin[0], end[0]):
            one = open_tiff(names[number], Path(names[number]))
            if one.shape != first.shape or one.dtype != first.dtype:
                raise AnsweredError(
                    f"{place}: {names[number]} is {one.dtype} {one.shape}, the first slice {first.dtype} {first.shape}"
                )
            values[number - begin[0]] = one.read(begin[1:], end[1:])
        return values

    stated = Stated(
        ("z", *first.stated.axes), (None, *first.stated.sizes), (first.stated.units[0], *first.stated.units)
    )
    return StoredArray(shape, first.dtype, (1, *first.chunk), stated, read, "nothing: slices state no distance apart")


def _library(place: str) -> Any:
    try:
        import tifffile
    except ImportError:
        raise missing_library(place, "TIFF", "tifffile", "volumes") from None
    return tifffile


def _physical(tiff: Any) -> tuple[dict[str, float], str, str]:
    """Voxel size by letter, their unit, and what states them."""
    if tiff.is_ome:
        return _ome(tiff.ome_metadata)
    if tiff.is_imagej:
        return _imagej(tiff)
    return {}, "", ""


def _imagej(tiff: Any) -> tuple[dict[str, float], str, str]:
    described = tiff.imagej_metadata or {}
    unit = str(described.get("unit") or "")
    if not units.is_length(unit):
        return {}, "", ""
    sizes: dict[str, float] = {}
    tags = tiff.pages[0].tags
    for name, tag in (("x", "XResolution"), ("y", "YResolution")):
        pixels, per = tags[tag].value if tag in tags else (1, 1)
        if (pixels, per) != (1, 1) and pixels > 0 and per > 0:  # 1/1 is what is written where nothing is known.
            sizes[name] = per / pixels
    if float(described.get("spacing") or 0) > 0:
        sizes["z"] = float(described["spacing"])
    return sizes, unit, "ImageJ"


def _ome(xml: str) -> tuple[dict[str, float], str, str]:
    import tifffile

    images = tifffile.xml2dict(xml)["OME"]["Image"]
    pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
    sizes, spelled = {}, {}
    for name in "XYZ":
        value = float(pixels.get(f"PhysicalSize{name}") or 0)
        unit = str(pixels.get(f"PhysicalSize{name}Unit") or "µm")  # the default of the schema
        if value > 0 and units.is_length(unit):
            sizes[name.lower()], spelled[name.lower()] = value, units.short(unit)
    if not sizes:
        return {}, "", ""
    unit = spelled.get("x", next(iter(spelled.values())))
    return {name: units.convert(value, spelled[name], unit) for name, value in sizes.items()}, unit, "OME-TIFF"


def _read_planes(
    series: Any, shape: tuple[int, ...], dtype: np.dtype[Any], region: tuple[slice, ...]
) -> npt.NDArray[Any]:
    """A region of a series of planes, of which only the tiles or strips that it touches are read."""
    values = np.zeros([part.stop - part.start for part in region], dtype.newbyteorder("="))
    leading, rows, columns = shape[:-2], region[-2], region[-1]
    for index in np.ndindex(*values.shape[:-2]):
        at = [part.start + i for part, i in zip(region[:-2], index, strict=True)]
        number = int(np.ravel_multi_index(at, leading)) if leading else 0
        page = series.pages[number]
        if page is None:  # Planes that an OME-TIFF lists and does not have are 0.
            continue
        frame = page.keyframe
        height, width = frame.chunks[-2:]
        across = frame.chunked[-1]
        for down in range(rows.start // height, -(-rows.stop // height)):
            for right in range(columns.start // width, -(-columns.stop // width)):
                segment = down * across + right
                size = page.databytecounts[segment]
                if not size:
                    continue
                handle = page.parent.filehandle
                handle.seek(page.dataoffsets[segment])
                data = frame.decode(handle.read(size), segment, jpegtables=page.jpegtables)[0]
                if data is None:
                    continue
                tile = data.reshape(data.shape[-3:-1])
                top, left = down * height, right * width
                y0, y1 = max(rows.start, top), min(rows.stop, top + tile.shape[0])
                x0, x1 = max(columns.start, left), min(columns.stop, left + tile.shape[1])
                into = slice(y0 - rows.start, y1 - rows.start), slice(x0 - columns.start, x1 - columns.start)
                values[(*index, *into)] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
    return values
