"""Does `.keyed()` read and set the right entries of any kind of batch?"""

import collections
import dataclasses
import pickle
import types

import pytest
import torch
from batch_kinds import FIELDS, Grouped, Growing, Plain

from inner_distance_gpu import InnerDistanceTransform

LABELS = torch.eye(6).long()[None]
MASK = torch.ones(1, 6, 6)
TRANSFORM = InnerDistanceTransform((4, 4), 10, moving=False)
TARGET, WEIGHT = TRANSFORM(LABELS)


def is_pair(target, weight):
    return torch.equal(target, TARGET) and torch.equal(weight, WEIGHT)


def test_dict():
    batch = {"raw": 1, "labels": LABELS}
    result = TRANSFORM.keyed()(batch)
    assert list(result) == ["raw", "labels", "target", "weight"]
    assert is_pair(result["target"], result["weight"])
    assert result["labels"] is LABELS
    assert list(batch) == ["raw", "labels"]


def test_names_and_mask():
    batch = {"gt": LABELS, "annotated": MASK * 2}
    result = TRANSFORM.keyed("gt", mask="annotated", target="gt", weight="w")(batch)
    assert set(result) == {"gt", "annotated", "w"}
    expected = TRANSFORM(LABELS, MASK * 2)
    assert torch.equal(result["gt"], expected[0])
    assert torch.equal(result["w"], expected[1])
    assert batch["gt"] is LABELS


def test_tuple():
    result = TRANSFORM.keyed(1, target=1, weight=2)(("raw", LABELS))
    assert type(result) is tuple
    assert result[0] == "raw"
    assert is_pair(*result[1:])
    assert is_pair(*TRANSFORM.keyed(1, target=3, weight=2)(("raw", LABELS))[:1:-1])


def test_list_and_namedtuple():
    batch = ["raw", LABELS]
    result = TRANSFORM.keyed(1, target=1, weight=2)(batch)
    assert type(result) is list
    assert len(batch) == 2
    sample = collections.namedtuple("Sample", "raw labels weight")("raw", LABELS, None)
    result = TRANSFORM.keyed(1, target=1, weight=2)(sample)
    assert type(result) is type(sample)
    assert is_pair(result.labels, result.weight)


def test_other_mappings():
    ordered = collections.OrderedDict(labels=LABELS)
    assert type(TRANSFORM.keyed()(ordered)) is collections.OrderedDict
    assert set(TRANSFORM.keyed()(types.MappingProxyType(ordered))) == {"labels", "target", "weight"}
    assert set(TRANSFORM.keyed(0, target=1, weight=2)({0: LABELS})) == {0, 1, 2}


@pytest.mark.parametrize(("kind", "returned"), [(Growing, Growing), (Grouped, dict)])
def test_mappings_that_iterate_otherwise(kind, returned):
    """One that takes no new entries comes back as a dict."""
    batch = kind({"raw": 1, "labels": LABELS})
    made = TRANSFORM.keyed()(batch)
    assert type(made) is returned
    assert list(made.keys()) == ["raw", "labels", "target", "weight"]
    assert is_pair(made["target"], made["weight"])
    assert list(batch.keys()) == ["raw", "labels"]
    with pytest.raises(KeyError, match=r"'gt' is not in the batch; it has \['raw', 'labels'\]"):
        TRANSFORM.keyed("gt")(batch)


@pytest.mark.parametrize("kind", FIELDS)
def test_classes_with_fields(kind):
    batch = kind(LABELS)
    made = TRANSFORM.keyed()(batch)
    assert type(made) is kind
    assert is_pair(made.target, made.weight)
    assert made.labels is LABELS
    assert batch.target is None
    assert batch.weight is None


@pytest.mark.parametrize("kind", FIELDS)
def test_fields_that_are_not_there(kind):
    """Said before anything is counted."""
    keyed = InnerDistanceTransform((4, 4), 10).keyed
    there = r"it has \['labels', 'target', 'weight'\]"
    with pytest.raises(KeyError, match=rf"'gt' is not in the batch; {there}"):
        keyed("gt")(kind(LABELS))
    with pytest.raises(KeyError, match="'w' is no "):
        keyed(weight="w")(kind(LABELS))
    with pytest.raises(KeyError, match=rf"'mask' is not in the batch; {there}"):
        keyed(mask="mask")(kind(LABELS))
    with_counts = keyed(weight="w")
    with pytest.raises(KeyError):
        with_counts(kind(LABELS))
    assert with_counts.counts.to_dicts() == [{0: (0, 1.0), 1: (0, 1.0)}]


