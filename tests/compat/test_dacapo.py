"""Does our predictor stand where DaCapo's stands, in DaCapo's own pipeline? (dacapo-ml 0.3.5)"""

import doctest
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from compat.standins import real

gp = real("gunpowder")
real("dacapo.gp")
adapter = real("inner_distance_gpu.compat.dacapo")

from dacapo.experiments import Model  # noqa: E402
from dacapo.experiments.architectures import CNNectomeUNetConfig  # noqa: E402
from dacapo.experiments.arraytypes import DistanceArray  # noqa: E402
from dacapo.experiments.tasks import (  # noqa: E402
    InnerDistanceTask,
    InnerDistanceTaskConfig,
    predictors,
)
from dacapo.experiments.trainers import GunpowderTrainerConfig  # noqa: E402
from dacapo.gp import DaCapoTargetFilter  # noqa: E402
from dacapo.tmp import gp_to_funlib_array, np_to_funlib_array  # noqa: E402
from funlib.geometry import Coordinate  # noqa: E402
from funlib.persistence import Array  # noqa: E402

import inner_distance_gpu  # noqa: E402
from inner_distance_gpu import ClassCounts, InnerDistancePredictor  # noqa: E402
from inner_distance_gpu.compat.dacapo import to_dacapo_array, use_in_task  # noqa: E402
from inner_distance_gpu.predictors.spatial import SpatialArray  # noqa: E402

