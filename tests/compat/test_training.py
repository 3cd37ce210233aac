"""Does DaCapo's trainer lose with our predictors what it loses with its own in each iteration? (dacapo-ml 0.3.5)"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from compat.standins import real

real("gunpowder")
real("dacapo.gp")
real("inner_distance_gpu.compat.dacapo")

from compat.test_dacapo import INNER, blobs, dacapo_array, pytestmark, unet  # noqa: E402
from compat.test_dacapo_family import TASKS, InMemory  # noqa: E402
from dacapo.experiments.tasks import InnerDistanceTask  # noqa: E402
from dacapo.experiments.trainers import GunpowderTrainerConfig  # noqa: E402

from inner_distance_gpu.compat.dacapo import use_in_task  # noqa: E402

__all__ = ["pytestmark"]


def able(task):
    """The task with DaCapo's own predictor, mended where that stops in a pipeline or loses its weights there."""
    theirs = task.predictor
    if not hasattr(theirs, "mask_distances"):  # InnerDistancePredictor reads it and never sets it
        theirs.mask_distances = False
    if theirs.mask_distances:
        return task
    weigh = theirs.create_weight

    def create_weight(gt, target, mask, moving_class_counts=None):
        # Its mask of ones is lazy where its target is, or its labels, and then all weights are 1.
        there = (InMemory(np.asarray(array[array.roi]), array.roi, array.axis_names) for array in (gt, target))
        return weigh(*there, mask, moving_class_counts)

    theirs.create_weight = create_weight
    return task


def trained(task):
    """Losses of three iterations, and the parameters before and after; the same batches whatever the predictor."""
    config = GunpowderTrainerConfig(
        name="trainer", batch_size=2, learning_rate=1, num_data_fetchers=1, gt_min_reject=0.05
    )
    torch.manual_seed(0)
    trainer, model = config.trainer_type(config), task.create_model(unet())
    labels = blobs(2, 32, 48, 48)
    raw = dacapo_array(labels[:1].astype(np.float32))
    dataset = SimpleNamespace(raw=raw, gt=dacapo_array(labels), mask=None, weight=1, sample_points=None)
    trainer.build_batch_provider([dataset], model, task)
    optimizer = trainer.create_optimizer(model)
    before, losses = [weight.detach().clone() for weight in model.parameters()], []
    with trainer:
        for seed in range(3):
            trainer._request._random_seed = seed
            losses += [step.loss for step in trainer.iterate(1, model, optimizer, torch.device("cpu"))]
    return losses, before, [weight.detach() for weight in model.parameters()]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: InnerDistanceTask(INNER), id="inner"),
        *(
            pytest.param(lambda name=name, masked=masked: TASKS[name](mask_distances=masked), id=f"{name}, {masked}")
            for name in TASKS
            for masked in (False, True)
        ),
    ],
)
def test_three_training_iterations(make):
    ours, theirs = use_in_task(make()), able(make())
    assert type(ours.predictor) is not type(theirs.predictor)
    (losses, before, after), (expected, begun, ended) = trained(ours), trained(theirs)
    assert len(set(losses)) == 3
    assert np.isfinite(losses).all()
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert all(map(torch.equal, before, begun))
    assert any((weight - old).abs().max() > 1e-3 for weight, old in zip(after, before, strict=True))
    for weight, other in zip(after, ended, strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-4, atol=1e-6)
