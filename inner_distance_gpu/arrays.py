"""The only place that knows NumPy, CuPy and torch: what an array is, where it lies, how it goes back.

CuPy is recognised through `sys.modules`, never imported on speculation.
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from .engines import counting

if TYPE_CHECKING:
    from .counts import ClassCounts

ACCEPTED = "bool, integers of 8 to 64 bits, float16, bfloat16, float32 or float64"
_TORCH_DTYPES = frozenset(
    {torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64}
    | {torch.int8, torch.int16, torch.int32, torch.int64}
    | {torch.float16, torch.bfloat16, torch.float32, torch.float64}
)
_DLPACK_HOST, _DLPACK_CUDA = {1, 3}, {2, 13}  # kDLCPU, kDLCUDAHost; kDLCUDA, kDLCUDAManaged


@dataclass(frozen=True)
class Array:
    """An accepted array: the memory, its kind, and where it lies (`"cpu"`, `"cuda:0"`)."""

    data: Any
    kind: Literal["numpy", "torch", "cupy"]
    device: str

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    @property
    def on_host(self) -> bool:
        return self.device == "cpu"


def accept(value: Any, name: str) -> Array:
    """Recognise an array; TypeError for anything else."""
    if isinstance(value, torch.Tensor):
        return _accept_torch(value, name)
    if isinstance(value, np.ndarray):
        return _accept_numpy(value, name)
    cupy = sys.modules.get("cupy")
    if cupy is not None and isinstance(value, cupy.ndarray):
        return _accept_cupy(value, name)
    if hasattr(value, "__dlpack__") and hasattr(value, "__dlpack_device__"):
        return _accept_dlpack(value, name)
    raise TypeError(
        f"{name}: expected a NumPy, CuPy or torch array, or an object with __dlpack__; got "
        f"{type(value).__module__}.{type(value).__qualname__}. "
        "A list or a lazy array has to be made one first, for instance with numpy.asarray"
    )


def _refuse_dtype(name: str, dtype: Any, shape: Any) -> TypeError:
    return TypeError(f"{name}: dtype {dtype} (shape {tuple(shape)}) is not accepted; expected {ACCEPTED}")


def _accept_numpy(value: npt.NDArray[Any], name: str) -> Array:
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(
            f"{name}: a masked array with shape {value.shape} is not accepted, its mask would be lost; "
            "fill it (.filled(value)) and name ignore_label=value"
        )
    if not _numpy_dtype_accepted(value.dtype):
        raise _refuse_dtype(name, value.dtype, value.shape)
    return Array(np.asarray(value), "numpy", "cpu")


def _numpy_dtype_accepted(dtype: np.dtype[Any]) -> bool:
    if dtype.kind == "f":
        return dtype.itemsize <= 8
    return dtype.kind in "biu" or dtype.name == "bfloat16"  # bfloat16 is ml_dtypes' extension type


def _accept_torch(value: torch.Tensor, name: str) -> Array:
    shape = tuple(value.shape)
    if value.is_meta or value.layout != torch.strided or value.is_nested or value._is_zerotensor():
        what = "meta" if value.is_meta else "nested" if value.is_nested else str(value.layout)
        what = "zero (torch's forward-mode AD has no data for it)" if value._is_zerotensor() else what
        raise TypeError(f"{name}: a {what} tensor (shape {shape}) is not accepted; expected a dense tensor with data")
    if value.dtype not in _TORCH_DTYPES:
        raise _refuse_dtype(name, value.dtype, shape)
    if value.device.type not in ("cpu", "cuda"):
        raise ValueError(f"{name}: device {value.device} of shape {shape} is not accepted; expected cpu or cuda")
    if value.is_cuda:
        require_cuda(f"{name} of shape {shape} on {value.device}")
    return Array(value.detach(), "torch", str(value.device))


def _accept_cupy(value: Any, name: str) -> Array:
    if not _numpy_dtype_accepted(value.dtype):
        raise _refuse_dtype(name, value.dtype, value.shape)
    require_cuda(f"{name} of shape {tuple(value.shape)}, a CuPy array")
    return Array(value, "cupy", f"cuda:{value.device.id}")


def _accept_dlpack(value: Any, name: str) -> Array:
    device_type = int(value.__dlpack_device__()[0])
    if device_type in _DLPACK_CUDA:
        require_cuda(f"{name}, a {type(value).__qualname__} on a CUDA device")
        try:
            import cupy
        except ImportError:
            raise TypeError(
                f"{name}: {type(value).__qualname__} lies on a CUDA device and comes back as a CuPy array, but CuPy "
                "is not installed: pip install 'inner_distance_gpu[cuda13]' (or cuda12)"
            ) from None
        return _accept_cupy(cupy.from_dlpack(value), name)
    if device_type not in _DLPACK_HOST:
        raise ValueError(
            f"{name}: DLPack device type {device_type} of {type(value).__qualname__} is not accepted; "
            "expected host or CUDA memory"
        )
    try:
        return _accept_numpy(np.from_dlpack(value), name)
    except (BufferError, RuntimeError) as error:
        raise TypeError(
            f"{name}: {type(value).__qualname__} could not be read through DLPack ({error}); expected {ACCEPTED}"
        ) from None


def is_traced(value: Any) -> bool:
    """Whether `value` is a torch tensor that has no data yet: in torch.compile, torch.export, a FakeTensorMode."""
    return isinstance(value, torch.Tensor) and (
        torch.compiler.is_compiling() or type(value).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__
    )


def why_no_cuda() -> str | None:
    """Why this process must not touch CUDA: it was forked from one that uses it, as DataLoader workers are."""
    if not torch.cuda._is_in_bad_fork():
        return None
    return (
        "this process was forked from one that already uses CUDA, and cannot use it itself; in a DataLoader worker "
        "take engine='cpu' on host arrays, or transform batches after collation, outside the worker, as TargetLoader "
        "does, or start workers with multiprocessing_context='forkserver' or 'spawn'"
    )


def require_cuda(asked: str) -> None:
    """Raise ValueError where this process must not touch CUDA."""
    reason = why_no_cuda()
    if reason is not None:
        raise ValueError(f"{asked}: {reason}")


def to_host(array: Array) -> npt.NDArray[Any]:
    """The values as a NumPy array: a view where NumPy can hold them, a copy of bfloat16 and of device arrays.

    Host NumPy arrays stay NumPy throughout: `torch.from_dlpack` aborts on negative strides and makes
    read-only arrays writable.
    """
    if array.kind == "numpy":
        bfloat16 = array.data.dtype.kind == "V"
        return np.asarray(array.data, dtype=np.float32 if bfloat16 else None)
    if array.kind == "cupy":
        return np.asarray(array.data.get())
    tensor = array.data.resolve_neg().cpu()
    return np.asarray((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def from_host(values: npt.NDArray[Any], like: Array) -> Any:
    """`values` as the kind and on the device of `like`; no copy on the host."""
    if like.kind == "numpy":
        return values
    if like.kind == "cupy":
        import cupy

        with cupy.cuda.Device(like.data.device):
            return cupy.asarray(values)
    return torch.from_numpy(values).to(like.device)


def device_of(array: Array) -> torch.device:
    return torch.device(array.device)


def accept_out(out: Any, labels: Array) -> Array:
    """Check that `out` can take the target of `labels`."""
    result = accept(out, "out")
    expected = f"expected a writable float32 {labels.kind} array of shape {labels.shape} on {labels.device}"
    if result.kind != labels.kind:
        raise TypeError(f"out is a {result.kind} array: {expected}, the kind of the labels")
    if str(result.data.dtype).removeprefix("torch.") != "float32":
        raise TypeError(f"out has dtype {result.data.dtype}: {expected}")
    if result.shape != labels.shape or result.device != labels.device:
        raise ValueError(f"out has shape {result.shape} on {result.device}: {expected}")
    if isinstance(out, torch.Tensor) and out.requires_grad:
        raise ValueError(f"out requires grad: {expected} that does not")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise ValueError(f"out is read-only: {expected}")
    if _overlaps_itself(result):
        raise ValueError(f"out has elements that share memory (strides {_byte_strides(result)}): {expected}")
    if not result.on_host and not _is_aligned(result):
        where = f"address {_bounds(result)[0]:#x}, strides {_byte_strides(result)}"
        raise ValueError(f"out is not aligned ({where}): {expected} whose elements lie at multiples of 4 bytes")
    if 0 not in labels.shape and _overlap(result, labels):
        raise ValueError(f"out shares memory with the labels: {expected} with memory of its own")
    return result


def _byte_strides(array: Array) -> tuple[int, ...]:
    if array.kind == "torch":
        return tuple(step * array.data.element_size() for step in array.data.stride())
    return tuple(array.data.strides)


def _address(array: Array) -> int:
    """Where a device array's first element lies."""
    return int(array.data.data_ptr() if array.kind == "torch" else array.data.data.ptr)


