"""Does engine `cuda` stay on the device: no copy, no synchronisation, torch's stream and memory, any size?"""

import threading

import numpy as np
import pytest
import torch
from device_calls import blobs
from devices import call_bytes, no_synchronisation
from host_launcher import record_at
from oracle import assert_target

from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance
from inner_distance_gpu import arrays as seam
from inner_distance_gpu.engines.cuda import launcher as launching
from inner_distance_gpu.parameters import TargetParameters

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def runs():
    reason = engines.available()["cuda"]
    if reason is not None:
        pytest.skip(reason)


@pytest.fixture
def launches(monkeypatch):
    """The records of the launches that were made."""
    made, run = [], launching.launcher.run

    def noted(launches, records, device):
        made.extend(record_at(launch, launch.record(records)) for launch in launches)
        run(launches, records, device)

    monkeypatch.setattr(launching.launcher, "run", noted)
    return made


def test_memory_is_the_callers(launches):
    labels = torch.zeros(4, 5, 6, dtype=torch.uint8, device="cuda")
    out = torch.empty(4, 5, 6, device="cuda")
    inner_distance(labels, (1, 1, 1), out=out)
    assert launches[0].labels.data == labels.data_ptr()
    assert launches[0].target.data == out.data_ptr()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "uint16", "float16", "float32"])
def test_memory_of_cupy_is_the_callers(launches, dtype):
    cupy = pytest.importorskip("cupy")
    labels, out = cupy.zeros((4, 5, 6), dtype), cupy.empty((4, 5, 6), "float32")
    assert inner_distance(labels, (1, 1, 1), out=out) is out
    assert launches[0].labels.data == labels.data.ptr
    assert launches[0].target.data == out.data.ptr
    tensor = torch.zeros(3, device="cuda")
    assert seam._as_cupy(tensor).data.ptr == tensor.data_ptr()


def transform_of(labels, **keywords):
    transform = InnerDistanceTransform((40, 4, 4), 15, channels=2, ignore_label=9, **keywords).to("cuda")
    transform(labels)  # compiles
    transform.counts.reset()
    return transform


def test_no_synchronisation():
    labels = torch.from_numpy(blobs((3, 2, 20, 30, 40))).cuda()
    mask = torch.rand(20, 30, 40, device="cuda")
    transform = transform_of(labels)
    transform(labels, mask)
    with no_synchronisation():
        transform(labels)
        transform(labels, mask)
        inner_distance(labels, (40, 4, 4))


def test_graph_capture_and_replay_with_new_labels():
    labels = torch.from_numpy(blobs((3, 2, 20, 30, 40))).cuda()
    transform = transform_of(labels, moving=False)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        transform(labels)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        target, weight = transform(labels)
    for seed, fraction in ((1, 0.5), (2, 0.98), (3, 0.0), (4, 0.02)):
        new = torch.from_numpy(blobs(labels.shape, seed, fraction))
        labels.copy_(new)
        graph.replay()
        reference = InnerDistanceTransform((40, 4, 4), 15, channels=2, moving=False, engine="reference")
        expected = reference(new)
        assert_target(target.cpu(), expected[0].numpy(), scale=15)
        np.testing.assert_allclose(weight.cpu(), expected[1], rtol=1e-6)


def test_counts_move_with_every_replay():
    labels = torch.from_numpy(blobs((3, 2, 20, 30, 40))).cuda()
    transform = transform_of(labels)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        transform(labels)
    assert transform.counts.to_dicts()[0][0] == (0, 1.0)
    for _ in range(3):
        graph.replay()
    reference = InnerDistanceTransform((40, 4, 4), 15, channels=2, ignore_label=9, engine="reference")
    for _ in range(3):
        reference(labels.cpu())
    assert transform.counts.to_dicts() == reference.counts.to_dicts()


def test_a_capture_that_would_have_to_compile_says_so(monkeypatch):
    monkeypatch.setattr(launching, "launcher", launching.CudaLauncher())
    labels = torch.zeros(4, 5, 6, dtype=torch.uint8, device="cuda")
    torch.cuda.synchronize()
    with pytest.raises(RuntimeError, match="before the capture"), torch.cuda.graph(torch.cuda.CUDAGraph()):
        inner_distance(labels, (1, 1, 1))


def test_a_thread_that_torch_has_not_worked_in():
    labels = torch.from_numpy(blobs((20, 30, 40))).cuda()
    results = []
    thread = threading.Thread(target=lambda: results.append(inner_distance(labels, (1, 1, 1))))
    thread.start()
    thread.join()
    assert torch.equal(results[0], inner_distance(labels, (1, 1, 1)))


def test_side_streams():
    """Work is ordered behind what the side stream does, and not behind the default stream."""
    labels = torch.zeros(64, 64, 64, dtype=torch.uint8, device="cuda")
    new = torch.from_numpy(blobs((64, 64, 64))).cuda()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        inner_distance(labels, (1, 1, 1), scale=9)  # compiles, loads, and takes memory for this stream
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(100_000_000)
        labels.copy_(new)
        result = inner_distance(labels, (1, 1, 1), scale=9)
    side.synchronize()
    assert torch.equal(result, inner_distance(new, (1, 1, 1), scale=9))


def test_peak_memory():
    labels = torch.from_numpy(blobs((128, 128, 128))).cuda()
    transform = transform_of(labels.expand(1, 2, -1, -1, -1))
    stack = labels.expand(1, 2, -1, -1, -1)
    transform(stack)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    target, weight = transform(stack)
    results = target.nbytes + weight.nbytes
    scratch = torch.cuda.max_memory_allocated() - before - results
    assert scratch <= 12 * stack.numel()


@pytest.mark.parametrize("shape", [(2_200, 1_000, 1_000), (5, 32_768, 16_384), (3, 9, 9, 9_000_000)])
def test_beyond_two_to_the_31_voxels(shape):
    needed = call_bytes(shape, torch.uint8, TargetParameters((1,) * 3, 2, "zero", "extent", None, 0))
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info()
    if free < needed:
        pytest.skip(f"needs {needed / 1e9:.1f} GB of device memory, {free / 1e9:.1f} are free")
    labels = torch.ones(shape, dtype=torch.uint8, device="cuda")
    corner = tuple(slice(-8, None) for _ in shape[-3:])
    labels[..., -4, -4, -4] = 0
    result = inner_distance(labels, (1, 1, 1), scale=2)
    expected = inner_distance(labels[(-1,) * (len(shape) - 3)][corner].cpu(), (1, 1, 1), scale=2, engine="reference")
    inner = result[(-1,) * (len(shape) - 3)][corner].cpu()
    near = expected < 0.97  # sites outside the corner are farther
    assert_target(inner[near], expected[near].numpy(), scale=2)
    assert float(result[(0,) * len(shape)]) == 1


@pytest.mark.gpu(2)
def test_the_device_is_the_labels():
    labels = torch.from_numpy(blobs((20, 30, 40))).to("cuda:1")
    with torch.cuda.device(0):
        result = inner_distance(labels, (1, 1, 1))
    assert result.device == labels.device
    assert torch.equal(result.cpu(), inner_distance(labels.to("cuda:0"), (1, 1, 1)).cpu())
