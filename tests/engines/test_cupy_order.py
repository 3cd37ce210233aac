"""Are torch's and CuPy's streams ordered both ways, and is CuPy's memory read and written as it lies?

A CuPy made of NumPy arrays, and streams that note who waits for whom. Kernels run on the host.
"""

import ctypes
import sys
import types

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher

from inner_distance_gpu import InnerDistanceTransform, arrays, balanced_weights, inner_distance
from inner_distance_gpu.engines import memory
from inner_distance_gpu.engines.cuda import launcher as launching
from inner_distance_gpu.engines.cuda import streams

LABELS = np.array([[0, 0, 1, 1, 2, 2, 2]] * 3, np.int32)
DEVICE = torch.device("cuda", 1)


class Array:
    """What the package asks of a CuPy array, around a NumPy array."""

    def __init__(self, shape, dtype=np.float64, memptr=None, strides=None):
        if memptr is None:
            self.values = np.zeros(shape, dtype)
            return
        strides = strides or np.empty(shape, dtype).strides
        reach = [step * (n - 1) for step, n in zip(strides, shape, strict=True)]
        below, above = (sum(part(step, 0) for step in reach) for part in (min, max))
        memory = (ctypes.c_ubyte * (above - below + np.dtype(dtype).itemsize)).from_address(memptr.ptr + below)
        self.values, self.owner = np.ndarray(shape, dtype, memory, -below, strides), memptr

    @classmethod
    def of(cls, values):
        made = cls.__new__(cls)
        made.values = values
        return made

    data = property(
        lambda self: types.SimpleNamespace(ptr=self.values.ctypes.data, device=self.device, keeps=self.values)
    )
    device = property(lambda self: types.SimpleNamespace(id=1))
    shape = property(lambda self: self.values.shape)
    strides = property(lambda self: self.values.strides)
    dtype = property(lambda self: self.values.dtype)
    itemsize = property(lambda self: self.values.itemsize)
    flags = property(lambda self: self.values.flags)

    def view(self, dtype):
        return Array.of(self.values.view(dtype))

    def reshape(self, shape):
        return Array.of(self.values.reshape(shape))

    def copy(self, order):
        NOTES.append("CuPy copies")
        return Array.of(self.values.copy(order))

    def __setitem__(self, key, other):
        NOTES.append("CuPy writes out")
        self.values[key] = other.values


NOTES = []


class Stream:
    def __init__(self, name, handle):
        self.name, self.cuda_stream, self.ptr = name, handle, handle

    def wait_stream(self, other):
        NOTES.append(f"{self.name} waits for {other.name}")

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


class Noting(HostLauncher):
    def run(self, launches, records, device):
        NOTES.append("kernels")
        super().run(launches, records, device)


@pytest.fixture
def cupy(monkeypatch, on_host):
    """CuPy's and torch's current streams have names and handles; device memory is host memory."""
    NOTES.clear()
    fake, known = types.ModuleType("cupy"), {}
    fake.ndarray, fake.uint8, fake.float32 = Array, np.uint8, np.float32
    fake.current = Stream("CuPy", 64)
    fake.torchs = Stream("torch", 32)

    def memory_around(pointer, size, owner, device):
        return types.SimpleNamespace(ptr=pointer, owner=owner)

    fake.cuda = types.SimpleNamespace(
        Device=lambda index: Stream(f"device {index}", None),
        get_current_stream=lambda index: fake.current,
        UnownedMemory=memory_around,
        MemoryPointer=lambda memory, offset: memory,
    )
    monkeypatch.setitem(sys.modules, "cupy", fake)
    known.update({64: fake.current, 32: fake.torchs})
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: fake.torchs)
    monkeypatch.setattr(torch.cuda, "ExternalStream", lambda handle, device: known[handle], raising=False)
    monkeypatch.setattr(torch.cuda, "default_stream", lambda device: Stream("default", 0))
    monkeypatch.setattr(torch.utils.dlpack, "from_dlpack", lambda array: torch.from_numpy(array.values))
    monkeypatch.setattr(arrays, "device_of", lambda array: torch.device("cpu"))
    monkeypatch.setattr(
        torch.Tensor, "record_stream", lambda tensor, stream: NOTES.append(f"memory kept for {stream.name}")
    )
    on_host(Noting())
    return fake


IN, OUT = "torch waits for CuPy", "CuPy waits for torch"
KEPT = "memory kept for CuPy"


def expected(labels=LABELS, **keywords):
    return inner_distance(labels, (4, 4), scale=5, engine="reference", **keywords)


def test_labels_and_a_result(cupy):
    result = inner_distance(Array.of(LABELS), (4, 4), scale=5)
    assert NOTES == [IN, "kernels", OUT, OUT, KEPT]
    np.testing.assert_allclose(result.values, expected(), atol=1e-6)


def test_an_out_is_written_in_order(cupy):
    out = Array.of(np.zeros(LABELS.shape, np.float32))
    assert inner_distance(Array.of(LABELS), (4, 4), scale=5, out=out) is out
    assert NOTES == [IN, IN, "kernels", OUT]
    np.testing.assert_allclose(out.values, expected(), atol=1e-6)


def test_an_out_that_kernels_cannot_write(cupy):
    out = Array.of(np.zeros(LABELS.shape, np.float32)[::-1])
    inner_distance(Array.of(LABELS), (4, 4), scale=5, out=out)
    assert NOTES == [IN, "kernels", OUT, OUT, KEPT, "CuPy writes out"]
    np.testing.assert_allclose(out.values, expected(), atol=1e-6)


