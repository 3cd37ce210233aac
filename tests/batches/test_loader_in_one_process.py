"""Does TargetLoader do what its loader does where no worker takes part: generators, other threads, one error twice?"""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from inner_distance_gpu import InnerDistanceTransform, TargetLoader

LABELS = torch.eye(6).long()[None]


def batches():
    return ({"id": i, "labels": LABELS} for i in range(6))


def left_early(around):
    """A generator ends in the thread that made it."""
    ended = []

    def until_closed():
        try:
            yield from batches()
        finally:
            ended.append(threading.current_thread() is threading.main_thread())

    for batch in around(until_closed()):
        first = batch["id"]
        break
    return first, ended


def in_other_threads(around):
    iterator = iter(around(list(batches())))
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        return [(one, other)[i % 2].submit(next, iterator).result()["id"] for i in range(6)]


def the_same_error_twice(around):
    error, seen = OSError("one object"), []

    class Broken:
        """Raises for every second batch, and goes on."""

        def __iter__(self):
            self.count = 0
            return self

        def __next__(self):
            self.count += 1
            if self.count > 5:
                raise StopIteration
            if self.count % 2 == 0:
                raise error
            return {"id": self.count, "labels": LABELS}

    iterator = iter(around(Broken()))
    for _ in range(7):
        try:
            seen.append(next(iterator, {"id": "end"})["id"])
        except OSError as raised:
            seen.append(str(raised))
    return seen


@pytest.mark.parametrize("situation", [left_early, in_other_threads, the_same_error_twice])
def test_as_the_loader_alone(situation):
    transform = InnerDistanceTransform((4, 4), 10, moving=False)
    assert situation(lambda loader: TargetLoader(loader, transform)) == situation(lambda loader: loader)
