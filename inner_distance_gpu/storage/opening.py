"""Labels where they are: files and stores with their voxel size, unit and place."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..parameters import check_voxel_size
from . import addresses, chunked, hdf5, medical, placing, plain, tiff
from .stored import AnsweredError, Box, StoredArray, opening

READABLE = (
    ".npy, .npz, .png, TIFF, HDF5, NIfTI, NRRD, MetaImage, Zarr, N5 or precomputed; stores also at s3://, gs:// and "
    "https://"
)
# Libraries for label files that are not read here, by suffix, for the error that names one.
_READ_BY = {
    "bioio": (".czi", ".lif", ".nd2", ".oib", ".oif", ".vsi"),
    "h5py": (".ims",),
    "imageio": (".bmp", ".gif", ".jp2", ".tga", ".webp"),
    "mrcfile": (".map", ".mrc", ".rec"),
    "scipy.io": (".mat",),
    "SimpleITK": (".dcm",),
    "tifffile": (".lsm", ".qptiff", ".scn", ".svs"),
}
_HDF5 = (".h5", ".hdf5", ".hdf")
_WITH_KEY = (".npz", *_HDF5)


class Labels:
    """Labels in a file or store, as `open_labels` found them. Nothing but metadata is read before `read`.

    Attributes
    ----------
    shape, dtype
        Of the labels: the spatial axes are the last ones, all others in front.
    axes : tuple of str
        One-letter names, "" where unknown.
    voxel_size : tuple of float, or None
        World units, one number per spatial axis, in array-axis order; None where neither file nor caller says.
    unit : str
        Short: "nm", "µm", "mm"; "" where unknown.
    translation : tuple of float, or None
        Where the centre of voxel 0 lies in the world, per spatial axis.
    stated_by : str
        What says the voxel size: "given", "ImageJ", "OME-Zarr" and the like; "" for None.
    chunk : tuple of int
        Voxels per axis that are read at least, whatever is asked for: the whole array where a format allows no less.
    stored_axes : tuple of str
        `axes` in the order of the file: reading moves the spatial ones to the end, and drops what `select` names.
    order : tuple of int
        The number of each of the `axes` in the file.
    stated : Stated
        What the file itself states.
    folder : Path or None
        Of a local Zarr array.
    notice : str
        One sentence where the file states something else than what was given; else "".
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: tuple[str, ...]
    voxel_size: tuple[float, ...] | None
    unit: str
    translation: tuple[float, ...] | None
    stated_by: str
    chunk: tuple[int, ...]
    notice: str

    def __init__(self, where: str, stored: StoredArray, recipe: tuple[Any, ...]) -> None:
        select, given, unit = recipe[4:]
        self.where, self._stored, self._recipe = where, stored, recipe
        self.stated, self.folder = stored.stated, stored.folder
        self._pinned, self._order = placing.layout(where, stored, dict(select))
        self.stored_axes = stored.stated.axes
        self.order = tuple(self._order)
        self.axes = tuple(self.stored_axes[axis] for axis in self._order)
        self.shape = tuple(stored.shape[axis] for axis in self._order)
        self.chunk = tuple(stored.chunk[axis] for axis in self._order)
        self.dtype, self.stored_dtype = stored.dtype.newbyteorder("="), stored.dtype
        stated = stored.stated
        sizes = [stated.sizes[axis] if stated.sizes else None for axis in self._order]
        dims = placing.count_spatial(where, self.shape, self.axes, sizes, given)
        front = len(self._order) - dims
        ahead = self.axes[front - 1] if 0 < front < len(self._order) else None
        found = placing.Placing.of(where, stated, self._order[front:], ahead, given, unit)
        self.voxel_size, self.unit, self.stated_by, self.notice = found.sizes, found.unit, found.by, found.notice
        self.translation = found.translation

    def read(self, begin: Sequence[int] | None = None, end: Sequence[int] | None = None) -> npt.NDArray[Any]:
        """The labels of a box, or all of them.

        Parameters
        ----------
        begin, end : sequence of int, or None
            Over all axes of `shape`; clipped to it. None is the first and the last corner.

        Returns
        -------
        array of the shape end - begin after clipping, in C order and native bytes

        Raises
        ------
        ValueError, OSError
            They cannot be read; the message begins with the place as it was spelt.
        """
        first = [0] * len(self.shape) if begin is None else begin
        low, high = self._clipped(first, self.shape if end is None else end)
        shape = tuple(h - b for b, h in zip(low, high, strict=True))
        if 0 in shape:
            return np.empty(shape, self.dtype)
        with opening(self.where):
            values = self._stored.read(*self._in_stored_order(low, high))
        values = values.reshape([n for axis, n in enumerate(values.shape) if axis not in self._pinned])
        kept = [axis for axis in range(len(self._stored.shape)) if axis not in self._pinned]
        values = values.transpose([kept.index(axis) for axis in self._order])
        return np.ascontiguousarray(values, self.dtype)

    def missing(self, begin: Sequence[int], end: Sequence[int]) -> list[Box]:
        """Boxes (begin, end) of the chunks that touch a box and are not stored; empty where a format has none.

        Raises
        ------
        ValueError, OSError
            As `read`.
        """
        low, high = self._clipped(begin, end)
        if any(h <= b for b, h in zip(low, high, strict=True)):
            return []
        with opening(self.where):
            boxes = self._stored.missing(*self._in_stored_order(low, high))
        return [
            (tuple(first[axis] for axis in self._order), tuple(last[axis] for axis in self._order))
            for first, last in boxes
        ]

    def _clipped(self, begin: Sequence[int], end: Sequence[int]) -> Box:
        if len(begin) != len(self.shape) or len(end) != len(self.shape):
            raise ValueError(f"box {list(begin)} to {list(end)}: expected {len(self.shape)} numbers each")
        low = tuple(min(max(int(b), 0), n) for b, n in zip(begin, self.shape, strict=True))
        high = tuple(max(min(int(e), n), b) for e, n, b in zip(end, self.shape, low, strict=True))
        return low, high

    def _in_stored_order(self, low: Sequence[int], high: Sequence[int]) -> Box:
        first, last = [0] * len(self._stored.shape), [0] * len(self._stored.shape)
        for axis, index in self._pinned.items():
            first[axis], last[axis] = index, index + 1
        for axis, b, h in zip(self._order, low, high, strict=True):
            first[axis], last[axis] = b, h
        return tuple(first), tuple(last)

    def require_voxel_size(self) -> tuple[float, ...]:
        """The voxel size.

        Raises
        ------
        ValueError
            It is unknown; the message says what was looked for, and what to give.
        """
        if self.voxel_size is None:
            raise ValueError(
                f"{self.where}: states no voxel size (looked for {self._stored.looked_for}); give "
                "voxel_size=(40, 4, 4) or the like"
            )
        return self.voxel_size

    def __reduce__(self) -> Any:
        return _open, self._recipe

    def __repr__(self) -> str:
        return (
            f"Labels({self.where!r}, shape={self.shape}, dtype={self.dtype}, axes={self.axes}, "
            f"voxel_size={self.voxel_size}, unit={self.unit!r}, translation={self.translation})"
        )


