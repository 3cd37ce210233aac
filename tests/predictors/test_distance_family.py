"""Do DistancePredictor and HotDistancePredictor have every member of DaCapo's classes, and the same results?"""

import ast
import pickle

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi
from oracle import golden

import inner_distance_gpu.predictor
from inner_distance_gpu import ClassCounts, DistancePredictor, HotDistancePredictor, balanced_weights, inner_distance
from inner_distance_gpu.predictors.contract import DistanceArray, Predictor, ProbabilityArray
from inner_distance_gpu.predictors.spatial import SpatialArray

FAMILY = golden("distance_family")
# Voxels that lie on the edge of the rule, where float32 and float64 may decide differently: case, step -> indices.
# In the recorded cases there are none.
TIES: dict[tuple[str, int], list[tuple[int, ...]]] = {}


def predictor_of(case, **keywords):
    kind = HotDistancePredictor if case.startswith("hot") else DistancePredictor
    recorded = FAMILY[case]
    arguments = ast.literal_eval(str(recorded["arguments"]))
    return kind(["a", "b"], float(recorded["scale"]), **arguments, **keywords)


def as_table(counts):
    """(slabs, classes, 2), whichever way counts are written."""
    table = counts if isinstance(counts, ClassCounts) else ClassCounts.from_dicts(list(counts))
    return torch.stack([table.numerators, table.denominators], -1).numpy()


@pytest.mark.parametrize("engine", ["auto", "reference"])
@pytest.mark.parametrize("case", FAMILY)
def test_targets_weights_and_counts_equal_dacapo(case, engine):
    made, recorded, moving = predictor_of(case, engine=engine), FAMILY[case], None
    for step in range(2):
        labels, mask, expected, weights, counts = (
            recorded[f"{step}/{key}"] for key in ("labels", "mask", "target", "weight", "counts")
        )
        voxel_size = Coordinate(recorded["voxel_size"])
        gt = SpatialArray(labels, voxel_size)
        target = made.create_target(gt)
        assert target.data.dtype == np.float32
        np.testing.assert_allclose(target.data, expected, rtol=0, atol=1e-6)
        weight, moving = made.create_weight(gt, target, SpatialArray(mask, voxel_size), moving)
        assert weight.data.dtype == np.float32
        differing = np.argwhere((weight.data > 0) != (weights > 0))
        assert [tuple(index) for index in differing.tolist()] == TIES.get((case, step), [])
        np.testing.assert_allclose(weight.data, weights, rtol=1e-6)
        np.testing.assert_array_equal(as_table(moving), counts)


def test_the_golden_file_is_complete():
    assert len(FAMILY) == 12
    assert sum(case.startswith("hot") for case in FAMILY) == 4
    assert all(f"{step}/counts" in recorded for recorded in FAMILY.values() for step in range(2))


def test_members_have_the_values_of_dacapo():
    distance, hot = (
        DistancePredictor(["a", "b"], 12.5, True, 0.1, 0.9),
        HotDistancePredictor(["a", "b"], 12.5, False, 3),
    )
    for made in (distance, hot):
        assert (made.norm, made.dt_scale_factor, made.max_distance) == ("tanh", 12.5, 12.5)
        assert (made.epsilon, made.threshold) == (5e-2, 0.8)
        assert isinstance(made, Predictor)
        assert made.padding(Coordinate(8, 8)) == Coordinate(12, 12)
        assert vars(pickle.loads(pickle.dumps(made))) == vars(made)
        assert made.output_array_type.interpolatable is True
        assert made.output_array_type.classes == made.embedding_dims
        assert type(made).__module__.startswith("inner_distance_gpu.")
        assert getattr(inner_distance_gpu.predictor, type(made).__name__) is type(made)
    assert (distance.mask_distances, distance.clipmin, distance.clipmax) == (True, 0.1, 0.9)
    assert (distance.channels, distance.embedding_dims) == (["a", "b"], 2)
    assert (hot.channels, hot.embedding_dims, hot.classes) == (["a", "b", "a", "b"], 4, 2)
    assert (hot.mask_distances, hot.kernel_size) == (False, 3)
    assert type(distance.output_array_type).__name__ == DistanceArray.__name__
    assert type(hot.output_array_type).__name__ == ProbabilityArray.__name__
    assert DistancePredictor(["a"], 1, True).clipmin == 0.05
    assert DistancePredictor(["a"], 1, True).clipmax == 0.95


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_head_has_the_kernel_size_and_no_padding(dims, kernel_size):
    class Architecture(torch.nn.Module):
        num_out_channels = 5

        def __init__(self):
            super().__init__()
            self.dims = dims

        def forward(self, raw):
            return raw.expand(-1, 5, *raw.shape[2:])

    shape = (6, 7, 8)[:dims]
    model = HotDistancePredictor(["a", "b"], 5, False, kernel_size).create_model(Architecture())
    assert model(torch.rand(2, 1, *shape)).shape == (2, 4, *(n - kernel_size + 1 for n in shape))
    model = DistancePredictor(["a", "b"], 5, False).create_model(Architecture())
    assert model(torch.rand(2, 1, *shape)).shape == (2, 2, *shape)


