"""Do pickles and exported programs of an earlier version load, and return what they returned then?"""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

EARLIER = sorted((Path(__file__).parent / "objects").glob("*.zip"))
TORCH = tuple(int(part) for part in torch.__version__.split(".")[:2])


@pytest.fixture(params=EARLIER, ids=lambda path: path.stem)
def earlier(request):
    with zipfile.ZipFile(request.param) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def then(earlier):
    return np.load(io.BytesIO(earlier["results.npz"]))


def test_a_pickled_transform_goes_on_counting(earlier, then):
    transform = pickle.loads(earlier["transform.pickle"])
    target, weight = transform(torch.from_numpy(then["labels"]))
    np.testing.assert_array_equal(target, then["target"])
    np.testing.assert_array_equal(weight, then["weight"])
    np.testing.assert_array_equal(transform.counts.state(), then["state"])


def test_a_pickled_keyed_transform(earlier, then):
    keyed = pickle.loads(earlier["keyed.pickle"])
    batch = keyed({"gt": torch.from_numpy(then["labels"])})
    np.testing.assert_array_equal(batch["t"], then["target"])
    np.testing.assert_array_equal(batch["w"], then["weight"])


def test_pickled_counts(earlier):
    counts = pickle.loads(earlier["counts.pickle"])
    assert counts.to_dicts() == [{0: (30, 101.0), 1: (70, 101.0)}]
    counts.all_reduce()
    assert counts.to_dicts() == [{0: (30, 101.0), 1: (70, 101.0)}]


@pytest.mark.skipif(TORCH < (2, 13), reason="torch reads programs of its own and of earlier releases")
def test_an_exported_program(earlier, then):
    program = torch.export.load(io.BytesIO(earlier["program.pt2"])).module()
    labels = torch.from_numpy(then["labels"])
    target, weight = program(labels, torch.ones(labels.shape[1:], dtype=torch.uint8))
    np.testing.assert_array_equal(target, then["exported_target"])
    np.testing.assert_array_equal(weight, then["exported_weight"])
