"""Does the torch transform count, remember and travel as DESIGN says?"""

import copy
import importlib
import inspect
import pickle
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, engines, inner_distance
from inner_distance_gpu.engines import memory

VOXEL = (40, 4, 4.5)


def batch(seed=0, shape=(3, 2, 4, 6, 5), ids=2):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, ids, shape))


def test_target_and_weight_are_those_of_the_functions():
    labels = batch()
    target, weight = InnerDistanceTransform(VOXEL, 50, channels=2, background="signed")(labels)
    assert torch.equal(target, inner_distance(labels, VOXEL, scale=50, background="signed"))
    assert torch.equal(weight, balanced_weights(labels, slab=(-1, 1, -1, -1, -1))[0])
    assert target.dtype == weight.dtype == torch.float32


def test_channels_have_counts_of_their_own_and_the_batch_is_pooled():
    labels = batch()
    transform = InnerDistanceTransform(VOXEL, 50, channels=2)
    transform(labels)
    per_channel = (labels != 0).sum(dim=(0, 2, 3, 4)).double()
    voxels = labels[:, 0].numel()
    assert torch.equal(transform.counts.numerators, torch.stack([voxels - per_channel, per_channel], dim=1))
    assert torch.equal(transform.counts.denominators, torch.full((2, 2), voxels + 1.0, dtype=torch.float64))


def test_one_channel_pools_everything():
    labels = batch()
    transform = InnerDistanceTransform(VOXEL, 50)
    _, weight = transform(labels)
    assert transform.counts.shape == (1, 2)
    assert torch.equal(weight, balanced_weights(labels)[0])


def test_channels_without_a_batch():
    transform = InnerDistanceTransform((4, 4), 50, channels=3)
    target, weight = transform(batch(shape=(3, 7, 8)))
    assert target.shape == weight.shape == (3, 7, 8)


def test_instances_weigh_two_classes():
    labels = batch(ids=7)
    _, weight = InnerDistanceTransform(VOXEL, 50)(labels)
    assert torch.equal(weight, balanced_weights((labels != 0).long())[0])


def test_unannotated_voxels_and_masks():
    labels = batch().float()
    labels[0, 0, 0] = torch.nan
    mask = torch.rand(3, 1, 4, 6, 5)
    transform = InnerDistanceTransform(VOXEL, 50, channels=2, fill=-2)
    target, weight = transform(labels, mask)
    known = ~labels.isnan()
    assert (target[~known] == -2).all()
    assert (weight[~known] == 0).all()
    expected, counts = balanced_weights(
        torch.where(known, labels, 0).long(), mask=mask.expand(labels.shape) * known, slab=(-1, 1, -1, -1, -1)
    )
    torch.testing.assert_close(weight, expected, rtol=1e-6, atol=0)
    torch.testing.assert_close(transform.counts.denominators, counts.denominators, rtol=1e-12, atol=0)
    assert torch.equal(transform.counts.numerators, counts.numerators)


def test_a_spawned_process_gets_counts_of_its_own():
    transform = counted()
    ForkingPickler.dumps(transform)
    assert not transform.counts.numerators.is_shared()
    assert not transform.counts.denominators.is_shared()


def test_numpy_in_numpy_out():
    target, weight = InnerDistanceTransform(VOXEL, 50)(batch().numpy())
    assert type(target) is type(weight) is np.ndarray


def test_counts_move_in_place_or_not_at_all():
    first, second = batch(1), batch(2)
    moving, still = InnerDistanceTransform(VOXEL, 50), InnerDistanceTransform(VOXEL, 50, moving=False)
    counts, numerators = moving.counts, moving.counts.numerators
    moving(first)
    _, weight = moving(second)
    assert moving.counts is counts
    assert moving.counts.numerators is numerators
    assert torch.equal(weight, balanced_weights(second, counts=balanced_weights(first)[1])[0])
    still(first)
    assert torch.equal(still(second)[1], balanced_weights(second)[0])
    assert still.counts.to_dicts() == [{0: (0, 1), 1: (0, 1)}]
    still.load_state_dict(moving.state_dict())
    assert torch.equal(still(second)[1], balanced_weights(second)[0])


