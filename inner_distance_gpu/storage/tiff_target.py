"""A target's TIFF file without its values, with the metadata of ImageJ or OME."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

from .stored import missing_library
from .target import Target
from .tiff import FRAME

IMAGEJ = "TZCYX"  # ImageJ stores axes in this order
_SMALL = 2**32 - 2**25  # bytes of values that fit into a file whose offsets have 32 bits
_UNNAMED = "QHAPE"  # letters that OME-TIFF has for axes which are neither time nor channels


def begin_tiff(file: BinaryIO, path: Path, target: Target) -> tuple[int, tuple[int, ...]]:
    """Where the values begin, and the axes of the target as they are stored.

    ImageJ's metadata where the labels have them and they can say all that is known, else OME's.
    """
    try:
        import tifffile
    except ImportError:
        raise missing_library(str(path), "TIFF", "tifffile", "volumes") from None
    if target.spatial != ("z", "y", "x")[3 - target.dims :]:
        raise ValueError(f"{path}: a TIFF file has the axes z, y, x, and the target {target.axes}")
    unnamed = iter(_UNNAMED)
    letters = [name.upper() if name in "tczyx" else next(unnamed, "?") for name in target.axes]
    in_imagej = target.dialect == "ImageJ" and ".ome." not in path.name.lower() and _fits_imagej(target, letters)
    order = tuple(range(len(letters)))
    if in_imagej:
        order = tuple(sorted(order, key=lambda axis: IMAGEJ.index(letters[axis])))
    axes, shape = "".join(letters[axis] for axis in order), tuple(target.shape[axis] for axis in order)
    how: dict[str, Any] = _imagej(target, axes, shape) if in_imagej else _ome(target, axes, shape)
    try:
        where = tifffile.imwrite(
            file,
            shape=shape,
            dtype="<f4",
            byteorder="<",
            bigtiff=4 * math.prod(shape) > _SMALL,
            photometric="minisblack",
            returnoffset=True,
            **how,
        )
    except ValueError as error:  # OmeXmlError too
        if isinstance(error, UnicodeError):
            raise
        raise ValueError(f"{path}: a TIFF file cannot hold the axes {target.axes} ({error})") from error
    assert where is not None
    return int(where[0]), order


def _fits_imagej(target: Target, letters: list[str]) -> bool:
    """Whether ImageJ can say where the target lies: a unit, and pixels per unit as a fraction other than 1/1."""
    if not set(letters) <= set(IMAGEJ) or not target.unit or 4 * math.prod(target.shape) > _SMALL:
        return False
    for size in target.voxel_size[-2:]:
        pixels, per = _density(size)
        is_fraction = 0 < pixels < 2**32 and math.isclose(per / pixels, size, rel_tol=1e-12)
        if not is_fraction or (pixels, per) == (1, 1):  # which is what is written where nothing is known
            return False
    return True


def _density(size: float) -> tuple[int, int]:
    """Pixels per unit, as a fraction of whole numbers of 32 bits where there is a good one."""
    exact = 1 / Fraction(repr(float(size)))
    close = exact.limit_denominator(min(2**32 - 1, max(1, int((2**32 - 1) / max(exact, Fraction(1))))))
    return close.numerator, close.denominator


def _imagej(target: Target, axes: str, shape: tuple[int, ...]) -> dict[str, Any]:
    # ImageJ reads ASCII.
    unit = {"µm": "um", "Å": "angstrom"}.get(target.unit, target.unit)
    metadata: dict[str, Any] = {"axes": axes, "unit": unit}
    if target.dims == 3:
        metadata["spacing"] = target.voxel_size[0]
    if target.translation is not None:
        for name, centre, size in zip(target.spatial, target.translation, target.voxel_size, strict=True):
            metadata[f"{name}origin"] = -centre / size
    if target.classes:
        metadata["Labels"] = [_class_of(target, axes, shape, plane) for plane in range(math.prod(shape[:-2]))]
    return {"imagej": True, "resolution": tuple(map(_density, target.voxel_size[:-3:-1])), "metadata": metadata}


def _ome(target: Target, axes: str, shape: tuple[int, ...]) -> dict[str, Any]:
    unit = target.unit or FRAME
    metadata: dict[str, Any] = {"axes": axes}
    for name, size in zip(target.spatial, target.voxel_size, strict=True):
        metadata[f"PhysicalSize{name.upper()}"] = size
        metadata[f"PhysicalSize{name.upper()}Unit"] = unit
    if target.class_axis is not None and target.axes[target.class_axis] == "c":
        metadata["Channel"] = {"Name": list(target.classes)}
    if target.translation is not None:
        planes, depth = math.prod(shape[:-2]), shape[-3] if target.dims == 3 else 1
        place: dict[str, list[Any]] = {}
        for name, centre, size in zip(target.spatial, target.translation, target.voxel_size, strict=True):
            steps = [centre + size * (plane % depth) if name == "z" else centre for plane in range(planes)]
            place |= {f"Position{name.upper()}": steps, f"Position{name.upper()}Unit": [unit] * planes}
        metadata["Plane"] = place
    return {"ome": True, "metadata": metadata}


def _class_of(target: Target, axes: str, shape: tuple[int, ...], plane: int) -> str:
    """The name of the class that a plane belongs to."""
    assert target.class_axis is not None
    letter = target.axes[target.class_axis].upper()
    behind = math.prod(shape[axes.index(letter) + 1 : -2])
    return target.classes[plane // behind % len(target.classes)]
