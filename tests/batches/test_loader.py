"""Does TargetLoader give what the plain loop gives, and does it always leave cleanly?"""

import collections
import copy
import gc
import itertools
import os
import pickle
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from devices import cuda_devices
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from inner_distance_gpu import InnerDistanceTransform, TargetLoader

VOXEL = (4, 4)


def sample(i, kind):
    labels = torch.from_numpy(np.random.default_rng(i).integers(0, 3, (1, 9, 8)))
    return {"raw": torch.full((1,), i), "labels": labels} if kind == "dict" else (torch.full((1,), i), labels)


class Map(Dataset):
    def __init__(self, kind="dict", broken=None):
        self.kind, self.broken = kind, broken

    def __len__(self):
        return 10

    def __getitem__(self, i):
        if i == self.broken:
            raise OSError(f"sample {i} cannot be read")
        return sample(i, self.kind)


class Stream(IterableDataset):
    def __init__(self, kind="dict"):
        self.kind = kind

    def __iter__(self):
        worker = get_worker_info()
        start, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for i in range(start, 10, step):
            yield sample(i, self.kind)


def transform(**keywords):
    return InnerDistanceTransform(VOXEL, 10, **keywords)


def keyed(kind, made=None):
    made = made or transform()
    return made.keyed() if kind == "dict" else made.keyed(1, target=2, weight=3)


def ours():
    return [thread for thread in threading.enumerate() if thread.name.startswith("TargetLoader")]


def equal(first, second):
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("source", "kind", "context"),
    [
        *itertools.product([Map, Stream], ["dict", "tuple"], [None, "fork"]),
        (Map, "dict", "spawn"),
        (Stream, "tuple", "spawn"),
    ],
)
def test_the_same_tensors_in_the_same_order(source, kind, context):
    """The plain loop forks its workers in any case: spawned ones give the same, and take seconds to start."""
    workers = 0 if context is None else 2
    plain, loader = (
        DataLoader(source(kind), batch_size=3, num_workers=workers, multiprocessing_context=start)
        for start in (context and "fork", context)
    )
    plain = list(map(keyed(kind), plain))
    ahead = list(TargetLoader(loader, keyed(kind)))
    assert len(plain) == len(ahead) >= 4
    assert all(equal(a, b) for a, b in zip(plain, ahead, strict=True))
    assert not ours()


def test_len_and_attributes_are_those_of_the_loader():
    loader = DataLoader(Map(), batch_size=3)
    ahead = TargetLoader(loader, transform())
    assert len(ahead) == len(loader) == 4
    assert ahead.dataset is loader.dataset
    assert ahead.batch_size == 3
    with pytest.raises(AttributeError, match="no_such_thing"):
        ahead.no_such_thing  # noqa: B018


def test_epochs_share_one_set_of_counts():
    counting = transform()
    ahead = TargetLoader(DataLoader(Map(), batch_size=4), counting)
    for epoch in (1, 2, 3):
        assert sum(1 for _ in ahead) == 3
        assert counting.counts.denominators[0, 0] == 1 + epoch * 10 * 72


def test_it_runs_ahead_by_depth():
    done = []
    for depth in (1, 3):
        done.clear()
        batches = iter(
            TargetLoader(DataLoader(Map(), batch_size=1), lambda batch, done=done: done.append(1), depth=depth)
        )
        next(batches)
        deadline = time.monotonic() + 20
        while len(done) < depth + 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert len(done) == depth + 1  # one handed out, `depth` waiting
        batches.close()


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_in_the_data_set_reaches_the_loop(workers):
    batches = iter(TargetLoader(DataLoader(Map(broken=7), batch_size=2, num_workers=workers), transform()))
    assert [batch["raw"].tolist() for batch in itertools.islice(batches, 3)] == [[[0], [1]], [[2], [3]], [[4], [5]]]
    with pytest.raises(OSError, match="sample 7 cannot be read"):
        next(batches)
    batches.close()
    assert not ours()


def test_an_error_that_was_fetched_ahead_says_where_it_was_raised():
    batches = iter(TargetLoader(DataLoader(Map(broken=2), batch_size=2), transform()))
    next(batches)
    with pytest.raises(OSError, match="sample 2 cannot be read") as raised:
        next(batches)
    assert 'raise OSError(f"sample {i} cannot be read")' in str(raised.value.__cause__)


def test_an_error_that_nobody_waits_for_keeps_nothing_alive():
    """A traceback would hold the frame of `leave`, and with it the iterator, until the next garbage collection."""

    def leave():
        batches = iter(TargetLoader(DataLoader(Map(broken=7), batch_size=2), transform(), depth=5))
        assert next(batches)["raw"].tolist() == [[0], [1]]

    gc.collect()
    gc.disable()
    try:
        leave()
        assert not ours()
    finally:
        gc.enable()


