"""Kernels from real files to machine code, by NVRTC; needs CuPy's binding of it, but no device.

Sources are `kernels/cuda/*.cu`, with templates instantiated by name; headers are handed over in memory, so nothing
has to lie in a folder. The result is CUBIN for the very device: NVRTC may be newer than the driver, which then
could not translate its PTX.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib import resources

from ..engines import native

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
    found = {file.name: file.read_text() for file in folder.iterdir() if file.name.endswith(".hpp")}
    for file in sorted((folder / "cuda").iterdir(), key=lambda file: file.name):
        if file.name.endswith((".cu", ".cuh")):
            found[file.name] = file.read_text()
    return found


def target_for(capability: tuple[int, int], supported: tuple[int, ...]) -> tuple[str, bool]:
    """The architecture to compile for, and whether as machine code: the device's own, or the nearest below it.

    Machine code runs on the same major version from its minor version on; else PTX has to do.
    """
    wanted = 10 * capability[0] + capability[1]
    below = [number for number in supported if number <= wanted]
    if not below:
        raise CompileError(
            f"this NVRTC compiles for compute capability {min(supported) / 10} and above, the device has {wanted / 10}"
        )
    nearest = max(below)
    binary = nearest // 10 == capability[0]
    return (f"sm_{nearest}" if binary else f"compute_{nearest}"), binary


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