def _is_aligned(array: Array) -> bool:
    """Whether every element of a device array lies at a multiple of its size, as kernels and DLPack expect."""
    size = array.data.element_size() if array.kind == "torch" else array.data.itemsize
    return all(place % size == 0 for place in (_address(array), *_byte_strides(array)))


def _is_negated(array: Array) -> bool:
    """Whether memory holds the negative of what torch reads there: engines read and write memory."""
    return array.kind == "torch" and bool(array.data.is_neg())


def _overlaps_itself(array: Array) -> bool:
    """Whether the strides are not nested, that is, may reach one element in two ways."""
    if 0 in array.shape:
        return False
    reach = array.data.element_size() if array.kind == "torch" else array.data.itemsize
    for step, n in sorted((abs(step), n) for step, n in zip(_byte_strides(array), array.shape, strict=True)):
        if n > 1:
            if step < reach:
                return True
            reach = step * (n - 1) + reach
    return False


def _overlap(first: Array, second: Array) -> bool:
    if not first.on_host:
        return _bounds(first)[0] < _bounds(second)[1] and _bounds(second)[0] < _bounds(first)[1]
    try:
        return bool(np.shares_memory(_memory(first), _memory(second), max_work=100_000))  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _memory(array: Array) -> npt.NDArray[Any]:
    """A host array's own memory, whatever its type means to NumPy."""
    if array.kind == "numpy":
        return np.asarray(array.data)
    tensor = array.data
    if tensor.is_neg():
        stored = torch.empty(0, dtype=tensor.dtype)
        tensor = stored.set_(tensor.untyped_storage(), tensor.storage_offset(), tensor.shape, tensor.stride())
    return np.asarray((tensor.view(torch.uint16) if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _bounds(array: Array) -> tuple[int, int]:
    """First byte and the byte after the last of a device array."""
    start = _address(array)
    size = array.data.element_size() if array.kind == "torch" else array.data.itemsize
    steps = [step * (n - 1) for step, n in zip(_byte_strides(array), array.shape, strict=True)]
    return start + sum(min(step, 0) for step in steps), start + sum(max(step, 0) for step in steps) + size


def write_out(values: Any, out: Array) -> None:
    """Copy an engine's values into an `out` that lies elsewhere or that the engine could not write to."""
    if isinstance(values, np.ndarray):
        out.data[...] = from_host(values, out)
    elif out.kind == "torch":
        out.data.copy_(values)
    else:
        out.data[...] = values.cpu().numpy() if out.kind == "numpy" else _as_cupy(values)


@functools.lru_cache(maxsize=16)
def ones(shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """The mask where none was given: one byte of memory, and always the same object."""
    return np.broadcast_to(np.uint8(1), shape)


class HostHome:
    """Where host engines work: NumPy arrays. For one call."""

    def take(self, array: Array) -> npt.NDArray[Any]:
        return to_host(array)

    def take_mask(self, mask: Array | None, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        return ones(shape) if mask is None else np.broadcast_to(to_host(mask), shape)

    def counts_of_their_own(self, counts: ClassCounts) -> tuple[Any, Any] | None:
        """The numbers of the counts themselves, where an engine can add to them, under its own lock."""
        views = counts.host_views()
        return views if views is not None and all(view.flags.c_contiguous for view in views) else None

    def copies_of_counts(self, counts: ClassCounts) -> tuple[Any, Any]:
        """Numbers for an engine to add to."""
        views = counts.host_views()
        if views is None:
            return counts.numerators.cpu().numpy(), counts.denominators.cpu().numpy()
        with counting.on_host:
            return views[0].copy(), views[1].copy()

    def destination(self, out: Array | None, shape: tuple[int, ...]) -> tuple[Any, bool]:
        """Memory for a target, and whether it is that of `out`."""
        if out is not None and out.on_host and not _is_negated(out):
            return to_host(out), True
        return np.empty(shape, np.float32), False

    def settle(self) -> None:
        """Nothing is left to be done once a host engine has returned."""

    def give(self, values: npt.NDArray[Any], like: Array) -> Any:
        return from_host(values, like)


class DeviceHome:
    """Where device engines work: torch tensors on one device. Arrays that lie there are not copied. For one call."""

    _shares_with_cupy = False

    def __init__(self, labels: Array) -> None:
        self.device = default_device() if labels.on_host else device_of(labels)

    def take(self, array: Array) -> torch.Tensor:
        self._shares_with_cupy |= array.kind == "cupy"
        return _as_tensor(array).to(self.device)

    def take_mask(self, mask: Array | None, shape: tuple[int, ...]) -> torch.Tensor | None:
        return None if mask is None else self.take(mask).expand(shape)

    def counts_of_their_own(self, counts: ClassCounts) -> tuple[Any, Any] | None:
        """The numbers of the counts themselves, where they lie here, in C order."""
        numbers = (counts.numerators, counts.denominators)
        if counts.device == self.device and all(n.is_contiguous() and not n.is_neg() for n in numbers):
            return numbers
        return None

    def copies_of_counts(self, counts: ClassCounts) -> tuple[Any, Any]:
        """Numbers for an engine to add to, in C order, as kernels address them."""
        dense = torch.contiguous_format
        numerators, denominators = (
            n.resolve_neg().to(self.device, copy=True, memory_format=dense)
            for n in (counts.numerators, counts.denominators)
        )
        return numerators, denominators

    def destination(self, out: Array | None, shape: tuple[int, ...]) -> tuple[Any, bool]:
        """Memory for a target, and whether it is that of `out`."""
        backwards = out is not None and min(_byte_strides(out), default=0) < 0
        if out is not None and device_of(out) == self.device and not backwards and not _is_negated(out):
            return self.take(out), True
        return torch.empty(shape, dtype=torch.float32, device=self.device), False

    def settle(self) -> None:
        """Once kernels are launched: what CuPy does with its memory from now on comes after them."""
        if self._shares_with_cupy:
            from .engines.cuda import streams

            streams.cupy_waits(self.device)

    def give(self, values: torch.Tensor, like: Array) -> Any:
        if like.kind == "cupy":
            return _as_cupy(values)
        return values.cpu().numpy() if like.kind == "numpy" else values.to(like.device)


def default_device() -> torch.device:
    """Where host data go when a device engine is named: torch's current device."""
    return torch.device("cuda", torch.cuda.current_device())


def _as_tensor(array: Array) -> torch.Tensor:
    """The same memory as a torch tensor, but for what torch or kernels cannot express: that is copied."""
    if array.kind == "torch":
        return _aligned_tensor(array.data.resolve_neg())
    values = array.data
    kind = values.dtype.kind
    if kind in "bV":  # neither DLPack nor NumPy need know bool and bfloat16: the bytes do
        values = values.view(np.uint8 if kind == "b" else np.uint16)
    if array.kind == "numpy":
        values = np.require(values, values.dtype.newbyteorder("="), ["A", "W"])
        values = values if all(step >= 0 for step in values.strides) and _whole_steps(values) else values.copy("C")
        tensor = torch.from_numpy(values)
    else:
        tensor = _from_cupy(values, device_of(array))
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

    from .engines.cuda import streams

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
    from .engines.cuda import streams

    return streams.as_cupy(tensor)
