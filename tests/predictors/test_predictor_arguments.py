"""Does every bad argument of InnerDistancePredictor end in an error that says what is accepted?"""

from types import SimpleNamespace

import numpy as np
import pytest

from inner_distance_gpu import InnerDistancePredictor
from inner_distance_gpu.predictors.spatial import SpatialArray


def predictor(channels=1, **keywords):
    return InnerDistancePredictor([f"class{i}" for i in range(channels)], 50, **keywords)


def random_labels(*shape):
    return (np.random.default_rng(0).random(shape) < 0.5).astype(np.uint8)


@pytest.mark.parametrize("dims", [1, 4, None])
def test_no_head_for_other_dims(dims):
    with pytest.raises(ValueError, match=f"architecture.dims={dims}: expected 2 or 3"):
        predictor().create_model(SimpleNamespace(dims=dims, num_out_channels=5))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("nucleus", 1), TypeError, "channels='nucleus': expected a list of names"),
        (([], 1), ValueError, "at least one name"),
        (([1], 1), TypeError, r"channels=\[1\]"),
        ((["a"], 0), ValueError, "scale=0: expected a positive"),
        ((["a"], None), TypeError, "scale_factor=None"),
        ((["a"], "1"), TypeError, "scale='1'"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        InnerDistancePredictor(*arguments)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"engine": "gpu"}, ValueError, "engine='gpu': expected one of"),
        ({"device": "gpu"}, ValueError, "device='gpu': expected 'auto'"),
        ({"device": "mps"}, ValueError, "device='mps'"),
        ({"device": 0}, TypeError, "device=0"),
        ({"device": "cpu", "engine": "cuda"}, ValueError, "engine='cuda' does not run on device='cpu'"),
        ({"device": "cuda:1", "engine": "reference"}, ValueError, "engine='reference' does not run on device='cuda:1'"),
    ],
)
def test_devices_and_engines_are_checked(keywords, error, message):
    with pytest.raises(error, match=message):
        predictor(**keywords)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.process(random_labels(4, 5, 6), (8, 8, 8)), ValueError, r"shape \(4, 5, 6\): expected \(channels"),
        (lambda p: p.process(random_labels(1, 1, 4, 5, 6), (8, 8, 8)), ValueError, "expected"),
        (lambda p: p.process(random_labels(1, 0, 5, 6), (8, 8, 8)), ValueError, "no empty axis"),
        (lambda p: p.process([[[0, 1]]], (8, 8)), TypeError, "expected a NumPy, CuPy or torch array"),
        (lambda p: p.process(random_labels(1, 4, 4), (8, 8), "sigmoid", 5), ValueError, "normalize='sigmoid'"),
        (lambda p: p.process(random_labels(1, 4, 4), (8, 8), "tanh"), TypeError, "normalize_args=None"),
        (lambda p: p.process(random_labels(1, 4, 4), (8, -8)), ValueError, "voxel_size"),
        (lambda p: p.create_target(SpatialArray(random_labels(4, 5, 6), (8, 8, 8))), ValueError, "expected"),
    ],
)
def test_labels_are_checked(call, error, message):
    with pytest.raises(error, match=message):
        call(predictor())


@pytest.mark.parametrize(
    ("mask", "moving", "error", "message"),
    [
        (np.ones((3, 4, 5, 6)), None, ValueError, r"mask has shape \(3, 4, 5, 6\)"),
        (np.full((2, 4, 5, 6), -1), None, ValueError, "mask of shape"),
        (None, [{0: (0, 1), 1: (0, 1)}], ValueError, r"counts have shape \(1, 2\)"),
        (None, [{0: (0, 1)}] * 2, ValueError, r"counts have shape \(2, 1\)"),
        (None, {0: (0, 1)}, TypeError, "expected ClassCounts, DaCapo's list of dicts, or None"),
    ],
)
def test_masks_and_counts_are_checked(mask, moving, error, message):
    gt = SpatialArray(random_labels(2, 4, 5, 6), (8, 8, 8))
    target = predictor(2).create_target(gt)
    given = None if mask is None else SpatialArray(mask, (8, 8, 8))
    with pytest.raises(error, match=message):
        predictor(2).create_weight(gt, target, given, moving)


def test_a_device_that_is_not_there_is_no_other_device(no_gpu):
    with pytest.raises(ValueError, match="'cuda' cannot run here"):
        predictor(device="cuda").create_target(SpatialArray(random_labels(1, 4, 5), (8, 8)))
