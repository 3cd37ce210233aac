"""Does `.keyed()` read and set the right entries of any kind of batch?"""

import collections
import pickle
import types

import pytest
import torch

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


def test_pickles():
    keyed = pickle.loads(pickle.dumps(TRANSFORM.keyed("gt", target="t", weight="w")))
    result = keyed({"gt": LABELS})
    assert is_pair(result["t"], result["w"])
    assert "labels='gt'" in repr(keyed)
