"""Does TargetLoader do in every situation what a plain DataLoader does? Each row runs one body on both."""

import gc
import itertools
import os
import pickle
import random
import threading
import time
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from inner_distance_gpu import InnerDistanceTransform, TargetLoader

LABELS = torch.eye(6).long()[None]


class Map(Dataset):
    """`broken` is the sample that raises, `deadly` the one whose worker dies."""

    def __init__(self, broken=None, error=OSError, deadly=None):
        self.broken, self.error, self.deadly = broken, error, deadly

    def __len__(self):
        return 10

    def __getitem__(self, i):
        if i == self.broken:
            raise self.error(f"sample {i}")
        if i == self.deadly and get_worker_info() is not None:
            time.sleep(0.5)  # the samples before this one have been read
            os._exit(3)
        return {"id": i, "labels": LABELS}


class Stream(IterableDataset):
    def __iter__(self):
        worker = get_worker_info()
        for i in range(worker.id, 10, worker.num_workers) if worker else range(10):
            yield {"id": i, "labels": LABELS}


class Drawn(Map):
    """Draws from every generator that a data set may use."""

    def __getitem__(self, i):
        drawn = float(torch.rand(())), random.random()
        return {"id": torch.tensor([i, *drawn], dtype=torch.float64), "labels": LABELS}


def seed_worker(worker):
    random.seed(torch.initial_seed() + worker)


def broken_collate(samples):
    if samples[0]["id"] == 6:
        raise KeyError("collate")
    return torch.utils.data.default_collate(samples)


def transform():
    return InnerDistanceTransform((4, 4), 10, moving=False).keyed()


def ids(batches):
    return [batch["id"].tolist() for batch in batches]


def told(batches):
    """The ids until the end or an error, and the error."""
    seen = []
    try:
        seen.extend(batch["id"].tolist() for batch in batches)
    except Exception as error:
        return seen, type(error), str(error).splitlines()[-1].split("(pid")[0]
    return seen, None, None


def whole(make):
    loader = make(Map())
    return len(loader), ids(loader)


def second_epoch(make):
    loader = make(Map(), shuffle=True, generator=torch.Generator().manual_seed(3))
    return ids(loader), ids(loader)


def error_in_data_set(make):
    return told(make(Map(broken=7)))


def stop_iteration_in_data_set(make):
    return told(make(Map(broken=7, error=StopIteration)))


def error_in_collate(make):
    return told(make(Map(), collate_fn=broken_collate))


def going_on_after_an_error(make):
    batches = iter(make(Map(broken=4)))
    return told(batches), told(batches)


def dead_worker(make):
    seen, error, _ = told(make(Map(deadly=6), batch_size=1))
    return seen[:5], error  # with two workers it depends on time how many of the other's batches come


def after_the_end(make):
    batches = iter(make(Map()))
    list(batches)
    return [next(batches, "end") for _ in range(3)]


def early_exit(make):
    loader = make(Map())
    for batch in loader:
        first = batch["id"].tolist()
        break
    return first, ids(loader)


def a_look_at_the_first_batch(make):
    """The iterator stays alive over the next loop."""
    loader = make(Map())
    batches = iter(loader)
    return next(batches)["id"].tolist(), ids(loader)


def persistent_workers(make):
    loader = make(Map(), persistent_workers=make.workers > 0)
    return ids(loader), ids(itertools.islice(loader, 2)), ids(loader)


def persistent_workers_and_a_live_iterator(make):
    loader = make(Map(), persistent_workers=make.workers > 0)
    batches = iter(loader)
    return next(batches)["id"].tolist(), ids(loader), ids(loader)


def keyboard_interrupt_in_the_loop(make):
    loader, seen = make(Map()), []
    try:
        for batch in loader:
            seen.append(batch["id"].tolist())
            if len(seen) == 2:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        seen.append("interrupted")
    return seen, ids(loader)


def pin_memory(make):
    """Without a device torch warns."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        loader = make(Map(), pin_memory=True)
        pinned = [batch["labels"].is_pinned() for batch in loader]
        found = ids(loader)
    return pinned, found, [(w.category, str(w.message)) for w in caught if "fork" not in str(w.message)]


def iterable_data_set(make):
    return sorted(itertools.chain(*ids(make(Stream()))))


def iterable_data_set_in_order(make):
    return ids(make(Stream(), batch_size=3))


def batch_sampler(make):
    return ids(make(Map(), batch_size=1, batch_sampler=[[3, 1], [4], [1, 5, 9]]))


def no_batches(make):
    return ids(make(Map(), batch_size=11, drop_last=True)), len(make(Map(), batch_size=11, drop_last=True))


def seeds(make):
    torch.manual_seed(5)
    random.seed(6)
    generator = torch.Generator().manual_seed(7)
    return [ids(make(Drawn(), shuffle=True, generator=generator, worker_init_fn=seed_worker)) for _ in range(2)]


def what_the_loop_draws(make):
    torch.manual_seed(5)
    list(make(Map(), shuffle=True))
    return float(torch.rand(()))


def two_iterators(make):
    loader = make(Map())
    return [(a["id"].tolist(), b["id"].tolist()) for a, b in zip(loader, loader, strict=True)]


def pickled(make):
    loader = pickle.loads(pickle.dumps(make(Map())))
    return len(loader), ids(loader), loader.batch_size


def nested(make):
    return ids(make.again(make(Map())))


def threads_and_workers_left(make):
    import multiprocessing

    before = set(threading.enumerate())
    for _ in make(Map()):
        break
    gc.collect()
    # A thread that ends by itself may need a moment: torch's own queues have such.
    late = time.monotonic() + 10
    while (set(threading.enumerate()) - before or multiprocessing.active_children()) and time.monotonic() < late:
        time.sleep(0.01)
    return len(set(threading.enumerate()) - before), len(multiprocessing.active_children())


ROWS = [
    whole,
    second_epoch,
    error_in_data_set,
    stop_iteration_in_data_set,
    error_in_collate,
    going_on_after_an_error,
    dead_worker,
    after_the_end,
    early_exit,
    a_look_at_the_first_batch,
    persistent_workers,
    persistent_workers_and_a_live_iterator,
    keyboard_interrupt_in_the_loop,
    pin_memory,
    iterable_data_set,
    iterable_data_set_in_order,
    batch_sampler,
    no_batches,
    seeds,
    what_the_loop_draws,
    two_iterators,
    pickled,
    nested,
    threads_and_workers_left,
]


class Make:
    """Makes the loader of a row: a plain one, or a TargetLoader around it."""

    def __init__(self, workers, targets):
        self.workers, self.targets = workers, targets

    def __call__(self, data_set, **keywords):
        given = {"num_workers": self.workers} | keywords
        if "batch_sampler" not in given:
            given.setdefault("batch_size", 2)
        loader = DataLoader(data_set, **given)
        return self.again(loader)

    def again(self, loader):
        return TargetLoader(loader, transform()) if self.targets else loader


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_same_as_a_plain_loader(row, workers):
    plain, ahead = (row(Make(workers, targets)) for targets in (False, True))
    assert ahead == plain
