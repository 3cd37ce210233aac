"""Arrays as an engine takes them, and back: where it works, what is copied there, and what the caller receives.

Host engines work on NumPy arrays, device engines on torch tensors of one device. What already lies there is not copied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .. import arrays
from ..arrays import Array, byte_strides, from_host, is_negated, to_host

_FLOAT32 = np.dtype(np.float32)


class HostMemory:
    """Where host engines work: NumPy arrays. There is one."""

    device = None
    to_engine, to_caller = staticmethod(to_host), staticmethod(from_host)

    def mask_to_engine(self, mask: Array, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return to_host(mask) if mask.shape == shape else np.broadcast_to(to_host(mask), shape)

    def empty(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        return np.empty(shape, _FLOAT32)

    def destination(self, out: Array) -> npt.NDArray[np.float32] | None:
        """The memory of `out`, where an engine can write there."""
        return to_host(out) if out.on_host and not is_negated(out) else None

    def to_out(self, values: npt.NDArray[Any], out: Array) -> None:
        """Copy into an `out` that an engine could not write to."""
        out.data[...] = from_host(values, out)


HOST = HostMemory()


class DeviceMemory:
    """Where device engines work: torch tensors on one device. For one call."""

    _shares_with_cupy = False
    _made: torch.Tensor | None = None

    def __init__(self, labels: Array) -> None:
        self.device = arrays.default_device() if labels.on_host else arrays.device_of(labels)

    def to_engine(self, array: Array) -> torch.Tensor:
        self._shares_with_cupy |= array.kind == "cupy"
        tensor = _as_tensor(array)
        return tensor if tensor.device == self.device else tensor.to(self.device)

    def mask_to_engine(self, mask: Array, shape: tuple[int, ...]) -> torch.Tensor:
        return self.to_engine(mask).expand(shape)

    def empty(self, shape: tuple[int, ...]) -> torch.Tensor:
        if self._made is not None and self._made.shape == shape:
            return torch.empty_like(self._made)  # in half the time, a weight after a target
        self._made = torch.empty(shape, dtype=torch.float32, device=self.device)
        return self._made

    def destination(self, out: Array) -> torch.Tensor | None:
        """The memory of `out`, where an engine can write there."""
        if arrays.device_of(out) != self.device or is_negated(out) or min(byte_strides(out), default=0) < 0:
            return None
        return self.to_engine(out)

    def settle(self) -> None:
        """Once kernels are launched: what CuPy does with its memory from now on comes after them."""
        if self._shares_with_cupy:
            from .cuda import streams

            streams.cupy_waits(self.device)

    def to_caller(self, values: torch.Tensor, like: Array) -> Any:
        if like.kind == "torch":
            return values if values.is_cpu == like.on_host else values.to(like.device)
        return _as_cupy(values) if like.kind == "cupy" else values.cpu().numpy()

    def to_out(self, values: torch.Tensor, out: Array) -> None:
        """Copy into an `out` that lies elsewhere or that an engine could not write to."""
        if out.kind == "torch":
            out.data.copy_(values)
        else:
            out.data[...] = values.cpu().numpy() if out.kind == "numpy" else _as_cupy(values)


Memory = HostMemory | DeviceMemory


def _as_tensor(array: Array) -> torch.Tensor:
    """The same memory as a torch tensor, but for what torch or kernels cannot express: that is copied."""
    if array.kind == "torch":
        return _aligned_tensor(array.data.resolve_neg() if array.data.is_neg() else array.data)
    values = array.data
    kind = values.dtype.kind
    if kind in "bV":  # neither DLPack nor NumPy need know bool and bfloat16: the bytes do
        values = values.view(np.uint8 if kind == "b" else np.uint16)
    if array.kind == "numpy":
        values = np.require(values, values.dtype.newbyteorder("="), ["A", "W"])
        values = values if all(step >= 0 for step in values.strides) and _whole_steps(values) else values.copy("C")
        tensor = torch.from_numpy(values)
    else:
        tensor = _from_cupy(values, arrays.device_of(array))
    return tensor.view(torch.bool if kind == "b" else torch.bfloat16) if kind in "bV" else tensor


def _aligned_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A copy, byte by byte, of a tensor that begins between two elements: DLPack and buffers can bring such."""
    size = tensor.element_size()
    if tensor.data_ptr() % size == 0:
        return tensor
    steps = [step * size for step in tensor.stride()]
    octets = torch.empty(0, dtype=torch.uint8, device=tensor.device)
    octets.set_(tensor.untyped_storage(), tensor.storage_offset() * size, (*tensor.shape, size), (*steps, 1))
    return octets.clone(memory_format=torch.contiguous_format).view(tensor.dtype).reshape(tensor.shape)


def _whole_steps(values: npt.NDArray[Any]) -> bool:
    return all(step % values.itemsize == 0 for step in values.strides)


def _from_cupy(values: Any, device: torch.device) -> torch.Tensor:
    """The memory of a CuPy array, or of a copy of it, for torch's current stream."""
    import cupy

    from .cuda import streams

    size = values.itemsize
    with cupy.cuda.Device(device.index):
        if values.data.ptr % size or not _whole_steps(values):
            octets = cupy.ndarray((*values.shape, size), cupy.uint8, values.data, (*values.strides, 1))
            values = octets.copy("C").view(values.dtype).reshape(values.shape)
        elif any(step < 0 for step in values.strides):
            values = values.copy("C")
        streams.torch_waits(device)
        return torch.utils.dlpack.from_dlpack(values)


def _as_cupy(tensor: torch.Tensor) -> Any:
    from .cuda import streams

    return streams.as_cupy(tensor)
