"""Labels from NIfTI, NRRD and MetaImage files. They list axes from the fastest on; here the order is the array's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .stored import AnsweredError, Stated, StoredArray, letter, missing_library

SPATIAL = ("x", "y", "z")
# Of a direction's length. Headers keep directions in float32, and rounding is no rotation.
STRAIGHT = 1e-4


def open_nifti(place: str, path: Path) -> StoredArray:
    """A NIfTI image whose axes run along those of the world."""
    try:
        import nibabel
    except ImportError:
        raise missing_library(place, "NIfTI", "nibabel", "medical") from None
    path.open("rb").close()  # as in `read`
    image = nibabel.load(path)
    header, shape = image.header, tuple(int(n) for n in image.shape)
    # The header that nibabel shows has no scaling any more.
    slope, intercept = float(image.dataobj.slope), float(image.dataobj.inter)
    if (slope, intercept) != (1, 0):
        raise AnsweredError(
            f"{place}: scales its values (slope {slope}, intercept {intercept}); expected labels as they are"
        )
    if header.get_data_dtype().names is not None:
        raise AnsweredError(f"{place}: is a colour image of shape {shape}; expected one label per voxel")
    dims = min(3, len(shape))
    matrix = np.asarray(image.affine, dtype=float)
    sizes, places = _straight(place, matrix[:3, :3].T[:dims], matrix[:3, 3])
    # What lies between the spatial axes and the channels is empty: (x, y, z, 1, c).
    kept = [axis for axis in range(len(shape)) if axis < dims or shape[axis] > 1]
    names = (*SPATIAL[:dims], "t", "c", "", "")
    unit = header.get_xyzt_units()[0]
    stated = Stated(
        tuple(names[axis] for axis in reversed(kept)),
        (*(None,) * (len(kept) - dims), *reversed(sizes)),
        ("" if unit == "unknown" else unit,) * len(kept),
        (*(None,) * (len(kept) - dims), *reversed(places)),
        by="NIfTI",
        affine=tuple(map(tuple, matrix.tolist())) if int(header["sform_code"]) or int(header["qform_code"]) else (),
    )
    own = tuple(shape[axis] for axis in reversed(kept))
    packed = path.suffix.lower() == ".gz"
    chunk = own if packed else (1,) * (len(own) - 1) + own[-1:]

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        region: list[Any] = [0] * len(shape)
        for axis, first, last in zip(reversed(kept), begin, end, strict=True):
            region[axis] = slice(first, last)
        path.open("rb").close()  # nibabel takes a file that may not be read for one of another kind
        return np.asarray(nibabel.load(path).dataobj[tuple(region)]).T

    return StoredArray(own, header.get_data_dtype(), chunk, stated, read, "pixdim and affine")


def open_nrrd(place: str, path: Path) -> StoredArray:
    """An NRRD image; raw data in the file itself are mapped, others read as a whole."""
    try:
        import nrrd
    except ImportError:
        raise missing_library(place, "NRRD", "pynrrd", "medical") from None
    with path.open("rb") as file:
        header = nrrd.read_header(file)
        offset = file.tell()
    shape = tuple(int(n) for n in header["sizes"])[::-1]
    names, ndim = _nrrd_axes(place, header, len(shape)), len(shape)
    directions = [np.asarray(row, dtype=float) for row in header.get("space directions", ())]
    spatial = [axis for axis in range(ndim) if names[axis] in SPATIAL]
    sizes: list[float | None] = [None] * ndim
    places: list[float | None] = [None] * ndim
    by = ""
    if len(directions) == ndim and all(np.isfinite(directions[axis]).all() for axis in spatial):
        by, origin = "space directions", header.get("space origin")
        found = _straight(place, np.array([directions[axis] for axis in spatial]), origin)
        for number, axis in enumerate(spatial):
            sizes[axis], places[axis] = found[0][number], found[1][number]
    elif "spacings" in header:
        by = "spacings"
        for axis in spatial:
            value = float(header["spacings"][axis])
            sizes[axis] = value if math.isfinite(value) else None
    said = header.get("space units", ()) or [header.get("units", [""] * ndim)[axis] for axis in spatial]
    units = [""] * ndim
    for axis, unit in zip(spatial, said, strict=False):
        units[axis] = str(unit)
    stated = Stated(
        tuple(reversed(names)), tuple(reversed(sizes)), tuple(reversed(units)), tuple(reversed(places)), by=by
    )
    dtype: np.dtype[Any] = np.dtype(nrrd.reader._determine_datatype(header))
    mapped = header["encoding"] == "raw" and not {"data file", "datafile", "byte skip", "line skip"} & set(header)
    chunk = (1,) * (ndim - 1) + shape[-1:] if mapped else shape

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        values = np.memmap(path, dtype, "c", offset, shape) if mapped else nrrd.read(str(path), index_order="C")[0]
        return np.asarray(values[tuple(slice(b, e) for b, e in zip(begin, end, strict=True))])

    return StoredArray(shape, dtype, chunk, stated, read, "space directions and spacings")


def _nrrd_axes(place: str, header: Any, ndim: int) -> list[str]:
    """Letters from the fastest axis on. The kinds decide; without them the last three axes are spatial."""
    kinds = [str(kind).lower() for kind in header.get("kinds", ())]
    if len(kinds) != ndim:
        rows = header.get("space directions", ())
        kinds = ["space"] * ndim
        for axis, row in enumerate(rows):
            if not np.isfinite(np.asarray(row, dtype=float)).all():
                kinds[axis] = "list"
    if any("color" in kind for kind in kinds):
        raise AnsweredError(f"{place}: is a colour image (kinds {kinds}); expected one label per voxel")
    if sum(kind in ("space", "domain") for kind in kinds) > 3:
        return [""] * ndim
    left = iter(SPATIAL)
    return [
        next(left) if kind in ("space", "domain") else letter({"list": "c", "vector": "c"}.get(kind, kind))
        for kind in kinds
    ]


def open_metaimage(place: str, path: Path) -> StoredArray:
    """A MetaImage (.mha, .mhd)."""
    try:
        import SimpleITK
    except ImportError:
        raise missing_library(place, "MetaImage", "SimpleITK", "medical") from None

    def reader() -> Any:
        opened = SimpleITK.ImageFileReader()
        opened.SetImageIO("MetaImageIO")
        opened.SetFileName(str(path))
        return opened

    header = reader()
    header.ReadImageInformation()
    if header.GetNumberOfComponents() != 1:
        raise AnsweredError(f"{place}: has {header.GetNumberOfComponents()} values per voxel; expected one label")
    size = header.GetSize()
    dims = len(size)
    spacing = np.array(header.GetSpacing())
    directions = (np.array(header.GetDirection()).reshape(dims, dims) * spacing).T
    sizes, places = _straight(place, directions[: min(3, dims)], header.GetOrigin())
    leading = dims - len(sizes)
    stated = Stated(
        (*("t",) * leading, *reversed(SPATIAL[: len(sizes)])),
        (*(None,) * leading, *reversed(sizes)),
        ("",) * dims,
        (*(None,) * leading, *reversed(places)),
        by="MetaImage",
    )
    shape = tuple(int(n) for n in reversed(size))
    dtype = SimpleITK.GetArrayFromImage(SimpleITK.Image([1] * dims, header.GetPixelID())).dtype

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        part = reader()
        part.SetExtractIndex([int(b) for b in reversed(begin)])
        part.SetExtractSize([int(e - b) for b, e in zip(reversed(begin), reversed(end), strict=True)])
        return np.asarray(SimpleITK.GetArrayFromImage(part.Execute()))

    return StoredArray(shape, np.dtype(dtype), shape, stated, read, "ElementSpacing")


def _straight(place: str, directions: Any, origin: Any) -> tuple[list[float], list[float | None]]:
    """Voxel size and place of each axis from the steps that it takes in the world.

    The place is None where an axis runs against that of the world, as no other format can say so.

    Raises
    ------
    AnsweredError
        The axes are rotated or sheared: then no voxel size per axis says what distances are.
    """
    sizes: list[float] = []
    places: list[float | None] = []
    along: list[int] = []
    for step in np.asarray(directions, dtype=float):
        main = int(np.abs(step).argmax())
        rest = np.delete(step, main)
        if main in along or np.abs(rest).max(initial=0) > STRAIGHT * abs(step[main]):
            raise AnsweredError(
                f"{place}: its axes are rotated against the world's (directions {np.asarray(directions).tolist()}); "
                "expected axes along the world's: resample it first"
            )
        along.append(main)
        sizes.append(float(abs(step[main])))
        has_place = origin is not None and step[main] > 0 and np.isfinite(origin[main])
        places.append(float(origin[main]) if has_place else None)
    return sizes, places
