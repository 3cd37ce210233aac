"""Engine `cucim`: sites on the doubled grid, cuCIM's exact EDT, then one kernel to the target.

The second, independent answer on the device: nothing but the meaning of labels and the last step from a distance to
a target is shared with `cuda`. It takes 8 times the voxels in 3D, pads them to a cube, and reads back which volumes
have a site, since the EDT must not be called on one that has none. cuCIM (26.10, read in its source) pads every axis of
the doubled grid to the longest, in steps of 32, and counts points in 32 bits: larger volumes are refused.

For voxel sizes that differ between axes cuCIM decides in float32 which of two sites is nearer (read in its source),
so the site it takes may be farther in the last digits; how far is still to be compared on a device. Equal sizes are
decided in integers. cuCIM documents `float64_distances` but does not pass it on; distances are float32.
"""

from __future__ import annotations

from typing import Any

import torch

from ..parameters import TargetParameters, Task
from . import Arrays, native
from .cuda import driver, plans, streams
from .cuda import launcher as launching
from .cuda import run as cuda

_PADDED = 32
_INDICES = 2**31


def why_not() -> str | None:
    """Runs where `cuda` does and cuCIM is installed."""
    reason = driver.why_not() or native.why_not()
    if reason is None and not driver.installed("cucim"):
        return f"cuCIM is not installed: pip install 'inner_distance_gpu[{driver.extra()}]'"
    return reason


def run(task: Task, arrays: Arrays, threads: int = 1) -> None:
    """Counts first, then targets and weights volume by volume, one EDT after the other."""
    if task.target is None:  # weights alone ask cuCIM for nothing
        cuda.start(task, arrays)
        return
    _check_axes(arrays.labels, task.target)
    weighing = None
    if task.weighing is not None:
        counted = Arrays(arrays.labels, arrays.mask, None, None, arrays.counts)
        only_counts = Task(weighing=task.weighing, classes=task.classes)
        limits = launching.launcher.limits(arrays.labels.device)
        weighing = cuda.call_of(plans.prepare, counted, only_counts, limits)
        *counting, _ = weighing.prepared.launches
        weighing.launch(counting)
    slabs = None if weighing is None else weighing.prepared.plan.slabs
    call = cuda.call_of(plans.prepare_doubled, arrays, task.target, slabs, task.border == "mask", task.classes)
    if weighing is not None:
        call.records.weigh_with(weighing.records.class_weight)
    _sample(call)


def _sample(call: cuda.Call) -> None:
    """Mark the sites of all volumes, then sample the distances to them volume by volume."""
    plan, device = call.prepared.plan, call.device
    *mark, sample = call.prepared.launches
    grid = torch.empty([plan.volumes, *plan.grid_shape], dtype=torch.uint8, device=device)
    call.records.sample(grid.data_ptr(), 0, 0)
    call.launch(mark)
    flags = call.scratch[: 4 * plan.volumes].view(torch.int32)
    for volume, has_site in enumerate(flags.tolist()):  # the one read from the device
        distances = _distance(grid[volume], tuple(plan.spacing)) if has_site else None
        call.records.sample(grid.data_ptr(), 0 if distances is None else distances.data_ptr(), volume)
        call.launch((sample,))
    call.finish()


def largest_axis(dims: int) -> int:
    """The most voxels along an axis of a volume with that many axes of more than one voxel."""
    padded = int(_INDICES ** (1 / max(dims, 2)) + 1e-9) // _PADDED * _PADDED  # a line is padded to a square
    return (padded + 1) // 2


def _check_axes(labels: torch.Tensor, parameters: TargetParameters) -> None:
    """Refuse volumes that cuCIM cannot index."""
    spatial = labels.shape[labels.ndim - len(parameters.voxel_size) :]
    axes = sum(n > 1 for n in spatial)
    most = largest_axis(axes)
    if max(spatial) > most:
        raise ValueError(
            f"engine='cucim': labels of shape {tuple(labels.shape)} have an axis of {max(spatial)} voxels: cuCIM "
            f"indexes the doubled grid, padded to equal axes, in 32 bits, which holds up to {most} voxels along each "
            f"of {axes} axes of more than one voxel; use engine='cuda', or 'cpu' for host arrays"
        )


def _distance(grid: torch.Tensor, sampling: tuple[float, ...]) -> torch.Tensor:
    """cuCIM's EDT of one doubled grid, in units, contiguous."""
    if grid.ndim == 1:  # cuCIM knows 2D and 3D
        grid, sampling = grid[None], (sampling[0], sampling[0])
    import cupy
    from cucim.core.operations import morphology

    transform: Any = morphology.distance_transform_edt
    with cupy.cuda.Device(grid.device.index), streams.in_cupy(grid.device):
        # With one sampling for all axes cuCIM scales at the end, in place.
        distances = transform(cupy.from_dlpack(grid), sampling=list(sampling))
        # The stream orders cuCIM's memory: CuPy's pool does not give it away before the kernel that reads it.
        return torch.utils.dlpack.from_dlpack(cupy.ascontiguousarray(distances, dtype=cupy.float32))