def test_an_error_in_the_transform_reaches_the_loop():
    with pytest.raises(KeyError, match="'gt' is not in the batch"):
        list(TargetLoader(DataLoader(Map(), batch_size=2), transform().keyed("gt")))
    gc.collect()
    assert not ours()


class DyingWorker(Map):
    def __getitem__(self, i):
        if i == 5 and get_worker_info() is not None:
            time.sleep(1)  # the samples before this one have been read
            os._exit(3)
        return super().__getitem__(i)


def test_a_killed_worker_reaches_the_loop():
    with pytest.raises(RuntimeError, match="exited unexpectedly"):
        list(TargetLoader(DataLoader(DyingWorker(), batch_size=1, num_workers=1), transform()))
    gc.collect()
    assert not ours()


def test_an_error_in_the_loop_leaves_no_thread():
    def loop():
        for _ in TargetLoader(DataLoader(Map(), batch_size=1), transform()):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        loop()
    gc.collect()
    assert not ours()


@pytest.mark.parametrize(("context", "cycles"), [(None, 100), ("fork", 20), ("spawn", 2)])
def test_leaving_early_leaves_no_thread(context, cycles):
    workers = 0 if context is None else 2
    loader = DataLoader(Map(), batch_size=1, num_workers=workers, multiprocessing_context=context)
    ahead = TargetLoader(loader, transform())
    before = set(threading.enumerate())
    for cycle in range(cycles):
        for i, _ in enumerate(ahead):
            if i == cycle % 4:
                break
        assert not ours()
    gc.collect()
    # A thread of multiprocessing's queue feeds each worker of a DataLoader. It is told to end, and nobody waits for it.
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive(), thread


LEAVE_AND_WEIGH = """
import os, torch
from inner_distance_gpu import InnerDistanceTransform, TargetLoader

def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

batches = [{"labels": torch.eye(300).long()}] * 4
ahead = TargetLoader(batches, InnerDistanceTransform((4, 4), 10))
sizes = []
for _ in range(150):
    for _ in ahead:
        break
    sizes.append(megabytes())
print(sizes[-1] - sizes[50])
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads the size of a process from /proc")
def test_leaving_early_leaves_no_memory():
    """One batch is 2.2 MB: a hundred that stayed would be 220 MB."""
    done = subprocess.run([sys.executable, "-c", LEAVE_AND_WEIGH], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 20


def test_persistent_workers_start_again_after_leaving_early():
    loader = DataLoader(Map(), batch_size=1, num_workers=2, persistent_workers=True)
    ahead = TargetLoader(loader, transform(moving=False))
    for _ in ahead:
        break
    values = [int(batch["raw"]) for batch in ahead]
    assert values == list(range(10))


def test_two_loops_at_once():
    ahead = TargetLoader(DataLoader(Map(), batch_size=1), transform(moving=False))
    pairs = [(int(a["raw"]), int(b["raw"])) for a, b in zip(ahead, ahead, strict=True)]
    assert pairs == [(i, i) for i in range(10)]


def test_any_iterable_of_batches():
    Sample = collections.namedtuple("Sample", "raw labels target weight")
    batches = [Sample(*sample(i, "tuple"), None, None) for i in range(3)]
    result = list(TargetLoader(batches, transform().keyed(1, target=2, weight=3)))
    assert [type(batch) for batch in result] == [Sample] * 3


def test_pickles():
    ahead = pickle.loads(pickle.dumps(TargetLoader(DataLoader(Map(), batch_size=5), transform(), depth=4)))
    assert ahead.depth == 4
    assert len(list(ahead)) == 2
    own = type("Own", (list,), {"__deepcopy__": lambda self, memo: self})  # says how to copy itself, and nothing else
    assert isinstance(copy.deepcopy(TargetLoader(own(), transform())), TargetLoader)


@pytest.mark.parametrize(
    ("keywords", "error", "said"),
    [
        ({"transform": 3}, TypeError, "callable"),
        ({"depth": 0}, ValueError, "depth=0"),
        ({"depth": 1.5}, TypeError, "1.5"),
        ({"device": "cpu"}, ValueError, "CUDA"),
        ({"device": "gpu"}, TypeError, "'gpu'"),
    ],
)
def test_bad_input(keywords, error, said):
    with pytest.raises(error, match=said):
        TargetLoader(**{"loader": [], "transform": transform()} | keywords)


@pytest.mark.skipif(cuda_devices() > 0, reason="there is a CUDA device")
def test_a_device_that_is_not_here():
    with pytest.raises(ValueError, match="sees no CUDA device"):
        TargetLoader([], transform(), device="cuda")


@pytest.mark.gpu
def test_batches_arrive_on_the_device_and_in_order():
    loader = DataLoader(Map(), batch_size=2)
    expected = list(map(keyed("dict", transform(engine="reference")), loader))
    for batch, plain in zip(TargetLoader(loader, transform(engine="reference"), device="cuda"), expected, strict=True):
        assert batch["target"].is_cuda
        assert equal({key: value.cpu() for key, value in batch.items()}, plain)
