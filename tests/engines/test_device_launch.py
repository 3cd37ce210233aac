"""What does the Python side of the device engines ask the device for? A recording launcher answers."""

import ctypes
import sys
import types

import numpy as np
import pytest
import torch
from host_launcher import record_at

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, inner_distance
from inner_distance_gpu.engines.cuda import launcher as launching
from inner_distance_gpu.engines.cuda import plans
from inner_distance_gpu.engines.cuda.compiler import Kernel, Machine
from inner_distance_gpu.engines.cuda.launcher import CudaLauncher, Launch, Limits
from inner_distance_gpu.engines.cuda.run import layout_of
from inner_distance_gpu.parameters import Task, WeightParameters


class Recorder:
    """Keeps launches and does nothing."""

    def __init__(self, shared_bytes=48 << 10):
        self.launches, self.shared_bytes = [], shared_bytes

    def limits(self, device):
        return Limits(multiprocessors=132, shared_bytes=self.shared_bytes)

    def run(self, launches, records, device):
        for launch in launches:
            record = record_at(launch, launch.record(records))
            self.launches.append((launch.kernel.name.removeprefix("half_grid::"), launch, record, device))

    @property
    def names(self):
        return [name for name, *_ in self.launches]


@pytest.fixture
def recorder(on_host):
    return on_host(Recorder())


def test_launches_of_a_call(recorder):
    labels = torch.zeros(2, 3, 64, 64, 64, dtype=torch.uint8)
    inner_distance(labels, (4, 4, 4), scale=20, engine="cuda")
    assert recorder.names == ["scan<unsigned char, half_grid::Square>", "pairs"]
    recorder.launches.clear()
    inner_distance(labels, (4.1, 4, 4.4), scale=20, engine="cuda")
    assert recorder.names == ["scan<unsigned char, unsigned char>", "plane<unsigned char, false>"]
    recorder.launches.clear()
    InnerDistanceTransform((4, 4, 4), 20, channels=3, engine="cuda")(labels)
    assert [name.split("<")[0] for name in recorder.names] == ["scan", "settle", "pairs"]
    scan, settle, _ = (record for _, _, record, _ in recorder.launches)
    assert scan.replicas == settle.replicas == 32  # blocks do not all count into one place
    assert (scan.counted, scan.class_weight) == (settle.counted, settle.class_weight)
    recorder.launches.clear()
    InnerDistanceTransform((4, 4, 4), 20, channels=3, engine="cuda")(labels, torch.ones(64, 64, 64))
    assert [name.split("<")[0] for name in recorder.names] == ["scan", "count", "settle", "pairs"]
    assert recorder.launches[2][2].replicas == 1
    recorder.launches.clear()
    balanced_weights(labels, engine="cuda")
    assert recorder.names == ["count", "settle", "weigh"]


def test_one_launch_for_all_volumes(recorder):
    labels = torch.zeros(4, 8, 64, 65, 33, dtype=torch.int32)
    inner_distance(labels, (4, 4, 4), scale=20, engine="cuda")
    (_, scan, job, _), (_, plane, _, _) = recorder.launches
    assert job.volumes == 32
    assert (list(job.n), job.words) == ([64, 65, 33], 2)
    assert list(job.leading) == [1, 1, 1, 32]  # batch and channel lie alike
    assert list(job.labels.lead) == [0, 0, 0, 64 * 65 * 33 * 4]
    assert list(job.labels.step) == [65 * 33 * 4, 33 * 4, 4]
    assert (scan.block, scan.grid) == ((32, 4, 1), 32 * 17 * 2)  # four rows of 32 columns each
    assert scan.shared_bytes == 2 * 4 * 4 * 128 + 1024
    assert (plane.block, plane.grid) == ((32, 1, 1), 32 * 64 * 9)
    assert plane.shared_bytes == 34 * 64 + 2 * 144 * 8 + 32 * 4
    recorder.launches.clear()
    inner_distance(labels, (4, 4, 4.1), scale=20, engine="cuda")
    plane = recorder.launches[1][1]
    assert (plane.block, plane.grid) == ((64, 1, 1), 32 * 64 * 17)
    assert plane.shared_bytes == 2 * 33 * 16


