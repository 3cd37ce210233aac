"""The only place that knows NumPy, CuPy and torch: what an array is, where it lies, how it goes back.

CuPy is recognised through `sys.modules`, never imported on speculation.
"""

from __future__ import annotations

import sys
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

ACCEPTED = "bool, integers of 8 to 64 bits, float16, bfloat16, float32 or float64"
_TORCH_DTYPES = frozenset(
    {torch.bool, torch.uint8, torch.uint16, torch.uint32, torch.uint64}
    | {torch.int8, torch.int16, torch.int32, torch.int64}
    | {torch.float16, torch.bfloat16, torch.float32, torch.float64}
)
_DLPACK_HOST, _DLPACK_CUDA = {1, 3}, {2, 13}  # kDLCPU, kDLCUDAHost; kDLCUDA, kDLCUDAManaged


class Array:
    """An accepted array: the memory, its kind, and where it lies (`"cpu"`, `"cuda:0"`)."""

    __slots__ = ("data", "device", "kind", "on_host", "shape")

    def __init__(self, data: Any, kind: Literal["numpy", "torch", "cupy"], device: str) -> None:
        self.data, self.kind, self.device, self.on_host = data, kind, device, device == "cpu"
        self.shape: tuple[int, ...] = tuple(data.shape)


def accept(value: Any, name: str) -> Array:
    """Recognise an array; TypeError for anything else."""
    if type(value) is np.ndarray and value.dtype.kind in "biu":  # nearly every one
        return Array(value, "numpy", "cpu")
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
    on_host = value.is_cpu
    dense = value.layout is torch.strided and not (value.is_nested or value._is_zerotensor())
    if not (dense and (on_host or value.is_cuda) and value.dtype in _TORCH_DTYPES):
        raise _refused_tensor(value, name)
    if not on_host:
        require_cuda(f"{name} of shape {tuple(value.shape)} on {value.device}")
    return Array(value.detach() if value.requires_grad else value, "torch", "cpu" if on_host else str(value.device))


