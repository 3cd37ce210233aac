"""Engine `cuda`: the half-grid transform in two kernels (`kernels/cuda`), batch and channels in the same launches.

Takes torch tensors on the device. Nothing is read back and nothing waits, but for a known-answer test in the first call
on a device (self_test.py): whether a volume has a site and what the classes weigh is decided on the device, so that a
call can be captured in a CUDA graph (after one call outside it, which compiles; a capture that would have to compile
raises). A call of a shape, type and task that were seen before costs no more Python than scratch, pointers and launches
(plans.py). The order of launches is: scan (distances or their squares along z, bits, counts), with a mask count, with
weights settle, then pairs, where squares are whole numbers of 15 bits, or plane (everything else). Voxel size, scale
and shape decide which of the two.

The work per voxel is bounded by the reach, 2 · 9.02 · scale / voxel size samples per axis, and for world units
(`scale=None`) by twice the extent of the volume.
"""

from __future__ import annotations

from ...parameters import Task
from .. import Arrays, native
from . import driver, plans, self_test
from . import launcher as launching


def why_not() -> str | None:
    """Runs where torch sees a CUDA device, CuPy is installed and the extension module plans its launches."""
    return driver.why_not() or (native.why_not() if native.module is None else None)


def run(task: Task, arrays: Arrays, threads: int = 1) -> None:
    """Targets of every volume in the leading axes, weights, or both; `threads` is for host engines."""
    device = arrays.labels.device
    if device.type == "cuda" and self_test.settled.get(device.index) != "":
        self_test.check(device)
    plans.call_of(plans.prepare, arrays, task, launching.launcher.limits(device)).run()
