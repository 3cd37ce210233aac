"""Addresses of stores: http(s)://, s3:// and gs://."""

from __future__ import annotations

import re

from .stored import AnsweredError

SCHEMES = ("s3", "gs", "http", "https")
FILES = (
    *(".npy", ".npz", ".png", ".tif", ".tiff", ".btf", ".tf8", ".h5", ".hdf5", ".hdf", ".nii", ".nii.gz"),
    *(".nrrd", ".nhdr", ".mha", ".mhd", ".zip"),
)


def is_address(place: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", place) is not None


def check_address(place: str) -> None:
    """Raise AnsweredError for an address that no store has."""
    address = place.removeprefix("precomputed://")
    if not is_address(address) or address.startswith("file://"):
        return
    scheme, _, rest = address.partition("://")
    if scheme.lower() not in SCHEMES:
        raise AnsweredError(f"{place}: cannot read {scheme}:// addresses; expected one of {', '.join(SCHEMES)}")
    host, _, path = rest.partition("/")
    if not host:
        what = "bucket" if scheme.lower() in ("s3", "gs") else "host"
        raise AnsweredError(f"{place}: names no {what}; expected {scheme}://{what.upper()}/PATH")
    if path.split("?")[0].rstrip("/").lower().endswith(FILES):
        raise AnsweredError(
            f"{place}: cannot read a single file at an address, only Zarr, N5 and precomputed stores; download it"
        )