def test_counting_in_inference_mode_and_after():
    transform = InnerDistanceTransform(VOXEL, 50)
    with torch.inference_mode():
        transform(batch(1))
    transform(batch(2))
    assert transform.counts.denominators[0, 0] == 2 * batch().numel() + 1


def strided(counts):
    return ClassCounts.around(*(torch.stack([n, n], -1)[..., 0] for n in (counts.numerators, counts.denominators)))


def in_shared_memory(counts):
    counts.numerators.share_memory_()
    return counts


@pytest.mark.parametrize("change", [strided, in_shared_memory])
def test_counts_move_in_place_whatever_their_memory(change):
    transform, expected = counted(), counted()
    transform.counts = change(transform.counts)
    numerators = transform.counts.numerators
    for seed in (3, 4):
        assert torch.equal(transform(batch(seed))[1], expected(batch(seed))[1])
    assert torch.equal(transform.counts.state(), expected.counts.state())
    assert transform.counts.numerators is numerators


@pytest.mark.parametrize("engine", [name for name in ("cpu", "reference") if engines.available()[name] is None])
def test_a_call_that_fails_counts_nothing(engine, monkeypatch):
    module = importlib.import_module(f"inner_distance_gpu.engines.{engine}")

    def failing(*args):
        raise MemoryError

    transform = InnerDistanceTransform(VOXEL, 50, engine=engine)
    transform(batch(1))
    before = transform.counts.state()
    if engine == "cpu":  # the memory of the weights; the extension's own is allocated before it counts
        monkeypatch.setattr(memory.HostMemory, "empty", failing)
    else:
        monkeypatch.setattr(module, "_sum", failing)
    with pytest.raises(MemoryError):
        transform(batch(2))
    assert torch.equal(transform.counts.state(), before)


def test_target_alone():
    target = InnerDistanceTransform(VOXEL, None, weights=False)(batch())
    assert torch.equal(target, inner_distance(batch(), VOXEL))


def test_voxel_size_of_one_call():
    transform = InnerDistanceTransform(VOXEL, 50, weights=False)
    fine = transform(batch(), voxel_size=(1, 1, 1))
    assert torch.equal(fine, inner_distance(batch(), (1, 1, 1), scale=50))
    assert torch.equal(transform(batch()), inner_distance(batch(), VOXEL, scale=50))


def counted():
    transform = InnerDistanceTransform(VOXEL, 50, channels=2)
    transform(batch())
    assert transform.counts.numerators.sum() == batch().numel()
    return transform


def test_counts_are_in_the_state_dict():
    transform = counted()
    other = InnerDistanceTransform(VOXEL, 50, channels=2)
    other.load_state_dict(transform.state_dict())
    assert other.counts.to_dicts() == transform.counts.to_dicts()
    other(batch(3))
    assert other.counts.to_dicts() != transform.counts.to_dicts()


def test_what_the_ranks_have_in_common_is_in_the_state_dict():
    transform = counted()
    transform.counts.all_reduce()
    other = InnerDistanceTransform(VOXEL, 50, channels=2)
    other.load_state_dict(transform.state_dict())
    assert torch.equal(other.get_extra_state(), transform.get_extra_state())
    assert not torch.equal(other.get_extra_state(), counted().get_extra_state())


def test_a_checkpoint_file(tmp_path):
    model = torch.nn.ModuleDict({"net": torch.nn.Linear(2, 2), "targets": counted()})
    torch.save(model.state_dict(), tmp_path / "checkpoint.pt")
    fresh = torch.nn.ModuleDict(
        {"net": torch.nn.Linear(2, 2), "targets": InnerDistanceTransform(VOXEL, 50, channels=2)}
    )
    fresh.load_state_dict(torch.load(tmp_path / "checkpoint.pt", weights_only=True))
    assert fresh["targets"].counts.to_dicts() == model["targets"].counts.to_dicts()