def _refused_tensor(value: torch.Tensor, name: str) -> Exception:
    shape = () if value.is_nested else tuple(value.shape)  # a nested one has none
    if value.is_meta or value.layout != torch.strided or value.is_nested or value._is_zerotensor():
        what = "meta" if value.is_meta else "nested" if value.is_nested else str(value.layout)
        what = "zero (torch's forward-mode AD has no data for it)" if value._is_zerotensor() else what
        return TypeError(f"{name}: a {what} tensor (shape {shape}) is not accepted; expected a dense tensor with data")
    if value.dtype not in _TORCH_DTYPES:
        return _refuse_dtype(name, value.dtype, shape)
    return ValueError(f"{name}: device {value.device} of shape {shape} is not accepted; expected cpu or cuda")


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
    if not isinstance(value, torch.Tensor) or torch.compiler.is_compiling():
        return isinstance(value, torch.Tensor)
    return type(value).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__ and not value.is_nested


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

    Host NumPy arrays stay NumPy: `torch.from_dlpack` aborts on negative strides and makes read-only arrays writable.
    """
    values: Any = array.data
    if array.kind == "torch":
        values = values.resolve_neg().cpu() if values.is_neg() or not array.on_host else values
        values = (values.float() if values.dtype is torch.bfloat16 else values).numpy()
    elif array.kind == "cupy":
        values = values.get()
    elif values.dtype.kind == "V":  # bfloat16
        values = values.astype(np.float32)
    return values  # type: ignore[no-any-return]


def from_host(values: npt.NDArray[Any], like: Array) -> Any:
    """`values` as the kind and on the device of `like`; no copy on the host."""
    if like.kind == "numpy":
        return values
    if like.kind == "cupy":
        import cupy

        with cupy.cuda.Device(like.data.device):
            return cupy.asarray(values)
    return torch.from_numpy(values) if like.on_host else torch.from_numpy(values).to(like.device)


def on_host(array: Array) -> Array:
    """The same values as a NumPy array; see `to_host`."""
    return array if array.kind == "numpy" else Array(to_host(array), "numpy", "cpu")


def device_of(array: Array) -> torch.device:
    return array.data.device if array.kind == "torch" else torch.device(array.device)


def accept_out(out: Any, labels: Array, shape: tuple[int, ...]) -> Array:
    """Check that `out` can take the target of `labels`, which has that shape."""
    result = accept(out, "out")

    def refused(error: type[Exception], what: str, besides: str = "") -> Exception:
        expected = f"expected a writable float32 {labels.kind} array of shape {shape} on {labels.device}"
        return error(f"out {what}: {expected}{besides}")

    if result.kind != labels.kind:
        raise refused(TypeError, f"is a {result.kind} array", ", the kind of the labels")
    if result.data.dtype != (torch.float32 if result.kind == "torch" else np.float32):
        raise refused(TypeError, f"has dtype {result.data.dtype}")
    if result.shape != shape or result.device != labels.device:
        raise refused(ValueError, f"has shape {result.shape} on {result.device}")
    if result.kind == "torch" and out.requires_grad:
        raise refused(ValueError, "requires grad", " that does not")
    if isinstance(out, np.ndarray) and not out.flags.writeable:
        raise refused(ValueError, "is read-only")
    if _overlaps_itself(result):
        raise refused(ValueError, f"has elements that share memory (strides {byte_strides(result)})")
    if not result.on_host and not _is_aligned(result):
        where = f"address {_bounds(result)[0]:#x}, strides {byte_strides(result)}"
        raise refused(ValueError, f"is not aligned ({where})", " whose elements lie at multiples of 4 bytes")
    if 0 not in labels.shape and _overlap(result, labels):
        raise refused(ValueError, "shares memory with the labels", " with memory of its own")
    return result


def with_axis(array: Array, spatial: int) -> Array:
    """The same memory with an axis of one in front of the last `spatial` axes."""
    front = (slice(None),) * (len(array.shape) - spatial)
    return Array(array.data[(*front, None)], array.kind, array.device)


def without_axis(array: Array, spatial: int) -> Array:
    """The same memory without the axis in front of the last `spatial` axes, where that has size 1 and is not the first.

    Classes take the place of such an axis.
    """
    at = len(array.shape) - spatial - 1
    if at < 1 or array.shape[at] != 1:
        return array
    return Array(array.data[(*(slice(None),) * at, 0)], array.kind, array.device)


def byte_strides(array: Array) -> tuple[int, ...]:
    if array.kind == "torch":
        return tuple(step * array.data.element_size() for step in array.data.stride())
    return tuple(array.data.strides)


def _address(array: Array) -> int:
    """Where a device array's first element lies."""
    return int(array.data.data_ptr() if array.kind == "torch" else array.data.data.ptr)


def _is_aligned(array: Array) -> bool:
    """Whether every element of a device array lies at a multiple of its size, as kernels and DLPack expect."""
    size = array.data.element_size() if array.kind == "torch" else array.data.itemsize
    return all(place % size == 0 for place in (_address(array), *byte_strides(array)))


def is_negated(array: Array) -> bool:
    """Whether memory holds the negative of what torch reads there: engines read and write memory."""
    return array.kind == "torch" and bool(array.data.is_neg())


def _overlaps_itself(array: Array) -> bool:
    """Whether the strides are not nested, that is, may reach one element in two ways."""
    if 0 in array.shape or (array.data.is_contiguous() if array.kind == "torch" else array.data.flags.c_contiguous):
        return False
    reach = array.data.element_size() if array.kind == "torch" else array.data.itemsize
    for step, n in sorted((abs(step), n) for step, n in zip(byte_strides(array), array.shape, strict=True)):
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
    steps = [step * (n - 1) for step, n in zip(byte_strides(array), array.shape, strict=True)]
    return start + sum(min(step, 0) for step in steps), start + sum(max(step, 0) for step in steps) + size


def default_device() -> torch.device:
    """Where host data go when a device engine is named: torch's current device."""
    return torch.device("cuda", torch.cuda.current_device())