class Spec:
    def __init__(self, roi, voxel_size):
        self.roi, self.voxel_size = roi, voxel_size

    def copy(self):
        return Spec(self.roi.copy(), self.voxel_size)


@pytest.mark.parametrize("kind", [DistancePredictor, HotDistancePredictor])
def test_the_region_of_the_labels_grows_with_mask_distances(kind):
    rest = (1,) if kind is HotDistancePredictor else ()
    spec = Spec(Roi((80, 80), (160, 160)), Coordinate(8, 5))
    region = kind(["a"], 50.7, True, *rest).gt_region_for_roi(spec)
    # Grown by 50, then cut to whole voxels.
    assert region.roi == Roi((32, 30), (256, 260))
    assert spec.roi == Roi((80, 80), (160, 160))
    same = kind(["a"], 50.7, False, *rest).gt_region_for_roi(spec)
    assert same.roi == spec.roi
    assert same is not spec
    with pytest.raises(ValueError, match="no voxel size"):
        kind(["a"], 50.7, True, *rest).gt_region_for_roi(Spec(spec.roi, None))


def test_hot_targets_are_the_labels_and_their_distances():
    labels = np.array([[[0, 7, 7, 300]], [[0, 0, 1, 1]]], np.uint16)
    gt = SpatialArray(labels, (4, 4))
    hot = HotDistancePredictor(["a", "b"], 10, False, 1).create_target(gt)
    np.testing.assert_array_equal(hot.data[:2], labels)
    distances = inner_distance(labels, (4, 4), scale=10, background="signed")
    np.testing.assert_array_equal(hot.data[2:], distances)
    np.testing.assert_array_equal(DistancePredictor(["a", "b"], 10, False).create_target(gt).data, distances)
    assert hot.data.dtype == np.float32
    assert hot.axis_names == ["c^", "y", "x"]
    sparse = np.array([[[0, np.nan, 1, 1]]])
    assert HotDistancePredictor(["a"], 10, False, 1).create_target(SpatialArray(sparse, (4, 4))).data[
        :, 0, 1
    ].tolist() == [0, 0]


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.uint64, np.float16, ">i4", np.float64])
def test_labels_of_every_type(dtype):
    labels = np.array([[[0, 1, 1, 0]]], dtype)
    target = HotDistancePredictor(["a"], 10, False, 1).create_target(SpatialArray(labels, (4, 4)))
    assert target.data.dtype == np.float32
    np.testing.assert_array_equal(target.data[0, 0], [0, 1, 1, 0])