def test_a_checkpoint_of_another_channel_number():
    with pytest.raises(ValueError, match=r"\(4, 2, 2\).*\(4, 1, 2\)"):
        InnerDistanceTransform(VOXEL, 50).load_state_dict(counted().state_dict())


@pytest.mark.parametrize("change", ["half", "double", "bfloat16"])
def test_counts_stay_float64(change):
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), counted())
    expected = model[1].counts.to_dicts()
    getattr(model, change)()
    assert model[1].counts.numerators.dtype == torch.float64
    assert model[1].counts.to_dicts() == expected
    model.to("cpu").to("meta")
    assert model[1].counts.to_dicts() == expected


def test_counts_are_no_buffers():
    assert not list(counted().buffers())


@pytest.mark.parametrize("make", [copy.deepcopy, lambda module: pickle.loads(pickle.dumps(module))])
def test_copies_count_on_their_own(make):
    transform = counted()
    other = make(transform)
    assert other.counts.to_dicts() == transform.counts.to_dicts()
    other(batch(5))
    assert other.counts.to_dicts() != transform.counts.to_dicts()
    assert torch.equal(other(batch())[0], transform(batch())[0])


def test_repr_says_what_it_does():
    assert "voxel_size=(40.0, 4.0, 4.5), scale=50.0, channels=2" in repr(counted())
    # Defaults are left out, and so is what changes no result.
    assert repr(InnerDistanceTransform((4, 4), None, threads=2)) == (
        "InnerDistanceTransform(voxel_size=(4.0, 4.0), scale=None)"
    )


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("background", "signed"),
        ("no_boundary", "saturate"),
        ("ignore_label", 255),
        ("fill", -1.0),
        ("weights", False),
        ("moving", False),
        ("clip", (0.1, 0.9)),
        ("border", "mask"),
        ("engine", "reference"),
    ],
)
def test_repr_says_what_is_no_default(keyword, value):
    shown = repr(InnerDistanceTransform((4, 4), 10, **{keyword: value}))
    assert shown == f"InnerDistanceTransform(voxel_size=(4.0, 4.0), scale=10.0, {keyword}={value!r})"


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8])
def test_a_scale_of_numpy(kind):
    """Such as a median of half-widths, which is float32: accepted without a warning of an overflow."""
    assert InnerDistanceTransform((4, 4), kind(7)).target_parameters.scale == 7


def test_repr_knows_every_keyword():
    """A keyword that is new is shown, or named here as one that changes no result."""
    keywords = set(inspect.signature(InnerDistanceTransform).parameters) - {"threads"}
    words = {"background": "signed", "no_boundary": "saturate", "border": "mask", "engine": "reference"}
    everything = {**words, "moving": False, "ignore_label": 9, "fill": 2.0, "clip": (0.1, 0.9), "classes": [1, 2]}
    shown = repr(InnerDistanceTransform((4, 4), 10, **everything))
    assert {name for name in keywords if f"{name}=" in shown} == keywords - {"channels", "weights"}


class Crops(Dataset):
    """Labels as a data set has them: a dict per sample."""

    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return 4

    def __getitem__(self, i):
        return self.transform({"raw": torch.zeros(1), "labels": batch(i)[0]})


@pytest.mark.parametrize("context", [None, "fork", "spawn"])
def test_as_a_target_transform_of_a_data_loader(context):
    transform = InnerDistanceTransform(VOXEL, 50, channels=2, moving=False)
    transform(batch())  # the parent has used the engine before the workers start
    workers = 0 if context is None else 2
    loader = DataLoader(Crops(transform.keyed()), batch_size=2, num_workers=workers, multiprocessing_context=context)
    batches = list(loader)
    for first, entries in enumerate(batches):
        for i in range(2):
            target, weight = transform(batch(2 * first + i)[0])
            assert torch.equal(entries["target"][i], target)
            assert torch.equal(entries["weight"][i], weight)
    assert len(batches) == 2
