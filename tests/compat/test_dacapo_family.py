"""Do DistancePredictor and HotDistancePredictor return what DaCapo's own do, also in its pipeline? (dacapo-ml 0.3.5)

Recorded here, and nowhere else: kernel size 3, labels beyond the target's region, masks above 1.
"""

import numpy as np
import pytest
import torch
from compat.standins import real

gp = real("gunpowder")
real("dacapo.gp")
real("inner_distance_gpu.compat.dacapo")

from compat.test_dacapo import (  # noqa: E402
    CHANNELS,
    GT,
    MASK,
    SCALE,
    TARGET,
    THEIR_WEIGHT,
    THEIRS,
    VOXEL_SIZE,
    WEIGHT,
    blobs,
    dacapo_array,
    pytestmark,
    unet,
)
from dacapo.experiments.arraytypes import DistanceArray, ProbabilityArray  # noqa: E402
from dacapo.experiments.tasks import (  # noqa: E402
    DistanceTask,
    DistanceTaskConfig,
    HotDistanceTask,
    HotDistanceTaskConfig,
    predictors,
)
from dacapo.gp import DaCapoTargetFilter  # noqa: E402
from dacapo.tmp import np_to_funlib_array  # noqa: E402
from funlib.geometry import Coordinate, Roi  # noqa: E402

from inner_distance_gpu import ClassCounts, DistancePredictor, HotDistancePredictor  # noqa: E402
from inner_distance_gpu.compat.dacapo import use_in_task  # noqa: E402

__all__ = ["pytestmark"]

PAIRS = {
    "distance": (DistancePredictor, predictors.DistancePredictor, ()),
    "clipped": (DistancePredictor, predictors.DistancePredictor, (0.2, 0.6)),
    "hot": (HotDistancePredictor, predictors.HotDistancePredictor, (1,)),
    "hot, kernel size 3": (HotDistancePredictor, predictors.HotDistancePredictor, (3,)),
}


def pair(name, distances, scale=SCALE):
    ours, theirs, rest = PAIRS[name]
    return ours(CHANNELS, scale, distances, *rest), theirs(CHANNELS, scale, distances, *rest)


def in_memory(data, offset=(0, 0, 0)):
    """What DaCapo's predictors take, with data that are not lazy: on lazy ones it loses weights.

    `np_to_funlib_array` wraps data into Dask arrays.
    """
    array = np_to_funlib_array(data, Coordinate(offset), Coordinate(VOXEL_SIZE))
    return InMemory(data, array.roi, array.axis_names)


class InMemory:
    def __init__(self, data, roi, axis_names):
        self.data, self.voxel_size, self.roi, self.axis_names = data, Coordinate(VOXEL_SIZE), roi, axis_names

    def __getitem__(self, key):
        if not isinstance(key, Roi):
            return self.data[key]
        voxels = (key - self.roi.offset) / self.voxel_size
        return self.data[(..., *voxels.to_slices())]


def same_counts(ours, theirs):
    table = ours if isinstance(ours, ClassCounts) else ClassCounts.from_dicts(list(ours))
    expected = ClassCounts.from_dicts(list(theirs))
    np.testing.assert_array_equal(table.numerators, expected.numerators)
    np.testing.assert_allclose(table.denominators, expected.denominators, rtol=1e-6)


def test_every_member():
    for name in PAIRS:
        ours, theirs = pair(name, True)
        assert {key: getattr(ours, key) for key in vars(theirs)} == vars(theirs)
        assert {key for key in dir(theirs) if not key.startswith("_")} <= set(dir(ours))
        assert isinstance(ours, predictors.Predictor)
        assert ours.output_array_type == theirs.output_array_type
        assert ours.embedding_dims == theirs.embedding_dims
        assert ours.padding(Coordinate(VOXEL_SIZE)) == theirs.padding(Coordinate(VOXEL_SIZE))
        spec = gp.ArraySpec(gp.Roi((80, 40, 40), (80, 80, 80)), voxel_size=VOXEL_SIZE)
        assert ours.gt_region_for_roi(spec).roi == theirs.gt_region_for_roi(spec).roi
        assert ours.gt_region_for_roi(spec).roi != spec.roi
    assert isinstance(DistancePredictor(["a"], 1, True).output_array_type, DistanceArray)
    assert isinstance(HotDistancePredictor(["a"], 1, True, 1).output_array_type, ProbabilityArray)


@pytest.mark.parametrize("name", PAIRS)
def test_the_model(name):
    ours, theirs = pair(name, False)
    mine, other = ours.create_model(unet()), theirs.create_model(unet())
    assert type(mine) is type(other)
    assert {k: v.shape for k, v in mine.state_dict().items()} == {k: v.shape for k, v in other.state_dict().items()}
    raw = torch.rand(1, 1, 16, 16, 16)
    assert mine(raw).shape == other(raw).shape