def test_a_class_without_the_field():
    point = dataclasses.make_dataclass("Point", ["labels"])
    with pytest.raises(KeyError, match=r"'target' is no field of Point; it has \['labels'\]"):
        TRANSFORM.keyed()(point(LABELS))
    with pytest.raises(KeyError, match=r"'target' is no place in a batch of 1"):
        TRANSFORM.keyed()(collections.namedtuple("Point", "labels")(LABELS))


def test_fields_without_a_value():
    late = {"init": False}
    kind = dataclasses.make_dataclass(
        "Late", ["labels", ("target", object, dataclasses.field(**late)), ("weight", object, dataclasses.field(**late))]
    )
    assert is_pair((made := TRANSFORM.keyed()(kind(LABELS))).target, made.weight)
    with pytest.raises(KeyError, match=r"'target' is not in the batch; it has \['labels'\]"):
        TRANSFORM.keyed("target", target="labels")(kind(LABELS))


@pytest.mark.parametrize("kind", [dict, *FIELDS, Growing])
@pytest.mark.parametrize("sequence", [list, tuple])
def test_samples(kind, sequence):
    """One call per sample, in order: the weights are those of so many calls."""
    volumes = [LABELS, torch.ones_like(LABELS), torch.eye(6).flip(0).long()[None]]
    made = (transform := InnerDistanceTransform((4, 4), 10)).keyed()(
        sequence(kind(labels=each) if kind in FIELDS else kind({"labels": each}) for each in volumes)
    )
    assert type(made) is sequence
    one_by_one = InnerDistanceTransform((4, 4), 10)
    for sample, labels in zip(made, volumes, strict=True):
        target, weight = one_by_one(labels)
        found = (sample.target, sample.weight) if kind in FIELDS else (sample["target"], sample["weight"])
        assert torch.equal(found[0], target)
        assert torch.equal(found[1], weight)
        assert type(sample) is kind
    assert transform.counts.to_dicts() == one_by_one.counts.to_dicts()


def test_integer_keys_stay_positions():
    """Also in a list whose entries are mappings."""
    made = TRANSFORM.keyed((1, "labels"), target=2, weight=3)([{"raw": 1}, {"labels": LABELS}])
    assert is_pair(*made[2:])
    with pytest.raises(KeyError, match=r"2 is not in the batch; it has \[0, 1\]"):
        TRANSFORM.keyed(2, target=0, weight=1)([{"labels": LABELS}, {"labels": LABELS}])


NESTED = {
    "mappings": {"gt": {"labels": LABELS, "ids": 5}, "raw": 1},
    "other mappings": Growing({"gt": Growing({"labels": LABELS, "ids": 5}), "raw": 1}),
    "fields": {"gt": Plain(LABELS), "raw": 1},
    "positions": {"gt": (LABELS, 5), "raw": 1},
}


def copied(batch):
    """The entries of a batch, all the way down."""
    if isinstance(batch, Plain):
        return ("Plain", copied(vars(batch)))
    if isinstance(batch, Growing | dict):
        return {key: copied(batch[key]) for key in batch.keys()}  # noqa: SIM118
    return [copied(value) for value in batch] if isinstance(batch, tuple) else id(batch)


@pytest.mark.parametrize("name", NESTED)
def test_paths(name):
    """Target and weight are at the top unless they are paths. Whatever is on the path is copied."""
    batch, before = NESTED[name], copied(NESTED[name])
    labels, target = (("gt", 0), ("gt", 2)) if name == "positions" else (("gt", "labels"), ("gt", "target"))
    made = TRANSFORM.keyed(labels)(batch)
    assert is_pair(made["target"], made["weight"])
    assert made["gt"] is batch["gt"]
    made = TRANSFORM.keyed(labels, target=target, weight=("weight",))(batch)
    inner = made["gt"]
    assert is_pair(inner.target if name == "fields" else inner[target[1]], made["weight"])
    assert set(made.keys()) == {"gt", "raw", "weight"}
    assert copied(batch) == before


