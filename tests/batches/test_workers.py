"""Does the transform run in workers however they start, and does a forked one that asks for CUDA say what to do?"""

import os
import sys
import types

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils.data import DataLoader, Dataset

from inner_distance_gpu import (
    ClassCounts,
    InnerDistancePredictor,
    InnerDistanceTransform,
    TargetLoader,
    balanced_weights,
    engines,
    inner_distance,
)
from inner_distance_gpu.predictors.spatial import SpatialArray

VOXEL = (4, 4)
LABELS = np.random.default_rng(0).integers(0, 3, (1, 9, 8))
WAYS_OUT = r"forked from one that already uses CUDA.*engine='cpu'.*after collation.*TargetLoader.*'forkserver'"


class Samples(Dataset):
    """Applies `change` in the worker."""

    def __init__(self, change):
        self.change = change

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.change({"raw": torch.full((1,), i), "labels": torch.from_numpy((LABELS + i) % 3)})


def keyed():
    return InnerDistanceTransform(VOXEL, 10, moving=False).keyed()


def of_target_loader():
    return TargetLoader([], InnerDistanceTransform(VOXEL, 10, moving=False)).transform


class Alone:
    """The transform itself, not bound to keys."""

    def __init__(self):
        self.transform = InnerDistanceTransform(VOXEL, 10, moving=False)

    def __call__(self, sample):
        target, weight = self.transform(sample["labels"])
        return {**sample, "target": target, "weight": weight}


@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_transforms_travel_to_workers(context):
    for change in (Alone(), keyed(), of_target_loader()) if context != "spawn" else (keyed(),):
        here = list(DataLoader(Samples(change), batch_size=2))
        there = list(DataLoader(Samples(change), batch_size=2, num_workers=1, multiprocessing_context=context))
        assert len(here) == len(there) == 2
        for a, b in zip(here, there, strict=True):
            assert sorted(a) == ["labels", "raw", "target", "weight"]
            assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.fixture
def forked(monkeypatch):
    """As after CUDA was initialised here: true in every process forked from now on, false in this one."""
    parent = os.getpid()
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: os.getpid() != parent)


@pytest.fixture
def in_fork(monkeypatch):
    monkeypatch.setattr(torch.cuda, "_is_in_bad_fork", lambda: True)


@pytest.mark.no_kernel
@pytest.mark.parametrize("engine", ["cuda", "cucim"])
def test_a_real_worker_says_what_to_do(forked, engine):
    loader = DataLoader(Samples(InnerDistanceTransform(VOXEL, 10, engine=engine).keyed()), num_workers=1)
    with pytest.raises(ValueError, match=WAYS_OUT) as raised:
        next(iter(loader))
    assert f"engine={engine!r} for host labels of shape (1, 9, 8)" in str(raised.value)


def test_the_ways_out_work(forked):
    change = InnerDistanceTransform(VOXEL, 10, engine="cpu", moving=False).keyed()
    expected = [sample["target"] for sample in map(Samples(change).__getitem__, range(4))]
    in_worker = [batch["target"][0] for batch in DataLoader(Samples(change), num_workers=1)]
    after = [change(batch)["target"][0] for batch in DataLoader(Samples(dict), num_workers=1)]
    ahead = [batch["target"][0] for batch in TargetLoader(DataLoader(Samples(dict), num_workers=1), change)]
    for made in (in_worker, after, ahead):
        assert all(torch.equal(a, b) for a, b in zip(made, expected, strict=True))


def on_cuda(*shape):
    with FakeTensorMode(allow_non_fake_inputs=True):
        return torch.empty(shape, device="cuda")


REQUESTS = {
    "device engine": lambda: inner_distance(LABELS, VOXEL, engine="cuda"),
    "device weights": lambda: balanced_weights(LABELS != 0, engine="cucim"),
    "CUDA labels": lambda: inner_distance(on_cuda(9, 8), VOXEL),
    "CUDA labels, host engine": lambda: inner_distance(on_cuda(9, 8), VOXEL, engine="cpu"),
    "CUDA mask": lambda: balanced_weights(LABELS != 0, mask=on_cuda(1, 9, 8)),
    "CUDA transform": lambda: InnerDistanceTransform(VOXEL, 10)(on_cuda(9, 8)),
    "predictor": lambda: InnerDistancePredictor(["a"], 5, device="cuda").create_target(SpatialArray(LABELS, VOXEL)),
    "loader": lambda: TargetLoader([], keyed(), device="cuda"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_every_request_says_the_same(in_fork, request_):
    with pytest.raises(ValueError, match=WAYS_OUT):
        request_()


class OfCupy:
    shape, dtype = (9, 8), np.dtype("uint8")
    device = property(lambda _: pytest.fail("asked CUDA for the device"))


class Foreign:
    __dlpack__ = None

    def __dlpack_device__(self):
        return 2, 0  # CUDA


@pytest.mark.parametrize("labels", [OfCupy(), Foreign()])
def test_arrays_of_other_libraries_say_the_same(in_fork, monkeypatch, labels):
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(ndarray=OfCupy))
    with pytest.raises(ValueError, match=WAYS_OUT):
        inner_distance(labels, VOXEL)


def test_counts_that_moved_to_the_device_say_so(in_fork, monkeypatch):
    counts = ClassCounts.start(1, 2)
    there = types.SimpleNamespace(is_cpu=False, device=torch.device("cuda:0"), shape=(1, 2))
    monkeypatch.setattr(counts, "numerators", there)
    with pytest.raises(ValueError, match=rf"counts on cuda:0: .*{WAYS_OUT}"):
        balanced_weights(LABELS != 0, counts=counts, engine="cpu")


def test_available_says_why(in_fork):
    found = engines.available()
    assert "forked" in found["cuda"]
    assert "forked" in found["cucim"]
    assert found["reference"] is None
    inner_distance(LABELS, VOXEL)  # the host needs no CUDA
    InnerDistanceTransform(VOXEL, 10)(torch.from_numpy(LABELS))


@pytest.mark.gpu
def test_a_worker_forked_after_cuda_was_initialised():
    torch.zeros(1, device="cuda")
    for change in (InnerDistanceTransform(VOXEL, 10, engine="cuda"), InnerDistanceTransform(VOXEL, 10).to("cuda")):
        loader = DataLoader(Samples(change.keyed()), num_workers=1, multiprocessing_context="fork")
        with pytest.raises(ValueError, match=WAYS_OUT):
            next(iter(loader))