def open_labels(
    where: str | os.PathLike[str],
    key: str | None = None,
    *,
    level: int = 0,
    select: Mapping[str, int] = {},
    voxel_size: Sequence[float] | None = None,
    unit: str = "",
) -> Labels:
    """Labels in a file or store, with voxel size, unit and place as it states them.

    Parameters
    ----------
    where : str or path
        A .npy, .npz, PNG, TIFF, HDF5, NIfTI, NRRD or MetaImage file; a folder or pattern of TIFF slices; a Zarr, N5 or
        precomputed store, also in a .zip or at an s3://, gs:// or http(s):// address.
    key : str or None
        Which array of an .npz, HDF5 file or group.
    level : int
        Of a pyramid; 0 is the full resolution.
    select : mapping of str to int
        Index along the axis of that letter, which is dropped: {"c": 1}.
    voxel_size : sequence of float or None
        Counts instead of what the file states; per spatial axis, in array-axis order, in `unit` or else in the file's.
    unit : str
        Where the file states another, its voxel size and place are converted; where it states none, this is it.

    Returns
    -------
    Labels
        It pickles as what was asked for, and is opened anew where it is unpickled.

    Raises
    ------
    FileNotFoundError
        There is nothing of that name.
    ValueError, OSError
        It cannot be read, holds several arrays, or contradicts what was asked for. The message names the place as it
        was spelt.

    Examples
    --------
    >>> labels = open_labels("s3://bucket/volume.zarr/labels", level=1)  # doctest: +SKIP
    >>> block = labels.read((0, 0, 0), (64, 64, 64))  # doctest: +SKIP
    """
    given = None if voxel_size is None else check_voxel_size(voxel_size)
    # A worker may have another working directory.
    return _open(os.getcwd(), os.fspath(where), key, level, tuple(dict(select).items()), given, unit)