def test_grids_beyond_what_a_launch_takes_are_cut(recorder):
    labels = torch.zeros(1, dtype=torch.uint8).expand(2**20, 2**20)
    weighing = WeightParameters(2, False, tuple(labels.shape), (0.05, 0.95), None)
    prepared = plans.prepare(layout_of(labels), None, None, Task(weighing=weighing), Limits(2, 48 << 10))
    assert [launch.grid for launch in prepared.launches] == [2**26, 1, 2**31 - 1]


def test_long_rows_and_columns_leave_shared_memory(on_host):
    recorder = on_host(Recorder(227 << 10))
    for shape, long, segmented in (
        ((8, 4, 7264), False, False),
        ((8, 4, 7265), True, False),
        ((20000, 4, 4), False, True),
    ):
        recorder.launches.clear()
        inner_distance(torch.zeros(shape, dtype=torch.uint8), (1, 1.01, 1), scale=9, engine="cuda")
        (_, scan, job, _), (name, plane, *_) = recorder.launches
        assert name == f"plane<unsigned char, {str(long).lower()}>"
        assert bool(job.rows) == long == (plane.shared_bytes == 0)
        assert bool(job.segments) == segmented == (scan.shared_bytes == 0)
        assert not long or plane.grid <= 4 * 132


def test_scratch_is_small(recorder, monkeypatch):
    taken = []
    empty = torch.empty
    monkeypatch.setattr(torch, "empty", lambda *args, **kw: taken.append(args) or empty(*args, **kw))
    labels = torch.zeros(64, 64, 64, dtype=torch.uint8)
    for voxel_size, most in (((4, 4, 4), 7.3), ((4, 4, 4.1), 3.7)):
        taken.clear()
        inner_distance(labels, voxel_size, scale=20, engine="cuda", out=empty(64, 64, 64))
        (bytes_taken,) = (args[0] for args in taken)
        assert bytes_taken / labels.numel() < most


def test_the_labels_are_not_copied(recorder):
    labels = torch.zeros(6, 7, 8).permute(2, 0, 1)
    out = torch.zeros(8, 6, 7)
    assert inner_distance(labels, (1, 1, 1), engine="cuda", out=out) is out
    job = recorder.launches[0][2]
    assert job.labels.data == labels.data_ptr()
    assert job.target.data == out.data_ptr()
    assert list(job.labels.step) == [4, 224, 32]


def test_host_arrays_are_copied_there_and_back(recorder):
    result = inner_distance(np.zeros((3, 4, 5), ">i2"), (1, 1, 1), engine="cuda")
    assert type(result) is np.ndarray
    out = np.zeros((4, 4), np.float32)[::-1]
    assert inner_distance(np.zeros((4, 4)), (1, 1), engine="cuda", out=out) is out
    weights, counts = balanced_weights(np.zeros((3, 4), np.uint8), engine="cuda")
    assert type(weights) is np.ndarray
    assert counts.device.type == "cpu"


class FakeDriver(types.ModuleType):
    CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8

    def __init__(self):
        super().__init__("cupy.cuda.driver")
        self.calls, self.context = [], 5

    def moduleLoadData(self, image):  # noqa: N802
        self.calls.append(("load", image))
        return 7

    def moduleGetFunction(self, module, name):  # noqa: N802
        self.calls.append(("function", name))
        return 100 + len(self.calls)

    def funcSetAttribute(self, *arguments):  # noqa: N802
        self.calls.append(("attribute", *arguments))

    def ctxGetCurrent(self):  # noqa: N802
        return self.context

    def launchKernel(self, function, *arguments):  # noqa: N802
        pointer = ctypes.cast(arguments[8], ctypes.POINTER(ctypes.c_void_p))[0]
        record = ctypes.cast(pointer, ctypes.POINTER(ctypes.c_int64))[0]
        self.calls.append(("launch", function, *arguments[:8], record, arguments[9]))


class Records:
    """Those of a call whose job is one number."""

    def __init__(self, job):
        self.number = ctypes.c_int64(job)
        self.pointer = ctypes.c_void_p(ctypes.addressof(self.number))
        self.job_arguments = ctypes.addressof(self.pointer)


