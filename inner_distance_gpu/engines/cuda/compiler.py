"""Kernels from real files to machine code, by NVRTC; needs CuPy's binding of it, but no device.

Sources are `kernels/cuda/*.cu`, with templates instantiated by name; headers are handed over in memory, so nothing
has to lie in a folder. The result is CUBIN for the very device: NVRTC may be newer than the driver, which then
could not translate its PTX.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from importlib import resources

from .. import native

# No contraction: then the device rounds as the CPU engine does, and both give the same bits.
OPTIONS = ("--std=c++17", "-fmad=false")


@dataclass(frozen=True)
class Kernel:
    """A file of `kernels/cuda` and one instance of a kernel template in it."""

    file: str
    name: str


def every_kernel() -> tuple[Kernel, ...]:
    """Every kernel that a call can launch."""
    return tuple(Kernel(file, name) for file, name in native.extension().kernel_names())


_SHARED = ("half_grid.hpp", "labels.hpp", "tanh.hpp", "job.hpp")  # with the host

# Jetson, Drive and the like: their machine code and that of discrete devices of the same major version do not mix.
_EMBEDDED = frozenset({53, 62, 72, 87, 88, 101, 110})
_YOUNG = (8, 0)  # every NVRTC up to 13 compiles for these and later ones; 13 no longer does so below 7.5


class CompileError(RuntimeError):
    """A kernel did not compile: a bug of this package, or an NVRTC too old for it. The message has the log."""


@dataclass(frozen=True)
class Machine:
    """Machine code of one kernel: an image to load, the name of the kernel in it, what the compiler said."""

    image: bytes
    symbol: str
    log: str


@functools.cache
def sources() -> dict[str, str]:
    """Every file that a kernel is made of, by the name it is included by."""
    folder = resources.files("inner_distance_gpu") / "kernels"
    found = {name: (folder / name).read_text() for name in _SHARED}
    for file in sorted((folder / "cuda").iterdir(), key=lambda file: file.name):
        if file.name.endswith((".cu", ".cuh")):
            found[file.name] = file.read_text()
    return found


def why_not() -> str | None:
    """None where NVRTC compiles for one of the devices that torch sees, else what to do.

    NVRTC is asked, and CuPy imported for it, only for devices that a release of it has left behind, or soon will.
    """
    import torch

    if os.environ.get("PYTORCH_NVML_BASED_CUDA_CHECK") == "1" and not torch.cuda.is_initialized():
        return None  # who sets this wants to fork after asking, which a CUDA that was started does not survive
    try:
        capabilities = [_capability(index) for index in range(torch.cuda.device_count())]
    except RuntimeError as error:  # the device is there, but for instance another process has it for itself
        return f"torch cannot start CUDA: {error}"
    newest = max(capabilities, default=_YOUNG)
    if newest >= _YOUNG:
        return None
    try:
        target_for(newest, supported())
    except (CompileError, ImportError, OSError) as error:  # the latter two: a CuPy that finds no NVRTC
        return str(error)
    return None


@functools.cache
def _capability(index: int) -> tuple[int, int]:
    import torch

    properties = torch.cuda.get_device_properties(index)
    return properties.major, properties.minor


@functools.cache
def supported() -> tuple[int, ...]:
    """The architectures that the installed NVRTC compiles for."""
    from cupy.cuda import nvrtc

    return tuple(nvrtc.getSupportedArchs())


def target_for(capability: tuple[int, int], supported: tuple[int, ...]) -> str:
    """The architecture to compile for: "sm_…" is machine code, "compute_…" PTX, which the driver translates.

    Machine code for the device itself, or for the nearest minor version below of the same major version, but not
    across the border between discrete and embedded devices. Else PTX for the nearest below, which runs on every later
    device but takes a driver that is as new as NVRTC.
    """
    wanted = 10 * capability[0] + capability[1]
    below = sorted(number for number in supported if number <= wanted)
    if not below:
        raise CompileError(
            f"this NVRTC compiles for compute capability {min(supported) / 10} and above, the device has {wanted / 10}"
            "; install a torch and a CuPy for an older CUDA"
        )
    alike = [n for n in below if n // 10 == capability[0] and (n in _EMBEDDED) == (wanted in _EMBEDDED)]
    if wanted in below or (alike and wanted not in _EMBEDDED):
        return f"sm_{alike[-1]}"
    discrete = [number for number in below if number not in _EMBEDDED]
    return f"compute_{(discrete or below)[-1]}"


def compile_kernel(kernel: Kernel, architecture: str, extra: tuple[str, ...] = ()) -> Machine:
    """Compile for an architecture such as "sm_90" (machine code) or "compute_90" (PTX)."""
    from cupy.cuda import nvrtc

    headers = {name: text for name, text in sources().items() if name.endswith(("h", "hpp"))}
    program = nvrtc.createProgram(
        sources()[kernel.file],
        kernel.file,
        tuple(text.encode() for text in headers.values()),
        tuple(name.encode() for name in headers),
    )
    try:
        nvrtc.addNameExpression(program, kernel.name)
        try:
            nvrtc.compileProgram(program, (f"-arch={architecture}", *OPTIONS, *extra))
        except nvrtc.NVRTCError as error:
            raise CompileError(
                f"{kernel.name} ({kernel.file}) does not compile for {architecture} with NVRTC "
                f"{'.'.join(map(str, nvrtc.getVersion()))} ({error}):\n{_log(nvrtc, program)}"
            ) from None
        image = nvrtc.getCUBIN(program) if architecture.startswith("sm_") else nvrtc.getPTX(program)
        symbol = nvrtc.getLoweredName(program, kernel.name)
        return Machine(image, symbol if isinstance(symbol, str) else symbol.decode(), _log(nvrtc, program))
    finally:
        nvrtc.destroyProgram(program)


def _log(nvrtc: object, program: int) -> str:
    log = nvrtc.getProgramLog(program)  # type: ignore[attr-defined]
    return str(log if isinstance(log, str) else log.decode()).rstrip("\0\n")