def _open(
    folder: str,
    where: str,
    key: str | None,
    level: int,
    select: tuple[tuple[str, int], ...],
    given: tuple[float, ...] | None,
    unit: str,
) -> Labels:
    with opening(where):
        stored = _stored(where, folder, key, level, given is not None)
    return Labels(where, stored, (folder, where, key, level, select, given, unit))


def _stored(where: str, folder: str, key: str | None, level: int, given: bool) -> StoredArray:
    """The array, by the family of its format."""
    local = where.removeprefix("file://")
    if addresses.is_address(local):
        addresses.check_address(where)
        return chunked.open_chunked(where, local, key, level, given)
    path = Path(folder, local)
    suffix = path.suffix.lower()
    is_nifti = suffix == ".nii" or path.name.lower().endswith(".nii.gz")
    named = suffix in (".npy", ".npz", ".png", *tiff.SUFFIXES, *_HDF5, ".nrrd", ".nhdr", ".mha", ".mhd") or is_nifti
    if not path.exists() and "*" in local:
        return tiff.open_slices(where, path)
    if not path.exists() and (named or suffix == ".zip"):
        raise FileNotFoundError(f"{where}: no such file; expected {READABLE}")
    if path.is_dir() and (named or any(tiff.is_slice(name) for name in os.listdir(path))):
        if named:
            raise AnsweredError(f"{where}: is a folder; expected {READABLE}")
        return tiff.open_slices(where, path)
    if path.is_dir() or not path.exists() or suffix == ".zip":
        return chunked.open_chunked(where, str(path), key, level, given)
    if not named:
        what = suffix or "a file without suffix"
        raise AnsweredError(f"{where}: cannot read {what}; expected {READABLE}. {_how_to_load(suffix)}")
    if not path.is_file():
        raise FileNotFoundError(f"{where}: is no file; expected {READABLE}")
    if level:
        raise AnsweredError(f"{where}: is no pyramid; expected level=0, not {level}")
    if key is not None and suffix not in _WITH_KEY:
        raise AnsweredError(f"key={key!r} names an array in an .npz or HDF5 file or group; labels come from {where}")
    if suffix == ".npz":
        return plain.open_npz(where, path, key)
    if suffix in _HDF5:
        return hdf5.open_hdf5(where, path, key)
    if is_nifti:
        return medical.open_nifti(where, path)
    families = {".npy": plain.open_npy, ".png": plain.open_png, ".nrrd": medical.open_nrrd, ".nhdr": medical.open_nrrd}
    families |= {".mha": medical.open_metaimage, ".mhd": medical.open_metaimage}
    return families.get(suffix, tiff.open_tiff)(where, path)


def _how_to_load(suffix: str) -> str:
    """What to do with labels in a format that is not read here, in one sentence."""
    if suffix in (".jpg", ".jpeg"):
        return "JPEG changes label ids when it compresses: export the labels anew, as TIFF or PNG"
    known = next((library for library, suffixes in _READ_BY.items() if suffix in suffixes), None)
    library = known or "the library of their format"
    return f"Load the labels with {library}, then numpy.save('labels.npy', array)"
