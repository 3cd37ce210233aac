"""Does InnerDistancePredictor have every member of DaCapo's class, with the same targets and weights?"""

import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from funlib.geometry import Coordinate, Roi
from oracle import golden

import inner_distance_gpu
from inner_distance_gpu import ClassCounts, InnerDistancePredictor
from inner_distance_gpu.predictors.inner_distance import DistanceArray, Predictor
from inner_distance_gpu.predictors.spatial import Region, SpatialArray

TARGETS, WEIGHTS = golden("inner_distance"), golden("balanced_weights")


class DuckArray:
    """The least an array object may be: nothing of ours, nothing of funlib's."""

    def __init__(self, data, voxel_size, offset=None):
        self.data, self.voxel_size = data, voxel_size
        dims = len(tuple(voxel_size))
        self.axis_names = ["c^", "z", "y", "x"][:1] + ["z", "y", "x"][3 - dims :]
        shape = Coordinate(data.shape[-dims:]) * Coordinate(voxel_size)
        self.roi = Roi(Coordinate((0,) * dims) if offset is None else offset, shape)

    def __getitem__(self, roi):
        voxels = (roi - self.roi.offset) / Coordinate(self.voxel_size)
        return self.data[(slice(None), *voxels.to_slices())]


class Lazy:
    """What a Dask array looks like: lazy until `compute`, sliced lazily."""

    def __init__(self, data, computed):
        self.values, self.computed = data, computed
        self.shape, self.dtype = data.shape, data.dtype

    def __dask_graph__(self): ...

    def __getitem__(self, key):
        return Lazy(self.values[key], self.computed)

    def compute(self, scheduler):
        self.computed.append(1)
        return self.values


def predictor(channels=1, scale=50, **keywords):
    return InnerDistancePredictor([f"class{i}" for i in range(channels)], scale, **keywords)


def random_labels(*shape, seed=0):
    return (np.random.default_rng(seed).random(shape) < 0.5).astype(np.uint8)


def test_members_have_the_values_of_dacapo():
    made = InnerDistancePredictor(["nucleus", "mito"], 12.5)
    assert made.channels == ["nucleus", "mito"]
    assert (made.norm, made.dt_scale_factor, made.max_distance) == ("tanh", 12.5, 12.5)
    assert (made.epsilon, made.threshold, made.embedding_dims) == (5e-2, 0.8, 2)
    assert isinstance(made, Predictor)
    # DaCapo's class of that name where DaCapo is imported.
    assert type(made.output_array_type).__name__ == DistanceArray.__name__
    assert made.output_array_type.classes == 2
    assert DistanceArray(2).interpolatable is True
    assert made.output_array_type.interpolatable is True
    assert made.padding(Coordinate(8, 8, 8)) == Coordinate(12, 12, 12)
    assert made.padding((0.5, 0.5)) == Coordinate(12, 12)
    assert vars(pickle.loads(pickle.dumps(made))) == vars(made)


def test_the_contract_has_the_defaults_of_dacapo():
    class Least(Predictor):
        output_array_type = None

        def create_model(self, architecture): ...

        def create_target(self, gt): ...

        def create_weight(self, gt, target, mask, moving_class_counts=None): ...

    spec = object()
    assert Least().gt_region_for_roi(spec) is spec
    assert Least().padding((4, 4, 4)) == Coordinate(0, 0, 0)
    with pytest.raises(TypeError, match="abstract"):
        Predictor()


def test_gt_region_is_the_same_region_in_a_copy():
    class Spec:
        def __init__(self, roi):
            self.roi = roi

        def copy(self):
            return Spec(self.roi.copy())

    spec = Spec(Roi((8, 8, 8), (80, 80, 80)))
    region = predictor().gt_region_for_roi(spec)
    assert region.roi == spec.roi
    assert region is not spec
    assert predictor().gt_region_for_roi(spec.roi) == spec.roi


@pytest.mark.parametrize("case", TARGETS)
def test_process_equals_dacapo(case):
    labels, voxel_size, scale = (TARGETS[case][key] for key in ("labels", "voxel_size", "scale"))
    made = predictor(len(labels), float(scale))
    largest = max(1, int(labels.max()))
    tanh = made.process(labels, voxel_size, "tanh", float(scale))
    assert tanh.dtype == np.float32
    np.testing.assert_allclose(tanh, TARGETS[case]["tanh"], rtol=0, atol=1e-6 * largest)
    np.testing.assert_allclose(made.process(labels, voxel_size), TARGETS[case]["raw"], rtol=1e-6)
    gt = DuckArray(labels, Coordinate(voxel_size), offset=Coordinate(voxel_size) * 3)
    target = made.create_target(gt)
    np.testing.assert_array_equal(target.data, tanh)
    assert target.roi == gt.roi
    assert target.voxel_size is gt.voxel_size
    assert target.axis_names == gt.axis_names


