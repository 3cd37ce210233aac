"""Are counts exact, and weights those of some order of the calls, when several threads call one transform?"""

import contextlib
import copy
import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, engines

ENGINES = [name for name in ("cpu", "reference") if engines.available()[name] is None]
RUNS = {"cpu": 100, "reference": 3}


def crops(count, shape):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 2, shape) for _ in range(count)]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_counts_are_exact(engine, masked):
    labels = crops(24, (4, 9, 8))
    mask = np.full(labels[0].shape, 2, np.uint8) if masked else None
    inside, voxels = int(sum(map(np.sum, labels))), sum(a.size for a in labels)
    for _ in range(RUNS[engine]):
        transform = InnerDistanceTransform((4, 4, 4), scale=20, threads=1, engine=engine)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda a, transform=transform: transform(a, mask), labels))
        denominator = voxels * (2 if masked else 1) + 1
        assert transform.counts.to_dicts() == [{0: (voxels - inside, denominator), 1: (inside, denominator)}]


VARIANTS = {
    "classes": ({"classes": [[1, 2], 3]}, {}),
    "channels and their scales": ({"scale": [10, 20], "channels": 2}, {}),
    "sizes per sample": ({}, {"voxel_size": [(4, 4), (4, 8), (4, 4)]}),
    "border": ({"border": "mask"}, {"voxel_size": [(4, 4), (4, 8), (4, 4)]}),
    "ignored": ({"ignore_label": 3}, {"mask": np.full((3, 2, 7, 9), 0.5, np.float32)}),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_call_counts_exactly(name):
    keywords, of_call = VARIANTS[name]
    labels = np.random.default_rng(0).integers(0, 5, (3, 2, 7, 9))
    alone, together = (InnerDistanceTransform((4, 4), **{"scale": 10} | keywords, threads=1) for _ in range(2))
    for _ in range(100):
        alone(labels, **of_call)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: together(labels, **of_call), range(100)))
    assert together.counts.to_dicts() == alone.counts.to_dicts()
    assert (alone.counts.denominators > labels.size).all()


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_belong_to_an_order_of_the_calls(engine):
    """Each call has one label, and the other class a voxel less each time: its weight says how many were before it."""
    calls, voxels = 40, 72
    labels = np.ones((1, 9, 8), np.uint8)
    transform = InnerDistanceTransform((4, 4), scale=20, threads=1, engine=engine, clip=(1e-9, 1.0))
    transform.counts.numerators[0, 0] = 1e6  # so that the fraction of class 1 is not clipped
    transform.counts.denominators[:] = 1e6
    with ThreadPoolExecutor(8) as pool:
        seen = sorted(pool.map(lambda _: float(transform(labels)[1].flat[0]), range(calls)))
    expected = sorted(float(np.float32(0.5 * (1e6 + voxels * k) / (voxels * k))) for k in range(1, calls + 1))
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


@contextlib.contextmanager
def counting_meanwhile(transform, labels):
    """Two threads call the transform until the body is done; yields a list that then says how often."""
    done, calls = threading.Event(), []

    def count():
        made = 0
        while not done.is_set():
            transform(labels)
            made += 1
        return made

    with ThreadPoolExecutor(2) as pool:
        counting = [pool.submit(count) for _ in range(2)]
        try:
            yield calls
        finally:
            done.set()
        calls.extend(future.result() for future in counting)


COPIES = {
    "extra state": lambda transform: transform.get_extra_state()[:2],
    "deep copy": lambda transform: copy.deepcopy(transform).get_extra_state()[:2],
    "pickle": lambda transform: pickle.loads(pickle.dumps(transform)).get_extra_state()[:2],
    "reset": lambda transform: (transform.counts.reset(), transform.get_extra_state()[:2])[1],
    "dicts": lambda transform: torch.tensor([*transform.counts.to_dicts()[0].values()]).T[:, None],
}


@pytest.mark.parametrize("name", COPIES)
def test_what_is_read_or_set_while_others_count_is_whole(name):
    transform = InnerDistanceTransform((4, 4), scale=20, threads=1)
    with counting_meanwhile(transform, np.ones((1, 9, 8), np.uint8)):
        for _ in range(300):
            numbers = COPIES[name](transform)
            assert numbers[0, 0, 1] + 1 == numbers[1, 0, 0] == numbers[1, 0, 1]


def test_nothing_is_lost_while_counts_are_reduced():
    transform = InnerDistanceTransform((4, 4), scale=20, threads=1)
    with counting_meanwhile(transform, np.ones((1, 9, 8), np.uint8)) as calls:
        for _ in range(300):
            transform.counts.all_reduce()
    assert transform.counts.numerators[0, 1] == 72 * sum(calls)


LIVE_ITERATOR = """
import gc, threading
import torch
from inner_distance_gpu import InnerDistanceTransform, TargetLoader
from inner_distance_gpu.engines import counting

transform, begun = InnerDistanceTransform((4, 4), scale=20, threads=1).keyed(), threading.Event()

def announced(batch):
    begun.set()
    return transform(batch)

gc.disable()
with counting.on_host:
    iterator = iter(TargetLoader([{"labels": torch.eye(8).long()}] * 4, announced))
    iterator._pending.append(iterator._submitted())  # what `next` does first
    assert begun.wait(20)
    cycle = [iterator]
    cycle.append(cycle)
    del iterator, cycle
    gc.collect()  # ends the iterator, whose thread waits for the lock
    transform({"labels": torch.eye(8).long()})  # and whoever has the lock may count
print("went on")
"""


def test_garbage_is_collected_where_the_lock_is_held():
    done = subprocess.run([sys.executable, "-c", LIVE_ITERATOR], capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, "went on\n"), done.stderr


def test_pickles_and_deep_copies_count_on():
    transform = InnerDistanceTransform((4, 4), scale=20)
    transform(np.ones((9, 8), np.uint8))
    for other in (pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)):
        other(np.ones((9, 8), np.uint8))
        assert other.counts.to_dicts() == [{0: (0, 145.0), 1: (144, 145.0)}]
    assert transform.counts.to_dicts() == [{0: (0, 73.0), 1: (72, 73.0)}]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_fork_while_the_lock_is_held():
    from inner_distance_gpu.engines import counting

    transform = InnerDistanceTransform((4, 4), scale=20, threads=1)
    held, release = threading.Event(), threading.Event()

    def hold():
        with counting.on_host:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if child == 0:
        import signal

        signal.alarm(20)
        transform(np.ones((9, 8), np.uint8))
        os._exit(0 if transform.counts.to_dicts() == [{0: (0, 73.0), 1: (72, 73.0)}] else 1)
    release.set()
    thread.join()
    assert os.waitpid(child, 0)[1] == 0


def test_calls_on_two_streams_are_in_order(monkeypatch):
    """A stand-in for streams: the second waits for the first, and never for itself."""
    notes = []

    class Stream:
        def __init__(self, name):
            self.name = name

        def record_event(self):
            return f"event of {self.name}"

        def wait_event(self, event):
            notes.append(f"{self.name} waits for {event}")

    one, two = Stream("one"), Stream("two")
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    counts = ClassCounts.start(1, 2)
    for stream in (one, one, two, two, one):
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device, stream=stream: stream)
        with counts.in_order_of_streams():
            pass
    assert notes == ["two waits for event of one", "one waits for event of two"]
    pickle.loads(pickle.dumps(counts))
    copy.deepcopy(counts)
