"""Engine `cuda`: the half-grid transform in two kernels (`kernels/cuda`), batch and channels in the same launches.

Takes and returns torch tensors on the device. Nothing is read back and nothing waits, but for a known-answer test in
the first call on a device (device/self_test.py): whether a volume has a site and what the classes weigh is decided on
the device, so that a call can be captured in a CUDA graph (after one call outside it, which compiles; a capture that
would have to compile raises). A call of a shape, type and parameters that were seen before costs no more Python than
scratch, pointers and launches: see device/plans.py. The order of launches is: scan (distances or their squares along
z, bits, counts), with a mask count, with weights settle, then pairs, where squares are whole numbers of 15 bits, or
plane (everything else). Voxel size, scale and shape decide which of the two.

The work per voxel is bounded by the reach, 2 · 9.02 · scale / voxel size samples per axis, and for world units
(`scale=None`) by twice the extent of the volume.
"""

from __future__ import annotations

import torch

from ...parameters import Border, TargetParameters, WeightParameters
from .. import native
from . import driver, plans, self_test
from . import launcher as launching
from .plans import Arrays


def why_not() -> str | None:
    """Runs where torch sees a CUDA device, CuPy is installed and the extension module plans its launches."""
    return driver.why_not() or native.why_not()


def inner_distance(labels: torch.Tensor, out: torch.Tensor, parameters: TargetParameters, threads: int = 1) -> None:
    """Targets of every volume in the leading axes; `threads` is for host engines."""
    self_test.check(labels.device)
    _run(Arrays(labels, None, out, None), parameters, None, "keep")


def balanced_weights(
    labels: torch.Tensor,
    mask: torch.Tensor | None,
    numerators: torch.Tensor,
    denominators: torch.Tensor,
    parameters: WeightParameters,
    threads: int = 1,
) -> torch.Tensor:
    """Weights slab by slab; `numerators` and `denominators` (slabs, classes) grow in place."""
    self_test.check(labels.device)
    return plans.balanced_weights(labels, mask, (numerators, denominators), parameters)


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
    self_test.check(labels.device)
    values = torch.empty(labels.shape, dtype=torch.float32, device=labels.device)
    _run(Arrays(labels, mask, out, values), parameters, weighing, border, (numerators, denominators))
    return values


def _run(
    arrays: Arrays,
    parameters: TargetParameters,
    weighing: WeightParameters | None,
    border: Border,
    counts: tuple[torch.Tensor, torch.Tensor] | None = None,
) -> None:
    limits = launching.launcher.limits(arrays.labels.device)
    call = plans.call_of(plans.prepare_targets, arrays, parameters, weighing, border == "mask", limits, counts=counts)
    assert call is not None  # in C order all leading axes are one
    call.run()
