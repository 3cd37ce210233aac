"""Does the engine that was asked for run, and only that one?"""

import sys
import types

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, engines, inner_distance

LABELS = np.eye(4, dtype=np.uint8)


def test_available_names_every_engine_and_why_not():
    found = engines.available()
    assert list(found) == ["cuda", "cucim", "cpu", "reference"]
    assert found["reference"] is None
    assert all(reason is None or (isinstance(reason, str) and reason) for reason in found.values())


@pytest.fixture
def asked(monkeypatch):
    """The engine calls that were made, by name."""
    calls = []
    for name in ("cpu", "reference"):
        if engines.available()[name] is None:
            module = engines._module(name)

            def recorded(*arguments, name=name, run=module.run):
                calls.append(name)
                run(*arguments)

            monkeypatch.setattr(module, "run", recorded)
    return calls


def test_a_named_engine_is_used(asked):
    inner_distance(LABELS, (1, 1), engine="reference")
    balanced_weights(LABELS, engine="reference")
    InnerDistanceTransform((1, 1), 1, engine="reference", weights=False)(LABELS)
    assert asked == ["reference"] * 3


def test_auto_takes_the_fastest_host_engine(asked):
    inner_distance(LABELS, (1, 1))
    assert asked == ["cpu" if engines.available()["cpu"] is None else "reference"]


@pytest.fixture
def threads(monkeypatch):
    """The numbers of threads that `reference` was told to use."""
    told = []
    module = engines._module("reference")
    monkeypatch.setattr(module, "run", lambda task, arrays, threads: told.append(threads))
    return told


def test_threads_follow_torch_unless_named(threads):
    before = torch.get_num_threads()
    try:
        for number in (1, 3):
            torch.set_num_threads(number)  # as torch itself does in a DataLoader worker, with 1
            inner_distance(LABELS, (1, 1), engine="reference")
    finally:
        torch.set_num_threads(before)
    inner_distance(LABELS, (1, 1), engine="reference", threads=5)
    InnerDistanceTransform((1, 1), 1, engine="reference", weights=False, threads=2)(LABELS)
    assert threads == [1, 3, 5, 2]


def fake_cuda_tensor():
    with FakeTensorMode(allow_non_fake_inputs=True):  # beside the counts of a transform
        return torch.empty(4, 4, device="cuda")


def test_device_tensors_say_which_engine_is_missing(no_gpu):
    for call in (
        lambda labels: inner_distance(labels, (1, 1)),
        balanced_weights,
        InnerDistanceTransform((1, 1), 1),
    ):
        with pytest.raises(ValueError, match=r"CUDA labels of shape \(4, 4\): 'cuda' cannot run here .*'reference'"):
            call(fake_cuda_tensor())


class FakeCuPyArray:
    """What the seam looks at in a CuPy array."""

    dtype = np.dtype(np.uint8)
    shape = (4, 4)
    device = types.SimpleNamespace(id=1)

    def get(self):
        return LABELS


def test_cupy_arrays_are_recognised_without_importing_cupy(no_gpu, monkeypatch):
    cupy = types.ModuleType("cupy")
    cupy.ndarray = FakeCuPyArray
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(ValueError, match=r"CUDA labels of shape \(4, 4\): 'cuda' cannot run here"):
        inner_distance(FakeCuPyArray(), (1, 1))


def test_a_named_host_engine_takes_device_arrays(monkeypatch):
    cupy = types.ModuleType("cupy")
    cupy.ndarray, cupy.asarray = FakeCuPyArray, lambda values: ("on the device", values)
    cupy.cuda = types.SimpleNamespace(Device=lambda device: torch.no_grad())
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    where, values = inner_distance(FakeCuPyArray(), (1, 1), engine="reference")
    assert where == "on the device"
    np.testing.assert_array_equal(values, inner_distance(LABELS, (1, 1)))


class ForeignOnDevice:
    """A DLPack exporter on a CUDA device."""

    def __dlpack__(self, **keywords):
        raise AssertionError("read without CuPy")

    def __dlpack_device__(self):
        return self.device


def test_foreign_device_arrays_need_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    foreign = ForeignOnDevice()
    foreign.device = (2, 0)
    with pytest.raises(TypeError, match=r"CuPy is not installed: pip install .*cuda13"):
        inner_distance(foreign, (1, 1))
    foreign.device = (8, 0)
    with pytest.raises(ValueError, match="DLPack device type 8"):
        inner_distance(foreign, (1, 1))


@pytest.mark.gpu
@pytest.mark.parametrize("engine", ["reference"])
def test_host_engines_on_device_tensors(engine):
    labels = torch.randint(0, 3, (2, 9, 10, 11), device="cuda")
    out = torch.empty(labels.shape, device="cuda")
    result = inner_distance(labels, (4, 4, 4), engine=engine, out=out)
    assert result is out
    expected = inner_distance(labels.cpu(), (4, 4, 4), engine=engine)
    assert torch.equal(result.cpu(), expected)
    assert inner_distance(labels, (4, 4, 4), engine=engine).device == labels.device
    weights, counts = balanced_weights(labels, 3, engine=engine)
    assert weights.device == counts.device == labels.device


@pytest.mark.gpu
def test_transform_counts_follow_the_module_to_the_device():
    transform = InnerDistanceTransform((4, 4), 10, engine="reference").to("cuda")
    assert transform.counts.device.type == "cuda"
    transform(torch.randint(0, 2, (8, 8), device="cuda"))
    assert transform.counts.denominators.tolist() == [[65, 65]]
