"""Engine `cuda`: the half-grid transform in two kernels (`kernels/cuda`), batch and channels in the same launches.

Takes and returns torch tensors on the device. Nothing is read back and nothing waits: whether a volume has a site
and what the classes weigh is decided on the device, so that a call can be captured in a CUDA graph (after one call
outside it, which compiles). The order of launches is: scan (distances along z, bits, counts), with a mask count,
with weights settle, then plane (everything else).

The work per voxel is bounded by the reach, 2 · 9.02 · scale / voxel size samples per axis, and for world units
(`scale=None`) by twice the extent of the volume.
"""

from __future__ import annotations

import torch

from ..device import driver
from ..device.work import HalfGrid, Volumes, Weights
from ..parameters import Border, TargetParameters, WeightParameters


def why_not() -> str | None:
    """Runs where torch sees a CUDA device and CuPy is installed."""
    return driver.why_not()


def inner_distance(labels: torch.Tensor, out: torch.Tensor, parameters: TargetParameters, threads: int = 1) -> None:
    """Targets of every volume in the leading axes; `threads` is for host engines."""
    work = HalfGrid(Volumes(labels, out, None, None, parameters))
    work.scan()
    work.plane()


def balanced_weights(
    labels: torch.Tensor,
    mask: torch.Tensor | None,
    numerators: torch.Tensor,
    denominators: torch.Tensor,
    parameters: WeightParameters,
    threads: int = 1,
) -> torch.Tensor:
    """Weights slab by slab; `numerators` and `denominators` (slabs, classes) grow in place."""
    work = Weights(labels, mask, numerators, denominators, parameters)
    work.count()
    work.settle()
    return work.weigh()


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
    """Targets into `out`, weights as the result, counts in place."""
    weights = Weights(labels, mask, numerators, denominators, weighing)
    values = torch.empty(labels.shape, dtype=torch.float32, device=labels.device)
    volumes = Volumes(labels, out, mask, values, parameters, border == "mask")
    slabs = int(weights.record.slabs)
    volumes.job.slabs, volumes.job.class_weight = slabs, weights.class_weight.data_ptr()
    work = HalfGrid(volumes, slabs if mask is None else 0)
    work.scan()
    if mask is None:
        weights.settle(volumes.job.counted)
    else:
        weights.count()
        weights.settle()
    work.plane()
    return values
