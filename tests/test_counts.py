"""Do ClassCounts keep what was counted: across conversions, copies, devices and ranks?"""

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from inner_distance_gpu import ClassCounts, balanced_weights

DACAPO = [{0: (3, 10), 1: (7, 10)}, {0: (0, 10.5), 1: (10, 10.5)}]


def test_dacapo_dicts_there_and_back():
    counts = ClassCounts.from_dicts(DACAPO)
    assert counts.shape == (2, 2)
    assert counts.numerators.dtype == counts.denominators.dtype == torch.float64
    assert counts.to_dicts() == DACAPO


def test_keys_may_come_in_any_order():
    assert ClassCounts.from_dicts([{1: (7, 10), 0: (3, 10)}]).to_dicts() == [DACAPO[0]]


def test_functions_do_not_change_the_counts_they_are_given():
    before = ClassCounts.from_dicts(DACAPO[:1])
    _, after = balanced_weights(np.array([[0, 1, 1]]), counts=before)
    assert before.to_dicts() == DACAPO[:1]
    assert after.to_dicts() == [{0: (4, 13.0), 1: (9, 13.0)}]


def test_construction_copies():
    numerators = torch.ones(1, 2, dtype=torch.float64)
    counts = ClassCounts(numerators, numerators)
    counts.reset()
    assert numerators.tolist() == [[1, 1]]


def test_reset_is_in_place():
    counts = ClassCounts.from_dicts(DACAPO)
    numerators = counts.numerators
    counts.reset()
    assert counts.to_dicts() == ClassCounts.start(2, 2).to_dicts()
    assert counts.numerators is numerators
    counts.all_reduce()
    assert counts.to_dicts() == ClassCounts.start(2, 2).to_dicts()


def test_copies_are_independent():
    counts = ClassCounts.from_dicts(DACAPO)
    for other in (copy.deepcopy(counts), pickle.loads(pickle.dumps(counts))):
        assert other.to_dicts() == DACAPO
        other.reset()
        assert counts.to_dicts() == DACAPO


def test_counting_goes_on_beyond_float32():
    counts = ClassCounts([[2.0**24, 0]], [[2.0**24 + 1] * 2])
    _, counts = balanced_weights(np.zeros((1, 1), int), counts=counts)
    assert counts.to_dicts() == [{0: (2**24 + 1, 2**24 + 2), 1: (0, 2**24 + 2)}]


def test_counts_made_in_inference_mode_go_on_outside():
    with torch.inference_mode():
        _, counts = balanced_weights(torch.tensor([[0, 1]]))
        started = ClassCounts.start(1, 2)
    counts.all_reduce()
    started.take(counts)
    counts.reset()
    assert started.to_dicts() == [{0: (1, 3.0), 1: (1, 3.0)}]


def test_one_process_reduces_alone():
    counts = ClassCounts.from_dicts(DACAPO)
    counts.all_reduce()
    assert counts.to_dicts() == DACAPO


BATCHES = [np.random.default_rng(seed).integers(0, 2, (4, 5)) for seed in range(6)]
START = [{0: (2, 8.0), 1: (6, 8.0)}]


def _count(rank, ranks, address, results):
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=ranks)
    counts = ClassCounts.from_dicts(START)
    seen = []
    for half in (BATCHES[:4], BATCHES[4:]):
        for labels in half[rank::ranks]:
            _, counts = balanced_weights(torch.from_numpy(labels), counts=counts)
        resumed = ClassCounts.start(1, 2)
        resumed.load_state(counts.state())  # as from a checkpoint: it knows what the ranks had in common
        counts = resumed
        counts.all_reduce()
        counts.all_reduce()  # nothing new was counted: nothing may be added
        seen.append(counts.to_dicts())
    results[rank] = seen
    dist.destroy_process_group()


@pytest.mark.parametrize("ranks", [2])
def test_ranks_end_with_the_counts_of_one_process(ranks, tmp_path):
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_count, args=(ranks, f"file://{tmp_path}/meet", results), nprocs=ranks)
        results = dict(results)
    expected, counts = [], ClassCounts.from_dicts(START)
    for half in (BATCHES[:4], BATCHES[4:]):
        for labels in half:
            _, counts = balanced_weights(labels, counts=counts)
        expected.append(counts.to_dicts())
    assert results == dict.fromkeys(range(ranks), expected)