@pytest.fixture
def cuda(monkeypatch):
    """The real launcher on a driver that only notes; device 1 is a Hopper with stream 42."""
    fake, compiled, entered = FakeDriver(), [], []
    cupy_cuda = types.ModuleType("cupy.cuda")
    cupy_cuda.driver = fake
    monkeypatch.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    monkeypatch.setitem(sys.modules, "cupy.cuda", cupy_cuda)
    monkeypatch.setattr(launching, "supported", lambda: (75, 80, 90, 100))

    class Device:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            entered.append(self.device)

        def __exit__(self, *error):
            entered.append(None)

    def compile_it(kernel, architecture):
        compiled.append((kernel, architecture))
        return Machine(b"cubin", "symbol", "")

    monkeypatch.setattr(torch.cuda, "device", Device)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: types.SimpleNamespace(cuda_stream=42))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda index: (9, 0))
    monkeypatch.setattr(launching, "_enter", lambda index: entered.append(("context of", index)))
    monkeypatch.setattr(launching, "compiled", compile_it)
    return types.SimpleNamespace(driver=fake, compiled=compiled, entered=entered, launcher=CudaLauncher())


def test_a_launch_goes_to_torchs_device_and_stream(cuda):
    launch = Launch(Kernel("scan.cu", "scan"), 5, (32, 2, 1), 1000)
    cuda.launcher.run([launch], Records(77), torch.device("cuda", 1))
    assert cuda.entered == [torch.device("cuda", 1), None]
    assert cuda.compiled == [(launch.kernel, "sm_90")]
    assert cuda.driver.calls[:2] == [("load", b"cubin"), ("function", "symbol")]
    assert cuda.driver.calls[2][2:] == (5, 1, 1, 32, 2, 1, 1000, 42, 77, 0)


def test_a_kernel_is_compiled_once_per_device(cuda):
    first, second = Kernel("scan.cu", "one"), Kernel("scan.cu", "two")
    for kernel in (first, second, first, first):
        cuda.launcher.run([Launch(kernel, 1, (32, 1, 1), 0)], Records(0), torch.device("cuda", 1))
    cuda.launcher.run([Launch(first, 1, (32, 1, 1), 0)], Records(0), torch.device("cuda", 0))
    assert [kernel for kernel, _ in cuda.compiled] == [first, second, first]
    functions = [call[1] for call in cuda.driver.calls if call[0] == "launch"]
    assert functions[0] == functions[2] == functions[3]
    assert len(set(functions)) == 3


def test_more_shared_memory_is_asked_for_once(cuda):
    for size in (48 << 10, 100_000, 90_000, 120_000):
        launch = Launch(Kernel("plane.cu", "p"), 1, (32, 1, 1), size)
        cuda.launcher.run([launch], Records(0), torch.device("cuda", 1))
    asked = [call[3] for call in cuda.driver.calls if call[0] == "attribute"]
    assert asked == [100_000, 120_000]


def test_one_device_and_one_stream_for_all_launches_of_a_call(cuda):
    launches = [Launch(Kernel("scan.cu", name), 1, (32, 1, 1), 0) for name in ("one", "two")]
    cuda.launcher.run(launches, Records(0), torch.device("cuda", 1))
    assert cuda.entered == [torch.device("cuda", 1), None]
    assert sum(call[0] == "launch" for call in cuda.driver.calls) == 2


def test_a_thread_without_a_context_gets_that_of_torch(cuda):
    cuda.driver.context = 0
    cuda.launcher.run([Launch(Kernel("scan.cu", "scan"), 1, (32, 1, 1), 0)], Records(0), torch.device("cuda", 1))
    assert cuda.entered == [torch.device("cuda", 1), ("context of", 1), None]


def test_nothing_is_compiled_in_a_capture(cuda, monkeypatch):
    step = [Launch(Kernel("scan.cu", "scan"), 1, (32, 1, 1), 0)], Records(0)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="scan is not compiled yet, and a CUDA graph is being captured"):
        cuda.launcher.run(*step, torch.device("cuda", 1))
    assert cuda.compiled == []
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    cuda.launcher.run(*step, torch.device("cuda", 1))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    cuda.launcher.run(*step, torch.device("cuda", 1))
    assert len(cuda.compiled) == 1
