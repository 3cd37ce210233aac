"""What `voxel_size` of one call says: one size for all samples, or one per sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch

from ..parameters import check_voxel_size

Rows = list[tuple[float, ...]]


def rows_of(voxel_size: Any) -> Rows | None:
    """The voxel size of each sample; None where there is one for all.

    Told apart by type, never by size: a tensor or an array has a row per sample, and so has a sequence of sequences.
    A sequence of one-dimensional tensors is what torch's collation makes of a tuple per sample: one per spatial axis.

    Raises
    ------
    TypeError, ValueError
        A tensor on a device, rows that are no voxel sizes, tensors of different lengths.
    """
    if isinstance(voxel_size, torch.Tensor):
        _check_host(voxel_size)
        return _checked(voxel_size.tolist()) if voxel_size.ndim == 2 else None
    if isinstance(voxel_size, np.ndarray):
        return _checked(voxel_size.tolist()) if voxel_size.ndim == 2 else None
    if not isinstance(voxel_size, Sequence) or isinstance(voxel_size, (str, bytes)):
        return None
    along_axes = [isinstance(entry, torch.Tensor) and entry.ndim == 1 for entry in voxel_size]
    if any(along_axes):
        if not all(along_axes) or len({len(column) for column in voxel_size}) > 1:
            raise ValueError(f"voxel_size={voxel_size!r}: expected a tensor per spatial axis, each of one length")
        for column in voxel_size:
            _check_host(column)
        return _checked(list(zip(*(column.tolist() for column in voxel_size), strict=True)))
    if any(isinstance(entry, Iterable) and not _is_number(entry) for entry in voxel_size):
        return _checked(voxel_size)
    return None


def traced_rows_of(voxel_size: Any) -> torch.Tensor | None:
    """The same for operators, unread and unchecked, as a tensor (B, dims); plain enough for torch.compile."""
    if isinstance(voxel_size, torch.Tensor):
        return voxel_size.double() if voxel_size.ndim == 2 else None
    if hasattr(voxel_size, "ndim"):  # NumPy's
        return torch.as_tensor(voxel_size).double() if voxel_size.ndim == 2 else None
    first = voxel_size[0]
    if isinstance(first, torch.Tensor) and first.ndim == 1:  # a tensor per spatial axis
        return torch.stack(list(voxel_size), -1).double()
    if isinstance(first, (list, tuple)):
        return torch.tensor([list(row) for row in voxel_size], dtype=torch.float64)
    return None


def _is_number(entry: Any) -> bool:
    return isinstance(entry, (str, bytes)) or getattr(entry, "ndim", None) == 0


def _check_host(voxel_size: torch.Tensor) -> None:
    if voxel_size.device.type != "cpu":
        raise TypeError(
            f"voxel_size is on {voxel_size.device}, shape {tuple(voxel_size.shape)}: expected numbers on the host, "
            "since reading them from a device would wait for it"
        )


def _checked(rows: Sequence[Any]) -> Rows:
    checked = []
    for sample, row in enumerate(rows):
        try:
            checked.append(check_voxel_size(row))
        except (TypeError, ValueError) as error:
            raise type(error)(f"sample {sample}: {error}") from None
    return checked
