"""Labels from TIFF files (ImageJ, OME, BigTIFF) and from folders or patterns of slices."""

from __future__ import annotations

import contextlib
import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import units
from .stored import AnsweredError, Stated, StoredArray, missing_library

LOOKED_FOR = "ImageJ's spacing, resolution and unit, and OME's PhysicalSize of every axis"
SUFFIXES = (".tif", ".tiff", ".btf", ".tf8")
FRAME = "reference frame"  # OME's word for a unit that nobody knows


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
        found = _physical(tiff)
        mapped = series.dataoffset if page.is_final and page.is_memmappable else None
        order = tiff.byteorder
        # Only planes with one image each are read in parts; anything else as a whole.
        planes = _Planes(path, series, shape) if page.ndim == 2 and mapped is None else None
    # tifffile calls axes that the file does not name Q, I and the like.
    letters = tuple(name.lower() if name in "TCZYX" else "" for name in axes)
    stated = Stated(
        letters,
        tuple(found.sizes.get(name) for name in letters),
        (found.unit,) * len(letters),
        tuple(found.places.get(name) for name in letters),
        by={"OME": "OME-TIFF"}.get(found.dialect, found.dialect) if found.sizes else "",
        dialect=found.dialect,
    )
    if mapped is not None:
        chunk = (1,) * (len(shape) - 1) + shape[-1:]
    elif planes is not None:
        chunk = (1,) * (len(shape) - 2) + planes.chunk
    else:
        chunk = shape

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        region = tuple(slice(b, e) for b, e in zip(begin, end, strict=True))
        if mapped is not None:
            stored = np.memmap(path, dtype.newbyteorder(order), "c", mapped, shape)
            return np.asarray(stored[region])
        if planes is not None:
            return planes.read(region)
        with tifffile.TiffFile(path) as tiff:
            return np.asarray(tiff.series[0].asarray()[region])

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


@dataclass(frozen=True)
class _Physical:
    """Voxel size and place of voxel 0 by letter, in one unit, and which metadata state them."""

    dialect: str = ""
    sizes: dict[str, float] = field(default_factory=dict)
    places: dict[str, float] = field(default_factory=dict)
    unit: str = ""


def _physical(tiff: Any) -> _Physical:
    if tiff.is_ome:
        return _ome(tiff.ome_metadata)
    return _imagej(tiff) if tiff.is_imagej else _Physical()


def _imagej(tiff: Any) -> _Physical:
    described = tiff.imagej_metadata or {}
    unit = str(described.get("unit") or "")
    if not units.is_length(unit):
        return _Physical("ImageJ")
    sizes: dict[str, float] = {}
    tags = tiff.pages[0].tags
    for name, tag in (("x", "XResolution"), ("y", "YResolution")):
        pixels, per = tags[tag].value if tag in tags else (1, 1)
        if (pixels, per) != (1, 1) and pixels > 0 and per > 0:  # 1/1 is what is written where nothing is known.
            sizes[name] = per / pixels
    if float(described.get("spacing") or 0) > 0:
        sizes["z"] = float(described["spacing"])
    origins = {name: described.get(f"{name}origin") for name in sizes}
    places: dict[str, float] = {}
    if any(origin is not None for origin in origins.values()):
        # In pixels: the position of the world's zero. ImageJ leaves out an origin of 0.
        places = {name: -float(origins[name] or 0) * size for name, size in sizes.items()}
    return _Physical("ImageJ", sizes, places, unit)


def _ome(xml: str) -> _Physical:
    import tifffile

    images = tifffile.xml2dict(xml)["OME"]["Image"]
    pixels = (images[0] if isinstance(images, list) else images)["Pixels"]
    sizes, spelled = {}, {}
    for name in "XYZ":
        value = float(pixels.get(f"PhysicalSize{name}") or 0)
        unit = _unit_of(pixels.get(f"PhysicalSize{name}Unit") or "µm")  # the default of the schema
        if value > 0 and units.is_length(unit or "µm"):
            sizes[name.lower()], spelled[name.lower()] = value, units.short(unit)
    if not sizes or ("" in spelled.values() and any(spelled.values())):
        return _Physical("OME")
    unit = spelled.get("x", next(iter(spelled.values())))
    sizes = {name: _in_unit(value, spelled[name], unit) for name, value in sizes.items()}
    planes = pixels.get("Plane") or []
    planes = planes if isinstance(planes, list) else [planes]
    first: Any = next((plane for plane in planes if not any(int(plane.get(f"The{axis}") or 0) for axis in "ZCT")), {})
    places = {}
    for name in sizes:
        position = first.get(f"Position{name.upper()}")
        # The schema's default is "reference frame", which says nothing of the voxels' unit.
        stored = str(first.get(f"Position{name.upper()}Unit") or FRAME)
        with contextlib.suppress(ValueError):  # a unit that is none of length
            if position is not None and (stored == FRAME) == (unit == ""):
                places[name] = _in_unit(float(position), units.short(_unit_of(stored)), unit)
    return _Physical("OME", sizes, places, unit)


def _unit_of(stored: Any) -> str:
    return "" if stored == FRAME else str(stored)


def _in_unit(value: float, stored: str, wanted: str) -> float:
    return units.convert(value, stored, wanted) if stored and wanted and stored != wanted else value


class _Planes:
    """A series of planes, of which only the tiles or strips that a region touches are read.

    Where they lie is kept: finding out takes a look at every page of the file.
    """

    def __init__(self, path: Path, series: Any, shape: tuple[int, ...]) -> None:
        page = series.keyframe
        self._path, self._shape, self._dtype = path, shape, series.dtype.newbyteorder("=")
        self._decode, self._tables = page.decode, page.jpegtables
        self._height, self._width = (int(n) for n in page.chunks[-2:])
        self._across = int(page.chunked[-1])
        # Planes that an OME-TIFF lists and does not have are None; their labels are 0.
        self._segments = [
            None if one is None else (tuple(one.dataoffsets), tuple(one.databytecounts)) for one in series.pages
        ]
        self.chunk = min(self._height, shape[-2]), min(self._width, shape[-1])

    def read(self, region: tuple[slice, ...]) -> npt.NDArray[Any]:
        values = np.zeros([part.stop - part.start for part in region], self._dtype)
        with self._path.open("rb", buffering=0) as file:
            for index in np.ndindex(*values.shape[:-2]):
                at = [part.start + i for part, i in zip(region[:-2], index, strict=True)]
                number = int(np.ravel_multi_index(at, self._shape[:-2])) if at else 0
                self._read_plane(file, number, values[index], region[-2], region[-1])
        return values

    def _read_plane(self, file: Any, number: int, values: npt.NDArray[Any], rows: slice, columns: slice) -> None:
        stored = self._segments[number]
        if stored is None:
            return
        offsets, counts = stored
        for down in range(rows.start // self._height, -(-rows.stop // self._height)):
            for right in range(columns.start // self._width, -(-columns.stop // self._width)):
                segment = down * self._across + right
                if not counts[segment]:
                    continue
                file.seek(offsets[segment])
                data = self._decode(file.read(counts[segment]), segment, jpegtables=self._tables)[0]
                tile = data.reshape(data.shape[-3:-1])
                top, left = down * self._height, right * self._width
                y0, y1 = max(rows.start, top), min(rows.stop, top + tile.shape[0])
                x0, x1 = max(columns.start, left), min(columns.stop, left + tile.shape[1])
                into = slice(y0 - rows.start, y1 - rows.start), slice(x0 - columns.start, x1 - columns.start)
                values[into] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