def test_both_entries_in_the_same_place():
    made = TRANSFORM.keyed(("a", "b", "labels"), target=("a", "b", "t"), weight=("a", "w"))(
        {"a": {"b": {"labels": LABELS}, "c": 1}}
    )
    assert is_pair(made["a"]["b"]["t"], made["a"]["w"])
    assert set(made["a"]) == {"b", "c", "w"}


def test_paths_that_are_not_there():
    keyed = (transform := InnerDistanceTransform((4, 4), 10)).keyed
    batch = {"gt": {"labels": LABELS}, "raw": LABELS}
    with pytest.raises(KeyError, match=r"'ids' of \('gt', 'ids'\) is not in the batch; it has \['labels'\]"):
        keyed(("gt", "ids"))(batch)
    with pytest.raises(KeyError, match=r"'truth' of \('truth', 'labels'\) is not in the batch; it has \['gt', 'raw'\]"):
        keyed(("truth", "labels"))(batch)
    for entry in ("target", "weight"):
        with pytest.raises(KeyError, match=r"'out' is not in the batch; it has \['gt', 'raw'\]"):
            keyed(("gt", "labels"), **{entry: ("out", "here")})(batch)
    with pytest.raises(TypeError, match="batch is a Tensor"):
        keyed(("raw", "labels"))(batch)
    assert transform.counts.to_dicts() == [{0: (0, 1.0), 1: (0, 1.0)}]


@pytest.mark.parametrize("kind", [dict, *FIELDS, Growing])
def test_batches_of_no_samples(kind):
    transform = InnerDistanceTransform((4, 4), 10)
    transform(LABELS)
    before = transform.counts.to_dicts()
    none = LABELS[:0]
    made = transform.keyed()(kind(none) if kind in FIELDS else kind({"labels": none}))
    found = (made.target, made.weight) if kind in FIELDS else (made["target"], made["weight"])
    assert [tuple(each.shape) for each in found] == [(0, 6, 6)] * 2
    assert transform.keyed()([]) == []
    assert transform.counts.to_dicts() == before


def test_target_alone():
    transform = InnerDistanceTransform((4, 4), 10, weights=False)
    assert set(transform.keyed()({"labels": LABELS})) == {"labels", "target"}


def test_missing_keys_name_those_there_are():
    with pytest.raises(KeyError, match=r"'gt' is not in the batch; it has \['raw', 'labels'\]"):
        TRANSFORM.keyed("gt")({"raw": 1, "labels": LABELS})
    with pytest.raises(KeyError, match=r"'mask' is not in the batch"):
        TRANSFORM.keyed(mask="mask")({"labels": LABELS})
    with pytest.raises(KeyError, match=r"2 is not in the batch; it has \[0, 1\]"):
        TRANSFORM.keyed(2, target=0, weight=1)(("raw", LABELS))
    with pytest.raises(KeyError, match=r"'target' is no place in a batch of 2"):
        TRANSFORM.keyed(1)(("raw", LABELS))
    with pytest.raises(KeyError, match=r"7 is no place in a batch of 2"):
        TRANSFORM.keyed(1, target=1, weight=7)(("raw", LABELS))


def test_bad_keys_and_batches():
    with pytest.raises(TypeError, match=r"labels=1\.5"):
        TRANSFORM.keyed(1.5)
    with pytest.raises(ValueError, match="'x'"):
        TRANSFORM.keyed(target="x", weight="x")
    with pytest.raises(TypeError, match="batch is a Tensor"):
        TRANSFORM.keyed()(LABELS)
    listed = type("Listed", (), {"keys": ["labels"], "__getitem__": lambda self, key: LABELS})
    with pytest.raises(TypeError, match="batch is a Listed: expected a mapping"):
        TRANSFORM.keyed()(listed())


def test_pickles():
    keyed = pickle.loads(pickle.dumps(TRANSFORM.keyed("gt", target="t", weight="w")))
    result = keyed({"gt": LABELS})
    assert is_pair(result["t"], result["w"])
    assert "labels='gt'" in repr(keyed)