@pytest.mark.parametrize("kind", ["list", "counts", "none"])
@pytest.mark.parametrize("case", ["per_channel_moving", "binary_mask", "float_mask", "mask_all_zero", "one_class_only"])
def test_weights_equal_dacapo_over_batches(case, kind):
    made = predictor(2)
    moving = {"list": [], "counts": ClassCounts.start(WEIGHTS[case]["0/counts"].shape[0], 2), "none": None}[kind]
    steps = [step for step in range(3) if f"{step}/labels" in WEIGHTS[case]]
    for step in steps:
        labels, mask, weights, expected = (
            WEIGHTS[case][f"{step}/{key}"] for key in ("labels", "mask", "weights", "counts")
        )
        before = str(moving)
        gt = DuckArray(labels, Coordinate(8, 8, 8))
        target = made.create_target(gt)
        weight, after = made.create_weight(gt, target, DuckArray(mask, Coordinate(8, 8, 8)), moving)
        assert str(moving) == before, "the counts passed in were changed"
        np.testing.assert_allclose(weight.data, weights, rtol=1e-6, err_msg=f"step {step}")
        assert type(after) is (list if kind == "list" else ClassCounts)
        table = ClassCounts.from_dicts(after) if isinstance(after, list) else after
        np.testing.assert_array_equal(table.numerators, expected[..., 0])
        np.testing.assert_allclose(table.denominators, expected[..., 1], rtol=1e-6)
        moving = after
    assert len(steps) == 3 or case not in ("per_channel_moving", "binary_mask")


def test_weights_lie_on_the_region_of_the_target():
    labels, mask = random_labels(2, 6, 7, 8), random_labels(1, 8, 9, 10, seed=1)
    gt = DuckArray(labels, Coordinate(4, 4, 4), offset=(4, 4, 4))
    part = Roi((8, 12, 4), (12, 12, 24))
    target = SpatialArray(np.zeros((2, 3, 3, 6), np.float32), Coordinate(4, 4, 4), part)
    weight, counts = predictor(2).create_weight(gt, target, DuckArray(mask, Coordinate(4, 4, 4)))
    assert weight.roi == part
    inside = labels[:, 1:4, 2:5, 0:6]
    masked = np.broadcast_to(mask[:, 2:5, 3:6, 1:7], inside.shape)
    expected, expected_counts = inner_distance_gpu.balanced_weights(inside, mask=masked.copy(), slab=(1, -1, -1, -1))
    np.testing.assert_array_equal(weight.data, expected)
    assert counts.to_dicts() == expected_counts.to_dicts()


def test_a_batch_axis_is_pooled_and_the_channel_axis_is_not():
    labels = random_labels(3, 2, 4, 5, 6)
    gt = SpatialArray(labels, (4, 4, 4))
    assert gt.axis_names == ["b^", "c^", "z", "y", "x"]
    target = predictor(2).create_target(gt)
    weight, counts = predictor(2).create_weight(gt, target, None)
    assert counts.shape == (2, 2)
    assert weight.axis_names == gt.axis_names
    expected, _ = inner_distance_gpu.balanced_weights(labels, slab=(-1, 1, -1, -1, -1))
    np.testing.assert_array_equal(weight.data, expected)
    # Without a channel axis by that name there is one slab, as in DaCapo.
    gt = SpatialArray(labels, (4, 4, 4), axis_names=["b^", "s^", "z", "y", "x"])
    assert predictor(2).create_weight(gt, target, None)[1].shape == (1, 2)


def test_instances_multiply_the_target_and_weigh_as_foreground():
    labels = np.array([[[0, 7, 7, 7]]], np.uint16)
    gt = SpatialArray(labels, (4, 4))
    target = predictor(scale=10).create_target(gt)
    np.testing.assert_allclose(target.data[0, 0], 7 * np.tanh(np.array([0, 2, 6, 10]) / 10), rtol=1e-6)
    weight, counts = predictor(scale=10).create_weight(gt, target, None)
    assert counts.to_dicts() == [{0: (1, 5.0), 1: (3, 5.0)}]
    np.testing.assert_allclose(weight.data[0, 0], [2.5, 5 / 6, 5 / 6, 5 / 6], rtol=1e-6)


