"""Files of a target without its values: what a format's own library says of it, and where float32 values go in it.

A library writes the header. The values are written by `files`, part by part, so that no target has to fit in memory, a
full disk is an error like any other, and what is written is synced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from . import units
from .stored import missing_library
from .target import Target
from .tiff_target import begin_tiff

DATA_SET = "target"  # its name in an HDF5 file
_NIFTI_AXES = 7
_NIFTI_UNITS = {"m": "meter", "mm": "mm", "µm": "micron", "": "unknown"}


@dataclass(frozen=True)
class Layout:
    """Where the values lie in a file: little-endian float32 in C order, from the byte `offset` on.

    `order` are the axes of the target as they are stored, y and x last.
    """

    offset: int
    order: tuple[int, ...]


def begin_npy(file: BinaryIO, path: Path, target: Target) -> Layout:
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": target.shape})
    return Layout(file.tell(), tuple(range(len(target.shape))))


def begin_hdf5(file: BinaryIO, path: Path, target: Target) -> Layout:
    """One data set, with attributes as CREMI and funlib have them: `offset` is the corner of voxel 0."""
    try:
        import h5py
    except ImportError:
        raise missing_library(str(path), "HDF5", "h5py", "volumes") from None
    with h5py.File(file, "w") as stored:
        how = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        # The space for the values is there from the beginning, and nothing is written into it.
        how.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        how.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        space = h5py.h5s.create_simple(target.shape)
        data = h5py.Dataset(h5py.h5d.create(stored.id, DATA_SET.encode(), h5py.h5t.IEEE_F32LE, space, how))
        for dimension, axis in zip(data.dims, target.axes, strict=False):
            dimension.label = axis
        if target.voxel_size:
            data.attrs["resolution"] = target.voxel_size
            data.attrs["axis_names"] = [*(f"{axis}^" for axis in target.leading), *target.spatial]
        if target.unit:
            data.attrs["units"] = [target.unit] * target.dims
        if target.translation is not None:
            halves = zip(target.translation, target.voxel_size, strict=True)
            data.attrs["offset"] = [centre - size / 2 for centre, size in halves]
        if target.classes:
            data.attrs["classes"] = list(target.classes)
        return Layout(data.id.get_offset(), tuple(range(len(target.shape))))


def begin_nifti(file: BinaryIO, path: Path, target: Target) -> Layout:
    """A NIfTI image, of version 2 where an axis is too long for version 1; x, y, z, time, channels, others."""
    try:
        import nibabel
    except ImportError:
        raise missing_library(str(path), "NIfTI", "nibabel", "medical") from None
    dims, shape = target.dims, target.shape
    order = _nifti_order(path, target)
    if target.spatial != ("z", "y", "x")[3 - dims :]:
        raise ValueError(f"{path}: a NIfTI image has the axes z, y, x, and the target {target.axes}")
    sizes: list[int] = [1 if axis is None else shape[axis] for axis in order]
    kind = nibabel.Nifti1Header if max(sizes) < 2**15 else nibabel.Nifti2Header
    header = kind(endianness="<")
    header.set_data_dtype(np.dtype("<f4"))
    header.set_data_shape(sizes)
    unit = target.unit if target.unit in _NIFTI_UNITS else "mm" if target.unit == "cm" else "µm"
    spacing, place = _in_unit(target.voxel_size, target.unit, unit), _in_unit(target.translation, target.unit, unit)
    if not all(0 < size < np.inf for size in np.asarray(spacing, np.float32)):
        raise ValueError(f"{path}: a NIfTI image keeps voxel sizes in float32, which cannot hold {spacing} {unit}")
    header.set_zooms([*reversed(spacing), *(1.0,) * (len(sizes) - dims)])
    header.set_xyzt_units(_NIFTI_UNITS[unit])
    header.set_slope_inter(1, 0)
    matrix = np.array(target.affine) if target.affine else None
    if matrix is None and place is not None:
        matrix = np.diag([*reversed(spacing), *(1.0,) * (4 - dims)])
        matrix[:dims, 3] = place[::-1]
    if matrix is not None:
        header.set_qform(matrix, code="aligned")
        header.set_sform(matrix, code="aligned")
    header["vox_offset"] = header.single_vox_offset
    header.write_to(file)
    return Layout(header.single_vox_offset, tuple(axis for axis in reversed(order) if axis is not None))


def _nifti_order(path: Path, target: Target) -> list[int | None]:
    """The axes of a target from x on; None for one that the image has and the target has not."""
    front = len(target.leading)
    slots: list[int | None] = [None] * (_NIFTI_AXES - 3)
    others = [axis for axis, name in enumerate(target.leading) if name not in ("t", "c")]
    for axis, name in enumerate(target.leading):
        if axis not in others:
            slots["tc".index(name)] = axis
    if len(others) > len(slots) - 2 or (front and target.dims < 3):
        raise ValueError(
            f"{path}: a NIfTI image cannot hold the axes {target.axes}: expected at most time, channels and two others "
            "in front of z, y, x, or y, x alone; .npy, HDF5 and Zarr hold any"
        )
    slots[2 : 2 + len(others)] = reversed(others)
    while slots and slots[-1] is None:
        slots.pop()
    return [*reversed(range(front, len(target.shape))), *slots]


def _in_unit(values: Any, stored: str, wanted: str) -> Any:
    return values if values is None or stored == wanted else tuple(units.convert(v, stored, wanted) for v in values)


def _begin_tiff(file: BinaryIO, path: Path, target: Target) -> Layout:
    return Layout(*begin_tiff(file, path, target))


Begin = Callable[[BinaryIO, Path, Target], Layout]
FORMATS: dict[Sequence[str], Begin] = {
    (".npy",): begin_npy,
    (".ome.tif", ".ome.tiff", ".tif", ".tiff", ".btf", ".tf8"): _begin_tiff,
    (".h5", ".hdf5", ".hdf"): begin_hdf5,
    (".nii.gz", ".nii"): begin_nifti,
}
SUFFIXES = tuple(suffix for suffixes in FORMATS for suffix in suffixes)


def suffix_of(path: Path) -> str:
    """The suffix of a name that is one of a format of targets, such as ".nii.gz"; "" for any other."""
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), "")


def begin(file: BinaryIO, path: Path, target: Target) -> Layout:
    """Write what a file of the format that `path` names has besides values.

    Raises
    ------
    ValueError
        The format cannot hold the target, or its library is missing.
    """
    suffix = suffix_of(path)
    return next(start for suffixes, start in FORMATS.items() if suffix in suffixes)(file, path, target)
