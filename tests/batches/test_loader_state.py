"""Is the state of a TargetLoader that of the batch handed out last, for a loader that has a state?"""

import pytest
import torch

from inner_distance_gpu import InnerDistanceTransform, TargetLoader

SAMPLES = [{"id": i, "labels": torch.eye(8).long()[None]} for i in range(10)]


class Stateful:
    """The protocol of torchdata's StatefulDataLoader."""

    def __init__(self):
        self.start = self.position = 0

    def __iter__(self):
        self.position, self.start = self.start, 0
        while self.position < len(SAMPLES):
            self.position += 1
            yield SAMPLES[self.position - 1]

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.start = self.position = state["position"]


def ahead(**keywords):
    return TargetLoader(Stateful(), InnerDistanceTransform((4, 4), scale=10), **keywords)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("seen", [1, 3, 9, 10])
def test_resuming_goes_on_behind_the_batch_handed_out_last(seen, depth):
    first = ahead(depth=depth)
    batches = iter(first)
    before = [next(batches)["id"] for _ in range(seen)]
    state = first.state_dict()
    batches.close()
    assert state["loader"] == {"position": seen}
    assert state["counts"][1, 0, 0] == 64 * seen + 1
    again = ahead(depth=depth)
    again.load_state_dict(state)
    assert before + [batch["id"] for batch in again] == list(range(10))
    assert again.transform.counts.denominators[0, 0] == 64 * 10 + 1


def test_a_state_of_the_loader_alone():
    loader = ahead()
    loader.load_state_dict({"position": 4})
    assert [batch["id"] for batch in loader] == [4, 5, 6, 7, 8, 9]
    assert loader.state_dict()["loader"] == {"position": 10}


def test_without_a_stateful_loader_there_is_no_state():
    loader = TargetLoader(SAMPLES, InnerDistanceTransform((4, 4), scale=10))
    assert not hasattr(loader, "state_dict")
    assert not hasattr(loader, "load_state_dict")