@pytest.mark.parametrize("voxel_size", [(5.24, 4.0, 4.0), (0.5, 0.004, 0.004), [2.5, 1.25, 1.25]])
def test_fractional_voxel_sizes_survive(voxel_size):
    labels = random_labels(1, 6, 9, 10)
    gt = SpatialArray(labels, voxel_size)
    made = predictor(scale=2.5)
    target = made.create_target(gt)
    expected = inner_distance_gpu.inner_distance(labels, voxel_size, scale=2.5, background="times_label")
    np.testing.assert_array_equal(target.data, expected)
    assert target.voxel_size is voxel_size
    part = Region([2 * x for x in voxel_size], [3 * x for x in voxel_size])
    np.testing.assert_array_equal(target[part], target.data[:, 2:5, 2:5, 2:5])
    small = SpatialArray(target[part], voxel_size, part)
    weight, _ = made.create_weight(gt, small, None)
    expected, _ = inner_distance_gpu.balanced_weights(labels[:, 2:5, 2:5, 2:5], slab=(1, -1, -1, -1))
    np.testing.assert_array_equal(weight.data, expected)


def test_array_kinds_come_back():
    labels = random_labels(2, 5, 6, 7)
    mask = random_labels(5, 6, 7, seed=3)
    expected, expected_weight = None, None
    computed = []
    for data, given in [
        (labels, mask),
        (torch.from_numpy(labels), torch.from_numpy(mask)),
        (Lazy(labels, computed), Lazy(mask, computed)),
    ]:
        gt = SpatialArray(data, (8, 4, 4))
        target = predictor(2).create_target(gt)
        weight, _ = predictor(2).create_weight(gt, target, SpatialArray(given, (8, 4, 4)))
        kind = torch.Tensor if isinstance(data, torch.Tensor) else np.ndarray
        assert type(target.data) is type(weight.data) is kind
        if expected is None:
            expected, expected_weight = target.data, weight.data
        np.testing.assert_array_equal(np.asarray(target.data), expected)
        np.testing.assert_array_equal(np.asarray(weight.data), expected_weight)
    assert len(computed) == 3, "labels for the target, labels and mask for the weight: once each"


def test_dask_arrays_are_materialised():
    dask = pytest.importorskip("dask.array", reason="dask is not installed (extra 'volumes')")
    labels = random_labels(1, 5, 6, 7)
    gt = SpatialArray(dask.from_array(labels, chunks=3), (8, 4, 4))
    target = predictor().create_target(gt)
    weight, _ = predictor().create_weight(gt, target, SpatialArray(dask.ones((5, 6, 7)), (8, 4, 4)))
    assert type(target.data) is type(weight.data) is np.ndarray
    np.testing.assert_array_equal(target.data, predictor().create_target(SpatialArray(labels, (8, 4, 4))).data)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_model_ends_in_a_convolution_of_one_voxel(dims):
    class Architecture(torch.nn.Module):
        num_out_channels = 5

        def __init__(self):
            super().__init__()
            self.dims = dims

        def forward(self, raw):
            return raw.expand(-1, 5, *raw.shape[2:])

    model = predictor(3).create_model(Architecture())
    head = model[-1]
    assert isinstance(head, {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dims])
    assert head.kernel_size == (1,) * dims
    assert model(torch.rand(2, 1, *(4, 5, 6)[:dims])).shape == (2, 3, *(4, 5, 6)[:dims])


def test_the_named_engine_is_the_one_that_runs(monkeypatch):
    from inner_distance_gpu.engines import reference

    calls = []
    real = reference.run
    monkeypatch.setattr(reference, "run", lambda *args: (calls.append(1), real(*args)))
    gt = SpatialArray(random_labels(1, 4, 5), (8, 8))
    predictor(engine="reference").create_target(gt)
    predictor(engine="reference", device="cpu").create_target(gt)
    assert len(calls) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
@pytest.mark.parametrize("where", ["cpu", "cuda"])
def test_results_come_back_from_the_device(device, where):
    if inner_distance_gpu.engines.available()["cuda"] is not None:
        pytest.skip("this version has no cuda engine")
    labels = random_labels(2, 5, 6, 7)
    mask = random_labels(1, 5, 6, 7, seed=1)
    reference = SpatialArray(labels, (8, 4, 4))
    there = SpatialArray(torch.from_numpy(labels).to(where), (8, 4, 4))
    given = SpatialArray(torch.from_numpy(mask).to(where), (8, 4, 4))
    made = predictor(2, device=device)
    target = made.create_target(there)
    weight, _ = made.create_weight(there, target, given)
    assert target.data.device.type == weight.data.device.type == where
    expected = predictor(2, engine="reference").create_target(reference)
    np.testing.assert_allclose(target.data.cpu(), expected.data, atol=1e-6)
    expected_weight, _ = predictor(2, engine="reference").create_weight(
        reference, expected, SpatialArray(mask, (8, 4, 4))
    )
    np.testing.assert_allclose(weight.data.cpu(), expected_weight.data, rtol=1e-6)


def test_importing_the_package_imports_no_other_library():
    code = (
        "import sys, inner_distance_gpu; print(*(name for name in "
        "('cupy', 'cucim', 'dask', 'scipy', 'matplotlib', 'zarr', 'dacapo', 'gunpowder') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