@pytest.mark.parametrize("call", [lambda a: balanced_weights(a, 3)[0], lambda a: InnerDistanceTransform((4, 4), 5)(a)])
def test_every_result_is_kept_for_cupy(cupy, call):
    results = call(Array.of(LABELS))
    count = len(results) if isinstance(results, tuple) else 1
    assert NOTES[0] == IN
    assert NOTES.count(KEPT) == count
    assert NOTES[-2 * count - 1 :] == [OUT, *[OUT, KEPT] * count]


@pytest.mark.no_kernel
def test_a_mask_alone_is_ordered_too(cupy):
    home = memory.DeviceMemory(arrays.Array(torch.zeros(3, 7), "torch", "cpu"))
    home.mask_to_engine(arrays.Array(Array.of(np.ones((3, 7), np.uint8)), "cupy", "cpu"), (3, 7))
    home.settle()
    assert NOTES == [IN, OUT]
    torchs = memory.DeviceMemory(arrays.Array(torch.zeros(3, 7), "torch", "cpu"))
    torchs.to_engine(arrays.Array(torch.zeros(3, 7), "torch", "cpu"))
    torchs.settle()
    assert NOTES == [IN, OUT], "torch's own memory needs no order"


@pytest.mark.no_kernel
def test_kernels_that_fail_half_way_are_ordered(cupy, monkeypatch):
    def fails(launches, records, device):
        NOTES.append("kernels")
        raise RuntimeError("launch")

    monkeypatch.setattr(launching.launcher, "run", fails)
    for call in (
        lambda a: inner_distance(a, (4, 4)),
        lambda a: balanced_weights(a, 3),
        lambda a: InnerDistanceTransform((4, 4), 5)(a),
    ):
        NOTES.clear()
        with pytest.raises(RuntimeError, match="launch"):
            call(Array.of(LABELS))
        assert NOTES == [IN, "kernels", OUT]


def test_one_stream_for_both_needs_no_order(cupy):
    cupy.torchs = cupy.current
    inner_distance(Array.of(LABELS), (4, 4), scale=5)
    assert NOTES == ["kernels"]


@pytest.mark.no_kernel
@pytest.mark.parametrize("handle", [0, 1])
def test_cupys_default_stream_is_torchs(cupy, handle):
    cupy.current = Stream("CuPy", handle)
    streams.torch_waits(DEVICE)
    assert NOTES == ["torch waits for default"]
    cupy.torchs = Stream("torch", 0)
    streams.torch_waits(DEVICE)
    assert NOTES == ["torch waits for default"]


@pytest.mark.no_kernel
def test_the_memory_goes_before_the_stream_it_is_recorded_on(cupy):
    """CuPy destroys a stream that nobody holds; torch's allocator would then record an event on it."""
    gone = []

    class Tensor(torch.Tensor):
        def __del__(self):
            gone.append("memory")

    class Owner(Stream):
        def __del__(self):
            gone.append("stream")

    cupy.current = Owner("CuPy", 64)
    result = streams.as_cupy(torch.zeros(2, 3).as_subclass(Tensor))
    cupy.current = Stream("another", 64)
    assert gone == []
    del result
    assert gone == ["memory", "stream"]


def flipped(values):
    return values[::-1, ::-1]


def misaligned(values):
    stored = np.zeros(values.nbytes + 1, np.uint8)
    view = stored[1:].view(values.dtype).reshape(values.shape)
    view[...] = values
    return view


def with_odd_steps(values):
    """A field of packed records: its elements lie 5 bytes apart."""
    records = np.zeros(values.shape, np.dtype([("label", values.dtype), ("flag", np.uint8)]))
    records["label"] = values
    return records["label"]


@pytest.mark.parametrize("lay", [flipped, misaligned, with_odd_steps, lambda v: flipped(misaligned(v))])
def test_what_dlpack_cannot_express_is_copied_before_torch_waits(cupy, lay):
    labels = lay(LABELS)
    result = inner_distance(Array.of(labels), (4, 4), scale=5)
    assert NOTES == ["CuPy copies", IN, "kernels", OUT, OUT, KEPT]
    np.testing.assert_allclose(result.values, expected(labels), atol=1e-6)
    job = launching.launcher.records[0]
    assert job.labels.data % 4 == 0


@pytest.mark.no_kernel
@pytest.mark.parametrize("lay", [misaligned, with_odd_steps])
def test_an_out_between_two_elements_is_refused(cupy, lay):
    out = Array.of(lay(np.zeros(LABELS.shape, np.float32)))
    with pytest.raises(ValueError, match=r"out is not aligned \(address 0x.*multiples of 4 bytes"):
        inner_distance(Array.of(LABELS), (4, 4), out=out)


@pytest.mark.no_kernel
@pytest.mark.parametrize("version", [13, 14])
def test_torchs_stream_in_cupy(cupy, version):
    made = []
    if version == 14:
        stream = types.SimpleNamespace(from_external=lambda foreign: made.append(foreign.__cuda_stream__()))
    else:
        stream = types.SimpleNamespace()
        cupy.cuda.ExternalStream = lambda *arguments: made.append(arguments)
    cupy.cuda.Stream = stream
    streams.in_cupy(DEVICE)
    assert made == [(0, 32) if version == 14 else (32, 1)]