# DaCapo's own calls of funlib.persistence.
pytestmark = [
    pytest.mark.filterwarnings("ignore:using axis names to define which axes:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),  # PreCache forks
]

CHANNELS, SCALE, VOXEL_SIZE = ["nucleus", "mito"], 30, (8, 4, 4)
INNER = InnerDistanceTaskConfig(name="inner", channels=CHANNELS, clip_distance=80, tol_distance=8, scale_factor=SCALE)
GT, MASK, TARGET, WEIGHT, THEIRS, THEIR_WEIGHT = (
    gp.ArrayKey(name) for name in ("GT", "MASK", "TARGET", "WEIGHT", "THEIRS", "THEIR_WEIGHT")
)


def blobs(*shape):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(5).standard_normal(shape)
    return (gaussian_filter(noise, [0, 3, 3, 3]) > 0).astype(np.uint8)


def dacapo_array(data):
    return np_to_funlib_array(data, Coordinate(0, 0, 0), Coordinate(VOXEL_SIZE))


def source(labels):
    mask = np.ones_like(labels)
    mask[:, :6] = 0
    arrays = (gp.ArraySource(GT, dacapo_array(labels)), gp.ArraySource(MASK, dacapo_array(mask)))
    return arrays + gp.MergeProvider() + gp.RandomLocation()


def batches(pipeline, *keys, count=3):
    requests = [gp.BatchRequest(random_seed=seed) for seed in range(count)]
    for request in requests:
        for key in keys:
            request.add(key, Coordinate(12, 16, 16) * Coordinate(VOXEL_SIZE))
    with gp.build(pipeline):
        return [pipeline.request_batch(request) for request in requests]


def test_the_target_filter_runs_with_our_predictor():
    ours, theirs = InnerDistancePredictor(CHANNELS, SCALE), predictors.DistancePredictor(CHANNELS, SCALE, False)
    node = DaCapoTargetFilter(ours, gt_key=GT, target_key=TARGET, weights_key=WEIGHT, mask_key=MASK)
    pipeline = (
        source(blobs(2, 32, 48, 48))
        + node
        + DaCapoTargetFilter(theirs, gt_key=GT, target_key=THEIRS, mask_key=MASK)
        + gp.Stack(2)
    )
    made = batches(pipeline, GT, MASK, TARGET, WEIGHT, THEIRS)
    counts = ClassCounts.start(2, 2)
    for batch in made:
        labels, target, weight = batch[GT].data, batch[TARGET].data, batch[WEIGHT].data
        assert target.shape == weight.shape == (2, 2, 12, 16, 16)
        assert target.dtype == weight.dtype == np.float32
        assert 0.2 < labels.mean() < 0.8
        inside = labels != 0
        np.testing.assert_allclose(target[inside], batch[THEIRS].data[inside], rtol=0, atol=1e-6)
        assert not target[~inside].any()
        for one, (part, mask) in enumerate(zip(labels, batch[MASK].data, strict=True)):
            expected, counts = inner_distance_gpu.balanced_weights(part, mask=mask, slab=(1, -1, -1, -1), counts=counts)
            np.testing.assert_allclose(weight[one], expected, rtol=1e-6)
    assert isinstance(node.moving_counts, ClassCounts)
    assert node.moving_counts.to_dicts() == counts.to_dicts(), "three batches of two, carried over"
    assert len({batch[GT].data.tobytes() for batch in made}) == 3, "the locations are random"


def test_dacapos_own_class_fails_there():
    theirs = predictors.InnerDistancePredictor(CHANNELS, SCALE)
    pipeline = source(blobs(2, 32, 48, 48)) + DaCapoTargetFilter(theirs, GT, TARGET, WEIGHT, MASK) + gp.Stack(2)
    with pytest.raises(Exception, match="mask_distances") as raised:
        batches(pipeline, TARGET, WEIGHT, count=1)
    causes = [raised.value]
    while (causes[-1].__cause__ or causes[-1].__context__) is not None:
        causes.append(causes[-1].__cause__ or causes[-1].__context__)
    assert any(isinstance(cause, AttributeError) for cause in causes)


def test_a_step_equals_dacapos_own_step():
    ours, theirs = InnerDistancePredictor(CHANNELS, SCALE), predictors.InnerDistancePredictor(CHANNELS, SCALE)
    mine, other = [], None
    for step in range(3):
        labels = np.roll(blobs(2, 14, 20, 18), step * 5, axis=2)
        gt, mask = dacapo_array(labels), dacapo_array((np.arange(18) % (step + 2) > 0) * np.ones_like(labels))
        target, expected = ours.create_target(gt), theirs.create_target(gt)
        assert type(target.data) is np.ndarray, "a Dask array in, NumPy out"
        np.testing.assert_allclose(target.data, expected[expected.roi], rtol=0, atol=1e-6)
        assert target.roi == expected.roi
        assert target.voxel_size == expected.voxel_size
        assert target.axis_names == expected.axis_names
        weight, mine = ours.create_weight(gt, target, mask, mine)
        expected_weight, other = theirs.create_weight(gt, expected, mask, other)
        np.testing.assert_allclose(weight[target.roi], expected_weight[target.roi], rtol=1e-6)
        assert weight.axis_names == expected_weight.axis_names
        assert isinstance(mine, list)
        assert [{c: tuple(map(float, pair)) for c, pair in slab.items()} for slab in other] == mine
    # Counts that DaCapo made go on with ours.
    _, after = ours.create_weight(gt, target, mask, other)
    assert after[0][0][1] > mine[0][0][1]


def test_a_target_may_cover_part_of_the_labels():
    ours, theirs = InnerDistancePredictor(CHANNELS, SCALE), predictors.InnerDistancePredictor(CHANNELS, SCALE)
    labels = blobs(2, 14, 20, 18)
    gt, mask = dacapo_array(labels), dacapo_array(np.ones_like(labels))
    part = np_to_funlib_array(labels[:, 2:9, 3:12, 4:15] * 0.5, Coordinate(16, 12, 16), Coordinate(VOXEL_SIZE))
    weight, _ = ours.create_weight(gt, part, mask)
    expected, _ = theirs.create_weight(gt, part, mask)
    np.testing.assert_allclose(weight.data, expected[:], rtol=1e-6)
    assert weight.roi == part.roi
    assert expected.roi != part.roi, "DaCapo puts it at the offset of the labels"


def test_registration_and_types():
    ours = InnerDistancePredictor(CHANNELS, SCALE)
    assert isinstance(ours, predictors.Predictor)
    assert issubclass(InnerDistancePredictor, predictors.Predictor)
    assert ours.output_array_type == predictors.InnerDistancePredictor(CHANNELS, SCALE).output_array_type
    assert isinstance(ours.output_array_type, DistanceArray)
    theirs = predictors.InnerDistancePredictor(CHANNELS, SCALE)
    assert {name: getattr(ours, name) for name in vars(theirs)} == vars(theirs)
    assert ours.padding(Coordinate(VOXEL_SIZE)) == theirs.padding(Coordinate(VOXEL_SIZE))
    members = {name for name in dir(predictors.InnerDistancePredictor) if not name.startswith("_")}
    assert members <= set(dir(InnerDistancePredictor))


def unet():
    config = CNNectomeUNetConfig(
        name="unet",
        input_shape=Coordinate(16, 16, 16),
        fmaps_out=4,
        fmaps_in=1,
        num_fmaps=2,
        fmap_inc_factor=2,
        downsample_factors=[(2, 2, 2)],
        padding="same",
    )
    return config.architecture_type(config)


def test_a_predictor_made_after_dacapo_was_imported_is_dacapos():
    code = (
        "from compat.standins import real; predictors = real('dacapo.experiments.tasks.predictors'); "
        "import sys; from inner_distance_gpu import InnerDistancePredictor; "
        "assert 'inner_distance_gpu.compat.dacapo' not in sys.modules; "
        "print(isinstance(InnerDistancePredictor(['nucleus'], 5), predictors.Predictor))"
    )
    folder = {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | folder)
    assert done.stdout.split() == ["True"], done.stderr


def test_the_model_is_dacapos():
    architecture = unet()
    ours = InnerDistancePredictor(CHANNELS, SCALE).create_model(architecture)
    theirs = predictors.InnerDistancePredictor(CHANNELS, SCALE).create_model(architecture)
    assert type(ours) is type(theirs) is Model
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert ours(torch.rand(1, 1, 16, 16, 16)).shape[1] == 2


def test_an_inner_distance_task_takes_our_predictor():
    task = InnerDistanceTask(INNER)
    loss = task.loss
    assert use_in_task(task, engine="reference", device="cpu") is task
    assert type(task.predictor) is InnerDistancePredictor
    assert task.predictor.channels == CHANNELS
    assert (task.predictor.max_distance, task.predictor.engine) == (SCALE, "reference")
    assert task.loss is loss
    assert use_in_task(task).predictor.engine == "auto"
    other = SimpleNamespace(predictor=predictors.OneHotPredictor(CHANNELS, 1))
    with pytest.raises(TypeError, match="SimpleNamespace has the predictor OneHotPredictor: expected a task"):
        use_in_task(other)


@pytest.mark.parametrize("workers", [1, 2])
def test_dacapos_trainer_trains_with_our_predictor(workers):
    task = use_in_task(InnerDistanceTask(INNER))
    config = GunpowderTrainerConfig(
        name="trainer", batch_size=2, learning_rate=1e-3, num_data_fetchers=workers, gt_min_reject=0.05
    )
    trainer, model = config.trainer_type(config), task.create_model(unet())
    labels = blobs(2, 32, 48, 48)
    raw = dacapo_array(labels[:1].astype(np.float32))
    dataset = SimpleNamespace(raw=raw, gt=dacapo_array(labels), mask=None, weight=1, sample_points=None)
    trainer.build_batch_provider([dataset], model, task)
    optimizer = trainer.create_optimizer(model)
    before = [weight.detach().clone() for weight in model.parameters()]
    with trainer:
        losses = [step.loss for step in trainer.iterate(3, model, optimizer, torch.device("cpu"))]
    assert len(losses) == 3
    assert np.isfinite(losses).all()
    assert any((weight != old).any() for weight, old in zip(model.parameters(), before, strict=True))


def test_conversion_to_dacapos_array():
    target = InnerDistancePredictor(CHANNELS, SCALE).create_target(dacapo_array(blobs(2, 6, 7, 8)))
    array = to_dacapo_array(target)
    assert isinstance(array, Array)
    np.testing.assert_array_equal(array[:], target.data)
    assert (array.roi, array.voxel_size, array.axis_names) == (target.roi, target.voxel_size, target.axis_names)
    tensor = to_dacapo_array(SpatialArray(torch.from_numpy(target.data), target.voxel_size, target.roi))
    np.testing.assert_array_equal(tensor[target.roi], target.data)
    with pytest.raises(ValueError, match="cut off fractions"):
        to_dacapo_array(SpatialArray(target.data, (8, 4.5, 4)))


def test_gunpowder_arrays_come_in_through_dacapos_conversion():
    labels = blobs(2, 6, 7, 8)
    spec = gp.ArraySpec(gp.Roi((0, 0, 0), (48, 28, 32)), voxel_size=VOXEL_SIZE)
    target = InnerDistancePredictor(CHANNELS, SCALE).create_target(gp_to_funlib_array(gp.Array(labels, spec)))
    expected = InnerDistancePredictor(CHANNELS, SCALE).process(labels, VOXEL_SIZE, "tanh", SCALE)
    np.testing.assert_array_equal(target.data, expected)
    assert target.roi == spec.roi


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(adapter)
    assert result.attempted > 0
    assert result.failed == 0
