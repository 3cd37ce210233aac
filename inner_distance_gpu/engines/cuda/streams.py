"""Order between torch's current stream, which kernels run on, and CuPy's, which the caller's CuPy arrays are used on.

Both libraries hand freed memory to the next request of the same stream, whatever other streams still do with it. So one
stream waits for the other on the way in and on the way out, by events, which the host does not wait for.
"""

from __future__ import annotations

from typing import Any

import torch

_LEGACY = (0, 1)  # both mean the default stream, which torch does not take by its handle


class _Handle:
    """A stream in the form that CUDA libraries exchange; torch has it from 2.8 on."""

    def __init__(self, handle: int) -> None:
        self._handle = handle

    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, self._handle)


class _Kept:
    """A tensor, and the stream that its memory is recorded on: freeing the memory takes the stream, so it goes last."""

    def __init__(self, tensor: torch.Tensor, stream: Any) -> None:
        self.stream = stream
        self.tensor: torch.Tensor | None = tensor

    def __del__(self) -> None:
        self.tensor = None


def torch_waits(device: torch.device) -> None:
    """Torch's current stream goes on when all that CuPy's was given is done."""
    ours, theirs = torch.cuda.current_stream(device), _cupys(device)[1]
    if ours.cuda_stream != theirs.cuda_stream:
        ours.wait_stream(theirs)


def cupy_waits(device: torch.device) -> None:
    """CuPy's current stream goes on when all that torch's was given is done."""
    ours, theirs = torch.cuda.current_stream(device), _cupys(device)[1]
    if ours.cuda_stream != theirs.cuda_stream:
        theirs.wait_stream(ours)


def as_cupy(tensor: torch.Tensor) -> Any:
    """The memory of a contiguous float32 tensor as a CuPy array, in CuPy's current stream."""
    import cupy

    device = tensor.device
    stream, theirs = _cupys(device)
    if torch.cuda.current_stream(device).cuda_stream != theirs.cuda_stream:
        cupy_waits(device)
        tensor.record_stream(theirs)
    size, kept = tensor.numel() * tensor.element_size(), _Kept(tensor, stream)
    memory = cupy.cuda.UnownedMemory(tensor.data_ptr(), size, kept, device.index)
    return cupy.ndarray(tuple(tensor.shape), cupy.float32, cupy.cuda.MemoryPointer(memory, 0))


def in_cupy(device: torch.device) -> Any:
    """Torch's current stream as a stream of CuPy, whose current device must be this one."""
    import cupy

    handle = torch.cuda.current_stream(device).cuda_stream
    from_external = getattr(cupy.cuda.Stream, "from_external", None)  # since CuPy 14, where ExternalStream warns
    return cupy.cuda.ExternalStream(handle, device.index) if from_external is None else from_external(_Handle(handle))


def _cupys(device: torch.device) -> tuple[Any, torch.cuda.Stream]:
    """CuPy's current stream on that device, and the same as a stream of torch."""
    import cupy

    stream = cupy.cuda.get_current_stream(device.index)
    if stream.ptr in _LEGACY:
        return stream, torch.cuda.default_stream(device)
    return stream, torch.cuda.ExternalStream(stream.ptr, device)