@pytest.mark.filterwarnings("ignore::inner_distance_gpu.LabelWarning")
@pytest.mark.parametrize("mask", ["ones", "holes", "above 1", "below 1", "one channel"])
@pytest.mark.parametrize("distances", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_three_steps_equal_dacapos(name, distances, mask):
    (ours, theirs), mine, other = pair(name, distances), None, None
    for step in range(3):
        labels = np.roll(blobs(2, 14, 20, 18), step * 5, axis=2)
        holes = (np.random.default_rng(step).random(labels.shape) < 0.98).astype(np.uint8)
        values = {
            "ones": np.ones_like(labels),
            "holes": holes,
            "above 1": holes * 200,
            "below 1": holes * np.float32(0.5),
        }
        values["one channel"] = holes[:1]
        gt, given = in_memory(labels), in_memory(values[mask])
        target, expected = ours.create_target(gt), theirs.create_target(gt)
        expected_target = np.asarray(expected[expected.roi])
        np.testing.assert_allclose(target.data, expected_target, rtol=0, atol=1e-6)
        assert target.axis_names == expected.axis_names
        # DaCapo loses weights where the target is lazy, so both get the same one in memory.
        there = in_memory(expected_target)
        weight, mine = ours.create_weight(gt, there, given, mine)
        expected_weight, other = theirs.create_weight(gt, there, given, other)
        wanted = np.asarray(expected_weight[expected_weight.roi])
        assert ((weight.data > 0) == (wanted > 0)).all()
        np.testing.assert_allclose(weight.data, wanted, rtol=1e-6)
        same_counts(mine, other)
    assert isinstance(other, np.ndarray if "hot" in name else list)


@pytest.mark.parametrize("distances", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_labels_beyond_the_region_of_the_target(name, distances):
    ours, theirs = pair(name, distances)
    labels = blobs(2, 14, 20, 18)
    gt, mask = in_memory(labels), in_memory(np.ones_like(labels))
    whole = ours.create_target(gt)
    part = Roi((16, 12, 16), (56, 36, 44))
    target = in_memory(np.ascontiguousarray(whole[part]), part.offset)
    weight, counts = ours.create_weight(gt, target, mask)
    assert weight.roi == part
    if "hot" in name and not distances:
        with pytest.raises(ValueError, match="broadcast"):
            theirs.create_weight(gt, target, mask)
        return
    expected, expected_counts = theirs.create_weight(gt, target, mask)
    np.testing.assert_allclose(weight.data, np.asarray(expected[expected.roi]), rtol=1e-6)
    same_counts(counts, expected_counts)
    assert expected.roi.offset == gt.roi.offset, "DaCapo puts it at the offset of the labels"


def test_labels_without_a_channel_axis():
    labels = blobs(2, 14, 20, 18)[0]
    ours, theirs = (kind(["a"], SCALE, True) for kind in (DistancePredictor, predictors.DistancePredictor))
    gt = in_memory(labels)
    target, expected = ours.create_target(gt), theirs.create_target(gt)
    np.testing.assert_allclose(target.data, expected[expected.roi], rtol=0, atol=1e-6)
    there = in_memory(target.data)
    weight, _ = ours.create_weight(gt, there, in_memory(np.ones_like(labels)))
    wanted, _ = theirs.create_weight(gt, there, in_memory(np.ones_like(labels)))
    assert weight.data.shape == labels.shape
    np.testing.assert_allclose(weight.data, wanted[wanted.roi], rtol=1e-6)


def source(labels):
    mask = np.ones_like(labels)
    mask[:, :6] = 0
    arrays = (gp.ArraySource(GT, dacapo_array(labels)), gp.ArraySource(MASK, dacapo_array(mask)))
    return arrays + gp.MergeProvider() + gp.RandomLocation()


@pytest.mark.parametrize("distances", [False, True])
@pytest.mark.parametrize("name", ["distance", "hot"])
def test_three_batches_in_dacapos_pipeline(name, distances):
    ours, theirs = pair(name, distances, 16)
    mine = DaCapoTargetFilter(ours, gt_key=GT, target_key=TARGET, weights_key=WEIGHT, mask_key=MASK)
    other = DaCapoTargetFilter(theirs, gt_key=GT, target_key=THEIRS, weights_key=THEIR_WEIGHT, mask_key=MASK)
    pipeline = source(blobs(2, 32, 48, 48)) + mine + other
    with gp.build(pipeline):
        for seed in range(3):
            request = gp.BatchRequest(random_seed=seed)
            for key in (TARGET, WEIGHT, THEIRS, THEIR_WEIGHT):
                request.add(key, Coordinate(12, 16, 16) * Coordinate(VOXEL_SIZE))
            batch = pipeline.request_batch(request)
            target, weight = batch[TARGET].data, np.asarray(batch[WEIGHT].data)
            assert target.shape == weight.shape == (4 if name == "hot" else 2, 12, 16, 16)
            np.testing.assert_allclose(target, batch[THEIRS].data, rtol=0, atol=1e-6)
            expected = np.asarray(batch[THEIR_WEIGHT].data)
            if distances:
                np.testing.assert_allclose(weight, expected, rtol=1e-6)
                same_counts(mine.moving_counts, other.moving_counts)
            else:
                # DaCapo's mask of ones is lazy where its target or its labels are.
                assert len(np.unique(weight)) > 2
    assert mine.moving_counts is not None


TASKS = {
    "distance": lambda **k: DistanceTask(
        DistanceTaskConfig(name="d", channels=CHANNELS, clip_distance=80, tol_distance=8, scale_factor=16, **k)
    ),
    "hot": lambda **k: HotDistanceTask(
        HotDistanceTaskConfig(
            name="h", channels=CHANNELS, clip_distance=80, tol_distance=8, scale_factor=16, kernel_size=1, **k
        )
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_take_our_predictors(name):
    task = TASKS[name](mask_distances=True)
    theirs, loss = task.predictor, task.loss
    assert use_in_task(task, engine="reference", device="cpu") is task
    assert type(task.predictor) is (DistancePredictor if name == "distance" else HotDistancePredictor)
    assert {key: getattr(task.predictor, key) for key in vars(theirs)} == vars(theirs)
    assert task.predictor.engine == "reference"
    assert task.loss is loss
    again = use_in_task(task)
    assert again.predictor.engine == "auto"
    assert again.predictor.channels == theirs.channels, "the first half of the channels is handed over"
