"""What `info` says about the GPU side of this machine: driver, devices, versions, or what is missing and what to do."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator

import torch

from . import driver, self_test

_PACKAGES = {
    "CuPy": ("cupy-cuda13x", "cupy-cuda12x", "cupy"),
    "cuCIM": ("cucim-cu13", "cucim-cu12", "cucim"),
    "NVRTC": ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"),
}


def rows() -> Iterator[tuple[str, str]]:
    """Pairs (what, how it is here)."""
    yield "NVIDIA driver", driver.text()
    yield "torch", _torch()
    yield "extra that fits", _extra()
    reason = driver.why_not()
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(index)
            memory = f"{device.total_memory / 2**30:.1f} GiB"
            yield f"cuda:{index}", f"{device.name}, {memory}, compute capability {device.major}.{device.minor}"
        yield from self_tests()
    else:
        yield "CUDA devices", f"none that torch can see: {reason}"
    for name, packages in _PACKAGES.items():
        yield name, _package(packages)


def self_tests() -> Iterator[tuple[str, str]]:
    """Per device, whether it passed the known-answer test; nothing where kernels do not run."""
    for index in range(torch.cuda.device_count() if driver.why_not() is None else 0):
        yield f"known-answer test on cuda:{index}", self_test.state(torch.device("cuda", index))


def _torch() -> str:
    built = torch.version.cuda
    how = "built without CUDA: it has no CUDA tensors" if built is None else f"built with CUDA {built}"
    if built is None and driver.driver_version() is not None:
        how += f"; one that is built with it: {driver.LOCALLY}"
    return f"{torch.__version__}, {how}"


def _extra() -> str:
    name, reason = driver.extra_for(driver.driver_version(), driver.torch_cuda())
    return reason if name is None else f"{name} ({reason.rpartition(':')[0]})"


def _package(names: tuple[str, ...]) -> str:
    found = []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    if len(found) > 1 and "cupy" in names:
        return f"{' and '.join(found)}: they overwrite each other, uninstall all but one"
    extra, reason = driver.extra_for(driver.driver_version(), driver.torch_cuda())
    other = {"cuda12": "cupy-cuda13x", "cuda13": "cupy-cuda12x"}.get(extra or "")
    if found and other is not None and found[0].startswith(f"{other} "):
        return f"{found[0]}: {extra} fits, uninstall it and pip install 'inner_distance_gpu[{extra}]'"
    if found:
        return ", ".join(found)
    return f"not installed ({reason})" if extra is None else f"not installed: pip install 'inner_distance_gpu[{extra}]'"
