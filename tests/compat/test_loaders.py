"""Do TensorDicts work as batches, and does torchdata's StatefulDataLoader go on where training stopped?

(tensordict 0.15.3, torchdata 0.11.0)
"""

import pytest
import torch
from compat.standins import real

tensordict = real("tensordict")
stateful = real("torchdata.stateful_dataloader")

from inner_distance_gpu import InnerDistanceTransform, TargetLoader  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning"),  # torchdata calls it
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
LABELS = torch.stack([torch.eye(6).long(), torch.ones(6, 6).long(), torch.eye(6).flip(0).long()])


def transform():
    return InnerDistanceTransform((4, 4), 10)


@pytest.mark.parametrize("locked", [False, True])
def test_a_tensordict_is_a_batch(locked):
    """It iterates over its samples; a target goes into a shallow copy, and the batch stays locked."""
    batch = tensordict.TensorDict({"raw": torch.rand(3, 6, 6), "labels": LABELS}, batch_size=[3])
    if locked:
        batch.lock_()
    made = transform().keyed()(batch)
    target, weight = transform()(LABELS)
    assert isinstance(made, tensordict.TensorDict)
    assert made.batch_size == batch.batch_size
    assert torch.equal(made["target"], target)
    assert torch.equal(made["weight"], weight)
    assert made["raw"] is batch["raw"]
    assert sorted(batch.keys()) == ["labels", "raw"]
    assert batch.is_locked == locked


@pytest.mark.parametrize("locked", [False, True])
def test_a_tensordict_in_a_tensordict(locked):
    inner = tensordict.TensorDict({"labels": LABELS}, batch_size=[3])
    batch = tensordict.TensorDict({"gt": inner, "raw": torch.rand(3, 6, 6)}, batch_size=[3])
    if locked:
        batch.lock_()
    made = transform().keyed(("gt", "labels"), target=("gt", "target"))(batch)
    target, weight = transform()(LABELS)
    assert torch.equal(made["gt", "target"], target)
    assert torch.equal(made["weight"], weight)
    assert sorted(batch["gt"].keys()) == ["labels"]
    with pytest.raises(KeyError, match=r"'ids' of \('gt', 'ids'\) is not in the batch; it has \['labels'\]"):
        transform().keyed(("gt", "ids"))(batch)


def test_an_empty_tensordict():
    keyed = transform().keyed()
    made = keyed(tensordict.TensorDict({"labels": LABELS[:0]}, batch_size=[0]))
    assert made["target"].shape == made["weight"].shape == (0, 6, 6)
    assert keyed.counts.to_dicts() == [{0: (0, 1.0), 1: (0, 1.0)}]


def test_tensordicts_through_a_target_loader():
    batches = [tensordict.TensorDict({"labels": LABELS}, batch_size=[3]).lock_() for _ in range(4)]
    made = list(TargetLoader(batches, transform()))
    assert [sorted(batch.keys()) for batch in made] == [["labels", "target", "weight"]] * 4


@tensordict.tensorclass
class Typed:
    labels: torch.Tensor
    target: torch.Tensor = None
    weight: torch.Tensor = None


@pytest.mark.parametrize("locked", [False, True])
def test_a_tensorclass_is_read_by_its_fields(locked):
    batch = Typed(labels=LABELS, batch_size=[3])
    if locked:
        batch.lock_()
    target, weight = transform()(LABELS)
    for made in (transform().keyed()(batch), transform().keyed()([batch])[0]):
        assert isinstance(made, Typed)
        assert torch.equal(made.target, target)
        assert torch.equal(made.weight, weight)
    assert batch.target is None


class Samples(torch.utils.data.Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        return {"id": i, "labels": torch.eye(6).long()}


def resumable(workers):
    loader = stateful.StatefulDataLoader(Samples(), batch_size=2, num_workers=workers)
    return TargetLoader(loader, transform(), depth=2)


@pytest.mark.parametrize("seen", [1, 3, 5])
@pytest.mark.parametrize("workers", [0, 1, 2])
def test_training_goes_on_behind_the_batch_handed_out_last(workers, seen):
    first = resumable(workers)
    batches = iter(first)
    before = [next(batches)["id"].tolist() for _ in range(seen)]
    state = first.state_dict()
    batches.close()
    assert state["counts"][1, 0, 0] == 72 * seen + 1
    again = resumable(workers)
    again.load_state_dict(state)
    after = [batch["id"].tolist() for batch in again]
    assert before + after == [[i, i + 1] for i in range(0, 10, 2)]
    assert again.transform.counts.denominators[0, 0] == 360 + 1


def before_the_first_batch(loader):
    iter(loader)


def left_early(loader):
    for i, _ in enumerate(loader):
        if i == 1:
            break


def in_the_second_epoch(loader):
    list(loader)
    next(iter(loader))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("begin", [before_the_first_batch, left_early, in_the_second_epoch, list])
def test_two_epochs_behind_a_state_are_those_of_the_loader(begin, workers):
    def seen(make):
        first, again = make(workers), make(workers)
        begin(first)
        again.load_state_dict(first.state_dict())
        return [[batch["id"].tolist() for batch in again] for _ in range(2)]

    assert seen(resumable) == seen(lambda workers: resumable(workers).loader)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_of_the_loader_alone_and_one_at_the_end(workers):
    plain = stateful.StatefulDataLoader(Samples(), batch_size=2, num_workers=workers)
    batches = iter(plain)
    next(batches)
    loader = resumable(workers)
    loader.load_state_dict(plain.state_dict())
    assert [batch["id"].tolist() for batch in loader] == [[2, 3], [4, 5], [6, 7], [8, 9]]
    again = resumable(workers)
    again.load_state_dict(loader.state_dict())
    plain.load_state_dict(loader.state_dict()["loader"])
    assert [batch["id"].tolist() for batch in again] == [batch["id"].tolist() for batch in plain]
