"""Does every bad argument of DistancePredictor and HotDistancePredictor end in an error that says what is accepted?"""

import numpy as np
import pytest

from inner_distance_gpu import DistancePredictor, HotDistancePredictor
from inner_distance_gpu.predictors.spatial import SpatialArray

KINDS = {
    "distance": lambda **keywords: DistancePredictor(["a", "b"], 50, True, **keywords),
    "hot": lambda **keywords: HotDistancePredictor(["a", "b"], 50, True, 1, **keywords),
}
LABELS = (np.random.default_rng(0).random((2, 4, 5, 6)) < 0.5).astype(np.uint8)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DistancePredictor("a", 1, True), TypeError, "channels='a': expected a list of names"),
        (lambda: DistancePredictor(["a"], 0, True), ValueError, "scale=0: expected a positive"),
        (lambda: DistancePredictor(["a"], 1, "yes"), TypeError, "mask_distances='yes': expected True or False"),
        (lambda: DistancePredictor(["a"], 1, True, 0.9, 0.1), ValueError, "clipmin=0.9, clipmax=0.1: expected 0 <="),
        (lambda: DistancePredictor(["a"], 1, True, -0.1), ValueError, "clipmin=-0.1"),
        (lambda: DistancePredictor(["a"], 1, True, 0.1, 1.5), ValueError, "clipmax=1.5"),
        (lambda: DistancePredictor(["a"], 1, True, "0.1"), ValueError, "clipmin='0.1'"),
        (lambda: HotDistancePredictor(["a"], 1, 1, 1), TypeError, "mask_distances=1"),
        (lambda: HotDistancePredictor(["a"], None, True, 1), TypeError, "scale_factor=None"),
        (lambda: HotDistancePredictor([], 1, True, 1), ValueError, "at least one name"),
        (lambda: HotDistancePredictor(["a"], 1, True, 2), ValueError, "kernel_size=2: expected 1 or 3"),
        (lambda: HotDistancePredictor(["a"], 1, True, None), ValueError, "kernel_size=None"),
        (lambda: HotDistancePredictor(["a"], 1, True, True), ValueError, "kernel_size=True"),
    ],
)
def test_arguments_are_checked(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("kind", KINDS)
def test_devices_and_engines_are_checked(kind, no_gpu):
    with pytest.raises(ValueError, match="engine='cuda' does not run on device='cpu'"):
        KINDS[kind](device="cpu", engine="cuda")
    with pytest.raises(ValueError, match="'cuda' cannot run here"):
        KINDS[kind](device="cuda").create_target(SpatialArray(LABELS, (8, 8, 8)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(3, 4, 5, 6), (2, 4, 5, 7), (2, 1, 5, 6), (4, 5, 1), (5, 6), (1, 2, 4, 5, 6), (2, 4, 5), (0, 4, 5, 6)]
)
@pytest.mark.parametrize("distances", [True, False])
def test_masks_of_every_wrong_shape(kind, shape, distances):
    made = KINDS[kind]()
    made.mask_distances = distances
    gt = SpatialArray(LABELS, (8, 8, 8))
    target = made.create_target(gt)

    class Mask:
        def __getitem__(self, roi):
            return np.ones(shape, np.uint8)

    with pytest.raises(ValueError, match=rf"mask has shape .*{shape[-1]}\), the labels have \(2, 4, 5, 6\)"):
        made.create_weight(gt, target, Mask())
    if distances:
        with pytest.raises(ValueError, match="mask has shape"):
            made.create_distance_mask(target.data[:2], np.ones(shape), (8, 8, 8), "tanh", 50)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("mask", "moving", "error", "message"),
    [
        (np.full(LABELS.shape, -1), None, ValueError, "holds -1: expected finite values"),
        (np.full(LABELS.shape, np.nan), None, ValueError, "holds nan"),
        (np.full(LABELS.shape, 1j), None, TypeError, "dtype complex128"),
        (None, [{0: (0, 1), 1: (0, 1)}], ValueError, r"counts have shape \(1, 2\)"),
        (None, {0: (0, 1)}, TypeError, "expected ClassCounts, DaCapo's list of dicts, or None"),
    ],
)
def test_values_of_masks_and_counts_are_checked(kind, mask, moving, error, message):
    gt, made = SpatialArray(LABELS, (8, 8, 8)), KINDS[kind]()
    given = None if mask is None else SpatialArray(mask, (8, 8, 8))
    with pytest.raises(error, match=message):
        made.create_weight(gt, made.create_target(gt), given, moving)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: p.process(LABELS, (8, 8, 8), "sigmoid", 5), ValueError, "normalize='sigmoid'"),
        (lambda p: p.process(LABELS, (8, 8, 8), "tanh"), TypeError, "normalize_args=None"),
        (lambda p: p.process(LABELS[None], (8, 8, 8)), ValueError, r"shape \(1, 2, 4, 5, 6\): expected \(channels"),
        (lambda p: p.process([[[0, 1]]], (8, 8)), TypeError, "expected a NumPy, CuPy or torch array"),
        (
            lambda p: p.create_distance_mask(LABELS * 0.5, LABELS, (8, 8, 8)),
            ValueError,
            "normalize=None: expected 'tanh'",
        ),
        (lambda p: p.create_distance_mask(LABELS[0], LABELS[0], (8, 8, 8), "tanh", 5), ValueError, "a channel axis"),
        (lambda p: p.create_distance_mask(LABELS, None, (8, 8, 8), "tanh", 5), TypeError, "mask: expected"),
    ],
)
def test_labels_and_normalisation_are_checked(kind, call, error, message):
    with pytest.raises(error, match=message):
        call(KINDS[kind]())


def test_a_target_of_another_shape():
    gt = SpatialArray(LABELS, (8, 8, 8))
    hot, distance = KINDS["hot"](), KINDS["distance"]()
    with pytest.raises(ValueError, match=r"target has distances of shape \(4, 4, 5, 6\): expected \(2, 4, 5, 6\)"):
        distance.create_weight(gt, hot.create_target(gt), None)
    alone = SpatialArray(LABELS[0], (8, 8, 8))
    with pytest.raises(ValueError, match="expected a channel axis in front"):
        hot.create_weight(alone, alone, None)
