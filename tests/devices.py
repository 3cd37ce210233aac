"""What tests ask of a CUDA device before they use it: whether there is one, and how much memory a call takes there."""

import contextlib
import functools
import warnings

import torch

from inner_distance_gpu.engines.cuda import launcher as launching
from inner_distance_gpu.engines.cuda import plans
from inner_distance_gpu.engines.cuda import run as cuda
from inner_distance_gpu.parameters import Task


@functools.cache
def cuda_devices():
    """How many devices torch can use; 0, and no warning or error, on a driver that is too old for this torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return torch.cuda.device_count() if torch.cuda.is_available() else 0
        except RuntimeError:
            return 0


@contextlib.contextmanager
def no_synchronisation():
    """Torch raises where the host waits for the device; a failure in here does not leave that on for later tests."""
    torch.cuda.synchronize()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Synchronization debug mode is a prototype")
            torch.cuda.set_sync_debug_mode("error")
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def call_bytes(shape, dtype, parameters, limits=None):
    """Device memory of labels of `shape`, their target and the scratch of the call that makes it."""
    labels, target = (cuda.layout_of(torch.empty(shape, dtype=kind, device="meta")) for kind in (dtype, torch.float32))
    limits = limits or launching.launcher.limits(torch.device("cuda", torch.cuda.current_device()))
    call = plans.prepare(labels, None, target, Task(parameters), limits)
    voxels = torch.Size(shape).numel()
    return voxels * (dtype.itemsize + 4) + call.plan.scratch_bytes
