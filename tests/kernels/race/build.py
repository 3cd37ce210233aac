"""Compiles the kernels for the race detector: one shared library per file of kernels/cuda, and one for the runtime.

The compiler's instrumentation for ThreadSanitizer calls a function before every access to memory. These functions are
runtime.cpp's, not those of gcc's own library, which knows nothing of barriers in a block.
"""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from inner_distance_gpu.engines.cuda import compiler

RACE = Path(__file__).parent
TESTS, KERNELS = RACE.parents[1], RACE.parents[2] / "kernels"
FLAGS = ["-std=c++17", "-O1", "-g", "-ffp-contract=off", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Werror", "-fPIC"]
INSTRUMENTED = ["-fsanitize=thread,shift-exponent,bounds,alignment", "--param", "tsan-distinguish-volatile=1"]
RECORDS = {"doubled.cu": "Doubled", "weights.cu": "Weighing"}  # all others take a Job

MODULE = """
extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char _end[] __attribute__((visibility("hidden")));
extern const char __start_cuda_shared[] __attribute__((visibility("hidden"), weak));
extern const char __stop_cuda_shared[] __attribute__((visibility("hidden"), weak));
__attribute__((no_sanitize("thread"))) void race_module(Module* module) {
  *module = {(unsigned long)__ehdr_start, (unsigned long)_end, (unsigned long)__start_cuda_shared,
             (unsigned long)__stop_cuda_shared};
}
}
"""


class Module(ctypes.Structure):
    """Addresses of a library, as in launch_shim.hpp."""

    _fields_ = tuple((name, ctypes.c_ulong) for name in ("begin", "end", "shared_begin", "shared_end"))


def cxx():
    """The compiler, which must be gcc; skips the test that asks where there is none."""
    found = os.environ.get("CXX") or shutil.which("g++")
    if found is None:
        pytest.skip("needs g++ to run the CUDA kernels under the race detector")
    return found


def _compile(arguments):
    done = subprocess.run([cxx(), *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@functools.cache
def runtime():
    """The runtime, loaded so that the kernels' libraries find it."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "runtime.so"
        _compile([*FLAGS, "-O2", "-shared", f"-I{TESTS}", "-o", library, RACE / "runtime.cpp"])
        loaded = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    address, number = ctypes.c_uint64, ctypes.c_int
    integers = ctypes.POINTER(ctypes.c_int64)
    loaded.race_region.argtypes = [ctypes.c_char_p, ctypes.c_bool]
    loaded.race_array.argtypes = [address, number, integers, integers, ctypes.c_int64, number]
    loaded.race_initialised.argtypes = [address, address, ctypes.c_bool]
    loaded.race_run.argtypes = [
        *(ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(Module), ctypes.c_uint32),
        *(ctypes.POINTER(ctypes.c_uint32 * 3), ctypes.c_size_t, number),
    ]
    loaded.race_run.restype = ctypes.c_bool
    loaded.race_accesses.restype = loaded.race_bytes_read.restype = ctypes.c_uint64
    loaded.race_bytes_read.argtypes = [ctypes.c_char_p]
    loaded.race_findings.restype = ctypes.c_char_p
    return loaded


class Kernels:
    """Instrumented instances of the kernels of one file."""

    def __init__(self, source, names, record, folder):
        """`names` maps what a launch calls a kernel to the C++ expression for it; `source` is an absolute path."""
        runtime()
        self.symbols = {name: f"race_kernel_{number}" for number, name in enumerate(names)}
        self.library = folder / f"{source.stem}.so"
        text = f'#include "launch_shim.hpp"\n#include "{source}"\nusing namespace half_grid;\n{MODULE}'
        text += 'extern "C" {\n'
        for name, symbol in self.symbols.items():
            text += '__attribute__((no_sanitize("thread"))) '
            text += f"void {symbol}(const void* record) {{ {name}(*static_cast<const {record}*>(record)); }}\n"
        unit = folder / f"{source.stem}.cpp"
        unit.write_text(text + "}\n")
        includes = [
            f"-I{path}" for path in (RACE, TESTS, source.parent, source.parent.parent, KERNELS, KERNELS / "cuda")
        ]
        _compile([*FLAGS, *INSTRUMENTED, *includes, "-c", "-o", unit.with_suffix(".o"), unit])
        _compile(["-shared", "-Wl,-z,now", "-o", self.library, unit.with_suffix(".o")])
        self.loaded = ctypes.CDLL(str(self.library))
        self.module = Module()
        self.loaded.race_module(ctypes.byref(self.module))

    def line_of(self, instruction):
        """File and line of an instruction, and of the calls that were inlined around it."""
        command = ["addr2line", "-i", "-e", self.library, hex(instruction - 1 - self.module.begin)]
        places = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        return " in ".join(Path(place.split(" ")[0]).name for place in places)


@functools.cache
def _folder():
    return tempfile.TemporaryDirectory(prefix="race-")


def kernels_of(file, kernels=KERNELS, names=None, folder=None):
    """The kernels of a file that ships, or of a copy of the folder `kernels`; all instances or those named."""
    names = names or [kernel.name for kernel in compiler.every_kernel() if kernel.file == file]
    return Kernels(kernels / "cuda" / file, names, RECORDS.get(file, "Job"), folder or Path(_folder().name))


@functools.cache
def shipped(file):
    return kernels_of(file)
