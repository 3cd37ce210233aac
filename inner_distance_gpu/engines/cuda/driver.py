"""What the NVIDIA driver and torch support, which extra of this package goes with them, and what kernels still miss.

Also a script, which needs nothing but Python: it prints the extra to install, or nothing, and why on standard error.
The Makefile asks it in the environment into which it has just installed torch. With `--driver` it prints no more than
the newest CUDA that the driver supports.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import runpy
import sys
from pathlib import Path

LOCALLY = "https://pytorch.org/get-started/locally"
_KERNEL_MODULE = Path("/sys/module/nvidia/version")  # Linux
_LIBRARIES = ("libcuda.so.1", "nvcuda.dll")


def why_not() -> str | None:
    """None where torch has a CUDA device and CuPy is installed, else what is missing and how to get it."""
    import torch

    from ...arrays import why_no_cuda

    forked = why_no_cuda()
    if forked is not None:
        return forked
    if torch.version.cuda is None:
        return (
            f"this torch ({torch.__version__}) is built without CUDA, it has no CUDA tensors; install one that is "
            f"built with it, see {LOCALLY}"
        )
    version = driver_version()
    if version is None:
        return "no NVIDIA driver was found (libcuda.so.1 does not load); it comes from the system, not from pip"
    needed = _version(torch.version.cuda)
    if version[0] < needed[0]:
        return (
            f"the NVIDIA driver is too old: it supports CUDA {version[0]}.{version[1]}, this torch needs "
            f"{needed[0]}.0; update the driver, or install a torch for an older CUDA, see {LOCALLY}"
        )
    if not torch.cuda.is_available():
        return "torch sees no CUDA device (is CUDA_VISIBLE_DEVICES empty?)"
    if not installed("cupy"):
        return f"CuPy is not installed: pip install 'inner_distance_gpu[{extra()}]'"
    from . import compiler

    return compiler.why_not()


def text() -> str:
    """The versions of the NVIDIA driver."""
    version = driver_version()
    if version is None:
        return "not found (libcuda.so.1 does not load); it comes from the system, not from pip"
    module = f"{_KERNEL_MODULE.read_text().strip()}, " if _KERNEL_MODULE.is_file() else ""
    return f"{module}supports CUDA up to {version[0]}.{version[1]}"


def extra() -> str:
    """The extra to name where a package is missing: what fits driver and torch, or else the newest."""
    return extra_for(driver_version(), torch_cuda())[0] or "cuda13"


def extra_for(version: tuple[int, int] | None, built_with: tuple[int, int] | None = None) -> tuple[str | None, str]:
    """The extra whose packages run on a driver for CUDA up to `version`, beside a torch built with `built_with`.

    Torch loads the NVRTC of its own CUDA first, and CuPy then takes that one: where the driver runs this torch, torch
    decides, and else the driver. The second value is the reason in words.
    """
    if version is None:
        return None, "no NVIDIA driver was found: no CUDA engine is installed"
    supports = f"the NVIDIA driver supports CUDA {version[0]}.{version[1]}"
    if version[0] < 12:
        return None, f"{supports}, the CUDA engines need 12 or newer: no CUDA engine is installed"
    major = version[0]
    if built_with is not None and built_with[0] >= 12:
        supports += f", torch is built with CUDA {built_with[0]}.{built_with[1]}"
        major = min(major, built_with[0])
    name = "cuda12" if major == 12 else "cuda13"
    return name, f"{supports}: extra {name}"


def torch_cuda() -> tuple[int, int] | None:
    """The CUDA that the installed torch is built with, if any; imports no torch."""
    loaded = sys.modules.get("torch")
    if loaded is not None:
        built_with = loaded.version.cuda
    else:
        found = importlib.util.find_spec("torch")
        if found is None or found.origin is None:
            return None
        built_with = runpy.run_path(str(Path(found.origin).with_name("version.py"))).get("cuda")
    return None if built_with is None else _version(built_with)


def installed(package: str) -> bool:
    """Whether a package could be imported; it is not."""
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


@functools.cache
def driver_version() -> tuple[int, int] | None:
    """The newest CUDA that the driver supports, or None without a driver; starts nothing on the device."""
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        version = ctypes.c_int(0)
        if library.cuDriverGetVersion(ctypes.byref(version)) == 0 and version.value > 0:
            return version.value // 1000, version.value % 1000 // 10
    return None


def _version(text: str) -> tuple[int, int]:
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


if __name__ == "__main__":
    if sys.argv[1:] == ["--driver"]:
        print(driver_version())
        sys.exit()
    chosen, reason = extra_for(driver_version(), torch_cuda())
    print(reason, file=sys.stderr)
    if chosen is not None:
        print(chosen)
