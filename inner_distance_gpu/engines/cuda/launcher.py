"""Where kernels run: on torch's device and current stream. The one place that talks to the CUDA driver.

Tests put another `Launcher` here: one that records what it is asked, one that runs the same sources on the host.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch

from .cache import compiled
from .compiler import Kernel, supported, target_for


class Limits(NamedTuple):
    """What decides the geometry of a launch."""

    multiprocessors: int
    shared_bytes: int  # that a block may have
    scan_bytes: int = 1  # of a scan distance, at least; this and the next change no bit, and tests compare them
    packs: bool = True  # squares, where unit and reach allow it


@dataclass(frozen=True)
class Launch:
    """A kernel and the geometry of its launch; its only argument is a record, by value: `weighs` says which."""

    kernel: Kernel
    grid: int
    block: tuple[int, int, int]
    shared_bytes: int
    weighs: bool = False

    def record(self, records: Any) -> int:
        """The address of its record in those of a call."""
        return int(records.weighing if self.weighs else records.job)


class Launcher(Protocol):
    """Runs kernels on a device, in order, without waiting for them."""

    def limits(self, device: torch.device) -> Limits: ...

    def run(self, launches: Sequence[Launch], records: Any, device: torch.device) -> None: ...


_STATIC_SHARED = 48 << 10  # what a block has without asking


class CudaLauncher:
    """Compiles a kernel, or finds it on disk, at its first launch on a device; keeps it while the process lives."""

    def __init__(self) -> None:
        self._functions: dict[tuple[Kernel, int], int] = {}
        self._modules: list[Any] = []
        self._shared: dict[tuple[Kernel, int], int] = {}
        self._lock = threading.Lock()

    def limits(self, device: torch.device) -> Limits:
        return _limits(device.index)

    def run(self, launches: Sequence[Launch], records: Any, device: torch.device) -> None:
        from cupy.cuda import driver

        # With torch's device current, so is its context, which the modules and the stream belong to.
        with torch.cuda.device(device):
            stream = torch.cuda.current_stream(device).cuda_stream
            if not driver.ctxGetCurrent():
                _enter(device.index)
            for launch in launches:
                driver.launchKernel(
                    self._function(launch.kernel, device.index, launch.shared_bytes),
                    *(launch.grid, 1, 1),
                    *launch.block,
                    launch.shared_bytes,
                    stream,
                    records.weighing_arguments if launch.weighs else records.job_arguments,
                    0,
                )

    def _function(self, kernel: Kernel, index: int, shared_bytes: int) -> int:
        key = (kernel, index)
        function = self._functions.get(key)
        if function is None or shared_bytes > self._shared[key]:
            with self._lock:
                function = self._functions.get(key) or self._load(key)
                if shared_bytes > self._shared[key]:
                    from cupy.cuda import driver

                    attribute = driver.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
                    driver.funcSetAttribute(function, attribute, shared_bytes)
                    self._shared[key] = shared_bytes
        return function

    def _load(self, key: tuple[Kernel, int]) -> int:
        from cupy.cuda import driver

        if torch.cuda.is_current_stream_capturing():
            # Loading a module waits for the device, which breaks a capture without saying why.
            raise RuntimeError(
                f"kernel {key[0].name} is not compiled yet, and a CUDA graph is being captured: make one call with "
                "labels of this type and shape before the capture"
            )
        architecture = target_for(torch.cuda.get_device_capability(key[1]), supported())
        machine = compiled(key[0], architecture)
        module = driver.moduleLoadData(machine.image)
        function = int(driver.moduleGetFunction(module, machine.symbol))
        self._modules.append(module)
        self._shared[key] = _STATIC_SHARED
        self._functions[key] = function
        return function


def _enter(index: int) -> None:
    """Make the context of torch's device current in a thread that torch has not worked in yet."""
    from cupy.cuda import runtime

    runtime.setDevice(index)


@functools.cache
def _limits(index: int) -> Limits:
    properties = torch.cuda.get_device_properties(index)
    shared = getattr(properties, "shared_memory_per_block_optin", _STATIC_SHARED)
    return Limits(properties.multi_processor_count, int(shared))


launcher: Launcher = CudaLauncher()
