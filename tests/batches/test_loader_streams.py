"""Does TargetLoader hand over what its own stream made: in order, without waiting, never in memory already reused?"""

import gc
import threading

import numpy as np
import pytest
import torch
from devices import no_synchronisation
from torch.utils.data import DataLoader

from inner_distance_gpu import InnerDistanceTransform, TargetLoader, engines

VOXEL = (4, 4)


def samples(count=6):
    rng = np.random.default_rng(0)
    return [
        {"raw": torch.full((1,), i), "labels": torch.from_numpy(rng.integers(0, 3, (1, 90, 80)))} for i in range(count)
    ]


class Recorded:
    """Stands for torch.cuda on machines without a device: notes who waits for whom, and where copies are made."""

    def __init__(self):
        self.notes, self.current, self.here = [], threading.local(), self.stream_named("first")

    def stream_named(self, name):
        made = type("Stream", (), {"name": name, "device": torch.device("cuda:0")})()
        made.wait_stream = lambda other: self.notes.append(f"{name} waits for {other.name}")
        made.wait_event = lambda event: self.notes.append(f"{name} waits for {event}")
        made.record_event = lambda: f"event {sum('copied' in note for note in self.notes)} of {name}"
        return made

    def current_stream(self, device=None):
        return getattr(self.current, "stream", self.here)

    def stream(self, stream):
        recorded = self

        class Context:
            def __enter__(self):
                recorded.current.stream = stream

            def __exit__(self, *_):
                del recorded.current.stream

        return Context()


@pytest.fixture
def recorded(monkeypatch):
    fake = Recorded()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: fake.stream_named("side"))
    monkeypatch.setattr(torch.cuda, "current_stream", fake.current_stream)
    monkeypatch.setattr(torch.cuda, "stream", fake.stream)

    class OnDevice(torch.Tensor):
        is_cuda, device = True, torch.device("cuda:0")

        def record_stream(self, stream):
            fake.notes.append(f"memory kept for {stream.name}")

        def to(self, device, non_blocking=False):
            return self

    class OnHost(torch.Tensor):
        is_cuda, device = False, torch.device("cpu")

        def pin_memory(self):
            fake.notes.append("pinned")
            return self

        def to(self, device, non_blocking=False):
            assert non_blocking
            fake.notes.append(f"copied on {fake.current_stream().name}")
            return self.as_subclass(OnDevice)

    fake.on_host = lambda: torch.zeros(2).as_subclass(OnHost)
    fake.on_device = lambda: torch.zeros(2).as_subclass(OnDevice)
    return fake


def test_who_waits_for_whom(recorded):
    """The stream that is current at hand-over waits, not the one at the start; every tensor's memory is kept for it."""
    batches = iter(
        TargetLoader([{"labels": recorded.on_host()}], lambda b: b | {"target": [b["labels"]]}, device="cuda")
    )
    recorded.here = recorded.stream_named("at start")
    batch = next(batches)
    recorded.here = recorded.stream_named("later")
    assert next(batches, None) is None
    assert set(batch) == {"labels", "target"}
    assert recorded.notes == [
        "side waits for first",
        "pinned",
        "copied on side",
        "at start waits for event 1 of side",
        "memory kept for at start",
        "memory kept for at start",
        "later waits for side",
    ]


def test_one_stream_for_all_epochs(recorded, monkeypatch):
    made = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.append(device) or recorded.stream_named("side"))
    loader = TargetLoader([{"a": recorded.on_host()}], lambda b: b, device="cuda")
    for _ in range(3):
        list(loader)
    assert len(made) == 1


def test_the_stream_at_hand_over(recorded):
    batches = iter(TargetLoader([{"a": recorded.on_host()}] * 2, lambda b: b, device="cuda"))
    for i, name in enumerate(("one", "two"), start=1):
        recorded.here = recorded.stream_named(name)
        next(batches)
        handed = [note for note in recorded.notes if note.startswith((name, f"memory kept for {name}"))]
        assert handed == [f"{name} waits for event {handed[0].split()[4]} of side", f"memory kept for {name}"]
        assert int(handed[0].split()[4]) >= i
    batches.close()
    assert recorded.notes[-1] == "two waits for side"


def test_batches_that_are_there_already_are_kept_for_the_side_stream(recorded):
    list(TargetLoader([{"a": recorded.on_device()}], lambda b: b, device="cuda"))
    assert recorded.notes[:3] == ["side waits for first", "side waits for event 0 of first", "memory kept for side"]
    assert "pinned" not in recorded.notes


