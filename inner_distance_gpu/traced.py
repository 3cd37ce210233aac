"""Calls while a graph is made: what the public functions become in it, one operator each; see operators.py.

torch.compile reads these lines: nothing but plain arguments, tensors and the operators may occur in them.
"""

from __future__ import annotations

from typing import Any

import torch

from .counts import ClassCounts


def wrapped(ignore_label: Any) -> tuple[Any, bool]:
    """An ignored label as operators take it: an integer that int64 does not hold is wrapped round, and said to be."""
    wraps = isinstance(ignore_label, int) and ignore_label >= 2**63
    return (ignore_label - 2**64 if wraps else ignore_label), wraps


def target(
    labels: torch.Tensor,
    voxel_size: Any,
    scale: Any,
    background: str,
    no_boundary: str,
    ignore_label: Any,
    fill: Any,
    engine: str,
    threads: Any,
    out: Any,
) -> Any:
    """What `inner_distance` returns."""
    result = torch.ops.inner_distance_gpu.target(
        labels, voxel_size, scale, background, no_boundary, fill, *wrapped(ignore_label), engine, threads
    )
    return result if out is None else out.copy_(result)


def weights(
    labels: torch.Tensor,
    mask: Any,
    counts: ClassCounts | None,
    num_classes: int,
    slab: Any,
    clip: Any,
    ignore_label: Any,
    validate: bool | None,
    engine: str,
    threads: Any,
) -> tuple[torch.Tensor, ClassCounts]:
    """What `balanced_weights` returns."""
    before = (None, None) if counts is None else (counts.numerators, counts.denominators)
    weights, numerators, denominators = torch.ops.inner_distance_gpu.weights(
        labels, mask, *before, num_classes, slab, clip, *wrapped(ignore_label), validate, engine, threads
    )
    return weights, ClassCounts.around(numerators, denominators, counts)
