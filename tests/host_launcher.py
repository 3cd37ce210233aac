"""A launcher that runs the CUDA sources on the host: compiled by g++ through tests/launch_shim.hpp."""

import ctypes
import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from cuda_records import Doubled, Job, Weighing

from inner_distance_gpu.device.launcher import Limits

TESTS = Path(__file__).parent
KERNELS = TESTS.parent / "kernels"
FLAGS = [
    "-std=c++17",
    "-O2",
    "-ffp-contract=off",
    "-Wall",
    "-Wextra",
    "-Wno-unknown-pragmas",
    "-Werror",
    "-shared",
    "-fPIC",
]


@functools.cache
def library():
    """The kernels as a shared library; skips the test that asks where there is no compiler for it."""
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to run the CUDA kernels on the host")
    counting = os.environ.get("KERNEL_COVERAGE")  # a folder: see kernel_coverage.py
    with tempfile.TemporaryDirectory() as temporary:
        folder, flags = Path(counting or temporary), ["--coverage"] if counting else []
        includes = [f"-I{path}" for path in (TESTS, KERNELS, KERNELS / "cuda")]
        done = subprocess.run(
            [compiler, *FLAGS, *flags, *includes, "-o", folder / "kernels.so", TESTS / "host_kernels.cpp"],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        loaded = ctypes.CDLL(str(folder / "kernels.so"))
    loaded.run_kernel.argtypes = [
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_uint,
        ctypes.POINTER(ctypes.c_uint * 3),
        ctypes.c_size_t,
        ctypes.c_int,
    ]
    return loaded


class HostLauncher:
    """Runs launches at once, in the calling thread.

    `grid` and `block` replace what the engine chose (where a kernel allows any), `order` is that of the threads
    (0 forwards, 1 backwards, 2 one warp as far ahead as it can get), `limits` are those of the device.
    """

    def __init__(self, grid=None, block=None, order=0, shared_bytes=48 << 10, **limits):
        self.grid, self.block, self.order = grid, block, order
        self.shared_bytes, self.other_limits = shared_bytes, limits
        self.launches, self.records = [], []

    def limits(self, device):
        return Limits(multiprocessors=2, shared_bytes=self.shared_bytes, **self.other_limits)

    def run(self, launches, records, device):
        for launch in launches:
            self.run_one(launch, launch.record(records))

    def run_one(self, launch, address):
        self.launches.append(launch)
        self.records.append(record_at(launch, address))
        assert launch.shared_bytes <= self.shared_bytes
        grid, block = launch.grid, launch.block
        if self.grid is not None:
            grid = min(grid, self.grid)
        if self.block is not None and launch.kernel.file in ("plane.cu", "pairs.cu"):
            block = (self.block, 1, 1)
        status = library().run_kernel(
            launch.kernel.name.encode(),
            address,
            grid,
            (ctypes.c_uint * 3)(*block),
            launch.shared_bytes,
            self.order,
        )
        assert status == 0, {1: "threads wait for ever", 2: "no such kernel"}[status] + f": {launch.kernel}"


def record_at(launch, address):
    """A copy of the record of a launch."""
    kind = Weighing if launch.weighs else Doubled if launch.kernel.file == "doubled.cu" else Job
    return kind.from_buffer_copy(ctypes.string_at(address, ctypes.sizeof(kind)))


@pytest.fixture
def on_host(monkeypatch):
    """Call it with a launcher: from then on the device engines run on the host, and say that they can."""
    import torch

    from inner_distance_gpu import arrays
    from inner_distance_gpu.device import driver
    from inner_distance_gpu.device import launcher as launching
    from inner_distance_gpu.engines import cucim

    def start(launcher):
        monkeypatch.setattr(launching, "launcher", launcher)
        monkeypatch.setattr(driver, "why_not", lambda: None)
        monkeypatch.setattr(driver, "installed", lambda package: True)
        monkeypatch.setattr(arrays, "default_device", lambda: torch.device("cpu"))
        monkeypatch.setattr(cucim, "_distance", _scipy_distance)
        return launcher

    return start


def _scipy_distance(grid, sampling):
    """SciPy in cuCIM's place, with its float32."""
    import torch
    from scipy.ndimage import distance_transform_edt

    assert (grid == 0).any(), "the EDT was called without a site"
    return torch.from_numpy(distance_transform_edt(grid.numpy(), sampling=list(sampling))).float()
