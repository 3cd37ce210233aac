"""Addresses of stores: http(s)://, s3:// and gs://."""

from __future__ import annotations

import os
import re
from pathlib import Path

from .stored import AnsweredError

SCHEMES = ("s3", "gs", "http", "https")
FILES = (
    *(".npy", ".npz", ".png", ".tif", ".tiff", ".btf", ".tf8", ".h5", ".hdf5", ".hdf", ".nii", ".nii.gz"),
    *(".nrrd", ".nhdr", ".mha", ".mhd", ".zip"),
)


_AWS_NAMES = (
    *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
_AWS_FILES = {"AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials", "AWS_CONFIG_FILE": "~/.aws/config"}
_VENDOR = Path("/sys/class/dmi/id/sys_vendor")


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


def has_aws_credentials() -> bool:
    """Whether AWS may find credentials here. Asking it where there are none prints a dozen lines of its own."""
    if any(os.environ.get(name) for name in _AWS_NAMES):
        return True
    if any(Path(os.environ.get(name, place)).expanduser().is_file() for name, place in _AWS_FILES.items()):
        return True
    return _VENDOR.is_file() and _VENDOR.read_text(encoding="utf-8", errors="replace").startswith("Amazon")