@pytest.mark.parametrize("distances", [False, True])
@pytest.mark.parametrize("kind", ["list", "array", "counts", "none"])
def test_hot_counts_come_back_as_dacapo_has_them(kind, distances):
    rng = np.random.default_rng(1)
    labels = (rng.random((2, 9, 10)) < 0.5).astype(np.uint8)
    gt = SpatialArray(labels, (4, 4))
    made = HotDistancePredictor(["a", "b"], 10, distances, 1)
    moving = {"list": [], "counts": ClassCounts.start(4, 2), "none": None, "array": np.array([], object)}[kind]
    for step in range(2):
        target = made.create_target(gt)
        before = str(moving)
        weight, after = made.create_weight(gt, target, None, moving)
        assert str(moving) == before
        assert isinstance(after, ClassCounts if kind == "counts" else np.ndarray)
        moving = after
        assert weight.data.shape == (4, 9, 10)
        table = as_table(after)
        voxels = (step + 1) * 90
        np.testing.assert_array_equal(table[:2, :, 1], voxels + 1)
        assert (table[2:, :, 1] == voxels + 1).all() != distances
    if kind != "counts":
        assert moving.dtype == object
        assert sorted(moving[0]) == [0, 1]


@pytest.mark.parametrize("distances", [False, True])
def test_hot_weights_are_those_of_classes_and_of_distances(distances):
    rng = np.random.default_rng(2)
    labels = (rng.random((3, 2, 6, 7, 8)) < 0.5).astype(np.uint8)
    mask = (rng.random((1, 2, 6, 7, 8)) < 0.9).astype(np.uint8)
    gt, given = SpatialArray(labels, (4, 4, 4)), SpatialArray(mask, (4, 4, 4))
    hot, single = HotDistancePredictor(["a", "b"], 10, distances, 1), DistancePredictor(["a", "b"], 10, distances)
    single._steps_per_voxel = 1
    weight, counts = hot.create_weight(gt, hot.create_target(gt), given)
    assert weight.data.shape == (3, 4, 6, 7, 8)
    classes, of_classes = balanced_weights(labels, mask=mask, slab=(-1, 1, -1, -1, -1))
    np.testing.assert_array_equal(weight.data[:, :2], classes)
    behind, of_distances = single.create_weight(gt, single.create_target(gt), given)
    np.testing.assert_array_equal(weight.data[:, 2:], behind.data)
    np.testing.assert_array_equal(as_table(counts), np.concatenate([as_table(of_classes), as_table(of_distances)]))
    # Without a channel axis by that name there is one slab for classes and one for distances.
    gt = SpatialArray(labels, (4, 4, 4), axis_names=["b^", "s^", "z", "y", "x"])
    assert len(hot.create_weight(gt, hot.create_target(gt), given)[1]) == 2


@pytest.mark.parametrize("hot", [False, True])
@pytest.mark.parametrize("distances", [False, True])
def test_labels_may_reach_beyond_the_target(hot, distances):
    """DaCapo's HotDistancePredictor stops there without `mask_distances`."""
    rng = np.random.default_rng(4)
    labels = (rng.random((2, 12, 14)) < 0.5).astype(np.uint8)
    gt = SpatialArray(labels, (4, 4))
    made = HotDistancePredictor(["a", "b"], 10, distances, 1) if hot else DistancePredictor(["a", "b"], 10, distances)
    part = Roi((8, 4), (32, 40))
    whole = made.create_target(gt)
    target = SpatialArray(whole[part], (4, 4), part)
    weight, counts = made.create_weight(gt, target, SpatialArray(np.ones_like(labels), (4, 4)))
    assert weight.roi == part
    inside = SpatialArray(labels[:, 2:10, 1:11], (4, 4))
    alone, alone_counts = made.create_weight(inside, SpatialArray(whole[part], (4, 4)), None)
    np.testing.assert_array_equal(weight.data, alone.data)
    np.testing.assert_array_equal(as_table(counts), as_table(alone_counts))


