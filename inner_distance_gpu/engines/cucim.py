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

from ..device import compiler, driver, records, streams, work
from ..device.work import Volumes, Weights
from ..parameters import Border, TargetParameters, WeightParameters

_BLOCK = (256, 1, 1)
_PADDED = 32
_INDICES = 2**31


def why_not() -> str | None:
    """Runs where `cuda` does and cuCIM is installed."""
    reason = driver.why_not()
    if reason is None and not driver.installed("cucim"):
        return f"cuCIM is not installed: pip install 'inner_distance_gpu[{driver.extra()}]'"
    return reason


def inner_distance(labels: torch.Tensor, out: torch.Tensor, parameters: TargetParameters, threads: int = 1) -> None:
    """Targets of every volume in the leading axes, one EDT after the other."""
    _targets(_volumes(labels, out, None, None, parameters, False))


def balanced_weights(
    labels: torch.Tensor,
    mask: torch.Tensor | None,
    numerators: torch.Tensor,
    denominators: torch.Tensor,
    parameters: WeightParameters,
    threads: int = 1,
) -> torch.Tensor:
    """Weights slab by slab, which ask cuCIM for nothing; `numerators` and `denominators` grow in place."""
    return work.balanced_weights(labels, mask, numerators, denominators, parameters)


def target_and_weights(
    labels: torch.Tensor,
    mask: torch.Tensor | None,
    out: torch.Tensor,
    numerators: torch.Tensor,
    denominators: torch.Tensor,
    parameters: TargetParameters,
    weighing: WeightParameters,
    border: Border,
    threads: int = 1,
) -> torch.Tensor:
    """Counts first, then targets and weights volume by volume."""
    values = torch.empty(labels.shape, dtype=torch.float32, device=labels.device)
    volumes = _volumes(labels, out, mask, values, parameters, border == "mask")
    weights = Weights(labels, mask, weighing)
    class_weight = weights.grow(numerators, denominators)
    volumes.job.slabs, volumes.job.class_weight = weights.record.slabs, class_weight
    _targets(volumes)
    return values


def _targets(volumes: Volumes) -> None:
    job, plan, device = volumes.job, volumes.plan, volumes.device
    grid_shape = [2 * n - 1 for n in job.n]
    count, voxels = int(job.volumes), job.n[0] * job.n[1] * job.n[2]
    flags = torch.zeros(count, dtype=torch.int32, device=device)
    job.flags = flags.data_ptr()
    grid = torch.empty([count, *grid_shape], dtype=torch.uint8, device=device)
    doubled = records.Doubled(job=job, grid=grid.data_ptr())
    work.run(work.launch(compiler.mark(job.label.width), -(-grid.numel() // 256), _BLOCK), doubled, device)
    has_site = flags.tolist()  # the one read from the device
    for volume in range(count):
        distances = None
        if has_site[volume]:
            shape = [grid_shape[3 - len(plan.kept) + i] for i in range(len(plan.kept))]
            distances = _distance(grid[volume].reshape(shape), plan.sampling)
        doubled.distances = 0 if distances is None else distances.data_ptr()
        doubled.volume = volume
        work.run(work.launch(compiler.SAMPLE, -(-voxels // 256), _BLOCK), doubled, device)
    volumes.finish()


def largest_axis(dims: int) -> int:
    """The most voxels along an axis of a volume with that many axes of more than one voxel."""
    padded = int(_INDICES ** (1 / max(dims, 2)) + 1e-9) // _PADDED * _PADDED  # a line is padded to a square
    return (padded + 1) // 2


def _volumes(
    labels: torch.Tensor,
    target: torch.Tensor,
    mask: torch.Tensor | None,
    weight: torch.Tensor | None,
    parameters: TargetParameters,
    bordered: bool,
) -> Volumes:
    """The volumes, if cuCIM can index them."""
    spatial = labels.shape[labels.ndim - len(parameters.voxel_size) :]
    axes = sum(n > 1 for n in spatial)
    most = largest_axis(axes)
    if max(spatial) > most:
        raise ValueError(
            f"engine='cucim': labels of shape {tuple(labels.shape)} have an axis of {max(spatial)} voxels: cuCIM "
            f"indexes the doubled grid, padded to equal axes, in 32 bits, which holds up to {most} voxels along each "
            f"of {axes} axes of more than one voxel; use engine='cuda', or 'cpu' for host arrays"
        )
    return Volumes(labels, target, mask, weight, parameters, bordered)


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
