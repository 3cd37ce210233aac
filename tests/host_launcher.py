"""A launcher that runs the CUDA sources on the host: compiled by g++ through tests/launch_shim.hpp."""

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import pytest
from cuda_records import Doubled, Job, Weighing

from inner_distance_gpu.engines.cuda.launcher import Limits

TESTS = Path(__file__).parent
KERNELS = TESTS.parent / "kernels"
BUILT = TESTS.parent / "build" / "host_kernels"
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
SOURCE = TESTS / "host_kernels.cpp"


@functools.cache
def library():
    """The kernels as a shared library; skips the test that asks where there is no compiler for it."""
    compiler = os.environ.get("CXX") or shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++ to run the CUDA kernels on the host")
    counting = os.environ.get("KERNEL_COVERAGE")  # a folder: see kernel_coverage.py
    if counting:
        loaded = ctypes.CDLL(str(_compiled(compiler, Path(counting), [*FLAGS, "--coverage"])))
    else:
        loaded = ctypes.CDLL(str(_kept(compiler)))
    loaded.run_kernel.argtypes = [
        ctypes.c_char_p,
        ctypes.c_void_p,
        ctypes.c_uint,
        ctypes.POINTER(ctypes.c_uint * 3),
        ctypes.c_size_t,
        ctypes.c_int,
    ]
    return loaded


def _compiled(compiler, folder, flags):
    built = folder / "kernels.so"
    includes = [f"-I{path}" for path in (TESTS, KERNELS, KERNELS / "cuda")]
    command = [compiler, *flags, *includes, "-o", built, SOURCE]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return built


def _kept(compiler):
    """The library of these very sources, compiled by the first process that asks for it."""
    version = subprocess.run([compiler, "--version"], capture_output=True, check=True).stdout
    said = hashlib.sha256(repr((compiler, version, FLAGS)).encode())
    for path in sorted([SOURCE, TESTS / "launch_shim.hpp", TESTS / "cuda_words.hpp", *KERNELS.rglob("*.*")]):
        said.update(path.read_bytes())
    kept = BUILT / f"{said.hexdigest()}.so"
    if not kept.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILT) as folder:
            _compiled(compiler, Path(folder), FLAGS).replace(kept)
        for older in set(BUILT.glob("*.so")) - {kept}:
            older.unlink(missing_ok=True)
    return kept


# The shim is one device: its blocks, fibers and shared memory are global, so one thread at a time launches. A process
# that is forked meanwhile waits for the kernel to end, lest the child inherit a lock that nobody will release.
_device = threading.Lock()
os.register_at_fork(before=_device.acquire, after_in_parent=_device.release, after_in_child=_device.release)
_runs = 0


def kernels_run():
    """How many launches any `HostLauncher` of this process has run."""
    return _runs


class HostLauncher:
    """Runs launches at once, in the calling thread; threads take turns.

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
        global _runs
        assert launch.shared_bytes <= self.shared_bytes
        grid, block = launch.grid, launch.block
        if self.grid is not None:
            grid = min(grid, self.grid)
        if self.block is not None and launch.kernel.file in ("plane.cu", "pairs.cu"):
            block = (self.block, 1, 1)
        with _device:
            self.launches.append(launch)
            self.records.append(record_at(launch, address))
            status = library().run_kernel(
                launch.kernel.name.encode(),
                address,
                grid,
                (ctypes.c_uint * 3)(*block),
                launch.shared_bytes,
                self.order,
            )
            _runs += 1
        assert status == 0, {1: "threads wait for ever", 2: "no such kernel"}[status] + f": {launch.kernel}"


def record_at(launch, address):
    """A copy of the record of a launch."""
    kind = Weighing if launch.weighs else Doubled if launch.kernel.file == "doubled.cu" else Job
    return kind.from_buffer_copy(ctypes.string_at(address, ctypes.sizeof(kind)))


class Event:
    """Of torch, where every launch has ended when it returns."""

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = time.perf_counter()

    def synchronize(self):
        pass

    def elapsed_time(self, end):
        return (end.at - self.at) * 1e3


def stand_ins(launcher):
    """Triples (owner, name, value) that make the device engines run on the host, and say that they can."""
    import torch

    from inner_distance_gpu import arrays
    from inner_distance_gpu.engines import cucim
    from inner_distance_gpu.engines.cuda import driver
    from inner_distance_gpu.engines.cuda import launcher as launching

    yield launching, "launcher", launcher
    yield driver, "why_not", arrays.why_no_cuda
    yield driver, "installed", lambda package: True
    yield arrays, "default_device", lambda: torch.device("cpu")
    yield cucim, "_distance", _scipy_distance
    # For who brings labels to the device and times what happens there, as `bench` does.
    yield torch.Tensor, "cuda", lambda tensor: tensor
    yield torch.cuda, "Event", Event
    yield torch.cuda, "get_device_name", lambda: "kernels on the host"


@pytest.fixture
def on_host(monkeypatch):
    """Call it with a launcher: from then on the device engines run on the host, and say that they can."""

    def start(launcher):
        for stand_in in stand_ins(launcher):
            monkeypatch.setattr(*stand_in)
        return launcher

    return start


def _scipy_distance(grid, sampling):
    """SciPy in cuCIM's place, with its float32."""
    import torch
    from scipy.ndimage import distance_transform_edt

    assert (grid == 0).any(), "the EDT was called without a site"
    return torch.from_numpy(distance_transform_edt(grid.numpy(), sampling=list(sampling))).float()
