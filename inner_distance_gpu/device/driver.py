"""Whether kernels can run on this machine, and if not, precisely what is missing."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import sys

import torch

from ..arrays import why_no_cuda


def why_not() -> str | None:
    """None where torch has a CUDA device and CuPy is installed, else what is missing and how to get it."""
    forked = why_no_cuda()
    if forked is not None:
        return forked
    if torch.version.cuda is None:
        return (
            f"this torch ({torch.__version__}) is built without CUDA; install one that is, "
            "see https://pytorch.org/get-started/locally"
        )
    version = driver_version()
    if version is None:
        return "no NVIDIA driver was found (libcuda.so.1 does not load); it comes from the system, not from pip"
    needed = _version(torch.version.cuda)
    if version[0] < needed[0]:
        return (
            f"the NVIDIA driver is too old: it supports CUDA {version[0]}.{version[1]}, this torch needs "
            f"{needed[0]}.0; update the driver, or install a torch for an older CUDA"
        )
    if not torch.cuda.is_available():
        return "torch sees no CUDA device (is CUDA_VISIBLE_DEVICES empty?)"
    if not installed("cupy"):
        return f"CuPy is not installed: pip install 'inner_distance_gpu[{extra()}]'"
    return None


def extra() -> str:
    """The extra that matches torch: its CUDA's major version decides which CuPy fits."""
    return "cuda12" if torch.version.cuda is not None and _version(torch.version.cuda)[0] <= 12 else "cuda13"


def installed(package: str) -> bool:
    """Whether a package could be imported; it is not."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


@functools.cache
def driver_version() -> tuple[int, int] | None:
    """The newest CUDA that the driver supports, or None without a driver; starts nothing on the device."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        version = ctypes.c_int(0)
        if library.cuDriverGetVersion(ctypes.byref(version)) == 0:
            return version.value // 1000, version.value % 1000 // 10
    return None


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)