@pytest.mark.parametrize("distances", [False, True])
def test_labels_without_a_channel_axis(distances):
    """The target gets one; weights have none. DaCapo's class stops there without `mask_distances`."""
    rng = np.random.default_rng(8)
    labels, mask = (rng.random((9, 10, 11)) < 0.5).astype(np.uint8), (rng.random((9, 10, 11)) < 0.99).astype(np.uint8)
    made = DistancePredictor(["a"], 10, distances)
    results = []
    for here in (slice(None), None):
        gt, given = SpatialArray(labels[here], (8, 4, 4)), SpatialArray(mask[here], (8, 4, 4))
        target = made.create_target(gt)
        assert target.data.shape == made.process(gt.data, (8, 4, 4)).shape == (1, 9, 10, 11)
        results.append((target.data, *made.create_weight(gt, target, given)))
    assert results[0][1].data.shape == labels.shape
    np.testing.assert_array_equal(results[0][0], results[1][0])
    np.testing.assert_array_equal(results[0][1].data, results[1][1].data[0])
    assert results[0][2].to_dicts() == results[1][2].to_dicts()
    with pytest.raises(ValueError, match=r"shape \(9, 10, 11\): expected \(channels"):
        HotDistancePredictor(["a"], 10, distances, 1).create_target(SpatialArray(labels, (8, 4, 4)))


@pytest.mark.parametrize(("clipmin", "clipmax"), [(None, 0.6), (0.2, None), (None, None), (0, 1), (0.2, 0.6)])
def test_the_bounds_of_a_fraction(clipmin, clipmax):
    labels = (np.arange(100).reshape(1, 10, 10) >= 97).astype(np.uint8)
    gt = SpatialArray(labels, (4, 4))
    made = DistancePredictor(["a"], 10, False, clipmin, clipmax)
    # A mask below 1 makes the fraction of the background larger than 1: 97 / (1 + 50).
    weight, _ = made.create_weight(gt, made.create_target(gt), SpatialArray(np.full((1, 10, 10), 0.5), (4, 4)))
    fractions = np.array([97, 3]) / 51
    if clipmin is not None or clipmax is not None:
        fractions = np.clip(fractions, clipmin, clipmax)
    np.testing.assert_allclose(weight.data, (0.5 / (2 * fractions))[labels], rtol=1e-6)


def test_array_kinds_come_back():
    rng = np.random.default_rng(6)
    labels, mask = (rng.random((2, 5, 6, 7)) < 0.5).astype(np.uint8), (rng.random((2, 5, 6, 7)) < 0.9).astype(np.uint8)
    for made in (DistancePredictor(["a", "b"], 10, True), HotDistancePredictor(["a", "b"], 10, True, 1)):
        results = []
        for kind in (np.asarray, torch.from_numpy):
            gt = SpatialArray(kind(labels), (8, 4, 4))
            target = made.create_target(gt)
            weight, _ = made.create_weight(gt, target, SpatialArray(kind(mask), (8, 4, 4)))
            assert type(target.data) is type(weight.data) is type(kind(labels))
            assert type(made.create_distance_mask(target.data[:2], kind(mask), (8, 4, 4), "tanh", 10)) is type(gt.data)
            results.append((np.asarray(target.data), np.asarray(weight.data)))
        np.testing.assert_array_equal(results[0][0], results[1][0])
        np.testing.assert_array_equal(results[0][1], results[1][1])


def test_lazy_arrays_have_weights():
    """DaCapo's classes lose them with `mask_distances=False`: what is written into a lazy array in place is lost."""
    dask = pytest.importorskip("dask.array", reason="dask is not installed (extra 'volumes')")
    labels = (np.random.default_rng(7).random((1, 5, 6, 7)) < 0.2).astype(np.uint8)
    for distances in (False, True):
        for made in (DistancePredictor(["a"], 10, distances), HotDistancePredictor(["a"], 10, distances, 1)):
            there = SpatialArray(labels, (8, 4, 4))
            lazy = SpatialArray(dask.from_array(labels, chunks=3), (8, 4, 4))
            mask = SpatialArray(dask.ones(labels.shape), (8, 4, 4))
            weight, _ = made.create_weight(lazy, made.create_target(lazy), mask)
            expected, _ = made.create_weight(there, made.create_target(there), None)
            assert type(weight.data) is np.ndarray
            np.testing.assert_array_equal(weight.data, expected.data)
            assert len(np.unique(weight.data)) > 1