def test_a_transform_that_moves_batches_itself(recorded, monkeypatch):
    """Without `device` the thread works on the stream of the caller; what lies on a device is handed over as well."""
    assert len(list(TargetLoader([{"a": recorded.on_device()}], lambda b: b))) == 1
    assert recorded.notes == ["first waits for event 0 of first", "memory kept for first"]


@pytest.fixture
def cuda_engine():
    reason = engines.available()["cuda"]
    if reason is not None:
        pytest.skip(reason)


def transform(**keywords):
    return InnerDistanceTransform(VOXEL, 10, **keywords)


def reference():
    made = transform(engine="reference")
    return list(map(made.keyed(), DataLoader(samples(), batch_size=2))), made.counts


def equal(batch, expected):
    torch.testing.assert_close(batch["target"].cpu(), expected["target"], rtol=0, atol=1e-6)
    torch.testing.assert_close(batch["weight"].cpu(), expected["weight"], rtol=1e-6, atol=0)
    return torch.equal(batch["raw"].cpu(), expected["raw"])


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda_engine")
@pytest.mark.parametrize("pinned", [False, True])
@pytest.mark.parametrize("workers", [0, 2])
def test_two_epochs_on_the_device(workers, pinned):
    expected, counts = reference()
    loader = DataLoader(samples(), batch_size=2, num_workers=workers, pin_memory=pinned)
    made = transform(engine="cuda")
    batches = TargetLoader(loader, made.keyed(), device="cuda")
    first = list(batches)
    assert made.counts.to_dicts() == counts.to_dicts(), "read at once after the loop"
    assert all(value.is_cuda for batch in first for value in batch.values())
    assert all(equal(batch, plain) for batch, plain in zip(first, expected, strict=True))
    list(batches)
    assert made.counts.denominators[0, 0].item() == 2 * counts.denominators[0, 0].item() - 1


def slow(batch):
    """Work on the thread's stream that takes a while."""
    torch.cuda._sleep(30_000_000)
    return batch | {"target": batch["labels"].double() * 2}


@pytest.mark.gpu
@pytest.mark.parametrize("own_stream", [False, True])
def test_the_training_loop_sees_finished_batches(own_stream):
    """A slow consumer on any stream, which drops each batch at once: neither unfinished nor reused memory shows."""
    consumer = torch.cuda.Stream() if own_stream else torch.cuda.current_stream()
    sums = []
    with torch.cuda.stream(consumer):
        for batch in TargetLoader(DataLoader(samples(20)), slow, device="cuda"):
            torch.cuda._sleep(60_000_000)
            sums.append(batch["target"].sum())
            del batch
    torch.cuda.synchronize()
    assert [value.item() for value in sums] == [2 * sample["labels"].sum().item() for sample in samples(20)]


@pytest.mark.gpu
@pytest.mark.parametrize("device", [None, "cuda"])
def test_batches_that_the_caller_is_still_writing(device):
    maker = torch.cuda.Stream()
    with torch.cuda.stream(maker):
        labels = torch.zeros(64, 64, device="cuda")
        torch.cuda._sleep(100_000_000)
        labels += 1
        (batch,) = TargetLoader([{"labels": labels}], slow, device=device)
        total = batch["target"].sum()
    assert total.item() == 2 * 64 * 64


@pytest.mark.gpu
@pytest.mark.usefixtures("cuda_engine")
def test_nothing_waits_for_the_device():
    made = transform(engine="cuda").to("cuda")
    batches = [{key: value.pin_memory() for key, value in sample.items()} for sample in samples()]
    list(TargetLoader(batches, made, device="cuda"))  # compiles, and allocates
    with no_synchronisation():
        list(TargetLoader(batches, made, device="cuda"))


@pytest.mark.gpu
def test_leaving_early_gives_the_memory_back():
    loader = DataLoader(samples())
    list(TargetLoader(loader, slow, device="cuda"))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    for _ in range(20):
        for _batch in TargetLoader(loader, slow, device="cuda"):
            break
    del _batch
    gc.collect()
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("TargetLoader")]


@pytest.mark.gpu
def test_an_error_on_the_device_side_reaches_the_loop():
    def broken(batch):
        raise LookupError(f"on {batch['labels'].device}")

    with pytest.raises(LookupError, match="on cuda:0"):
        list(TargetLoader(DataLoader(samples()), broken, device="cuda:0"))


@pytest.mark.gpu(2)
def test_a_device_that_is_not_the_current_one():
    sums = []
    with torch.cuda.device(0):
        for batch in TargetLoader(DataLoader(samples()), slow, device="cuda:1"):
            assert {value.device.index for value in batch.values()} == {1}
            with torch.cuda.device(1):
                sums.append(batch["target"].sum())
    assert [value.item() for value in sums] == [2 * sample["labels"].sum().item() for sample in samples()]
