"""How do our targets and weights differ from those of dacapo-toolbox, side by side in its pipeline? (1.0.0)"""

import random
import warnings

import numpy as np
import pytest
import torch
from compat.standins import real

real("gunpowder")  # `make bench` installs dacapo-toolbox without it
toolbox = real("dacapo_toolbox.dataset")
distances = real("dacapo_toolbox.transforms.distances")
balancing = real("dacapo_toolbox.transforms.weight_balancing")

from funlib.persistence import Array  # noqa: E402
from scipy.ndimage import gaussian_filter  # noqa: E402

from inner_distance_gpu import InnerDistanceTransform, inner_distance  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:using axis names to define which axes:DeprecationWarning")

SIGMA, VOXEL = 10.0, (1, 1, 1)
SHAPE = (32, 48, 48)


def labels():
    noise = gaussian_filter(np.random.default_rng(5).standard_normal(SHAPE), 3)
    return torch.from_numpy((noise > 0).astype(np.uint8))


def signed(voxel_size=VOXEL, scale=SIGMA):
    return InnerDistanceTransform(voxel_size, scale, background="signed", weights=False)


def test_side_by_side_in_its_pipeline():
    random.seed(1)  # decides the locations
    mask = torch.ones(SHAPE, dtype=torch.uint8)
    mask[:, :20] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        dataset = toolbox.iterable_dataset(
            {"gt": Array(labels().numpy(), voxel_size=VOXEL), "mask": Array(mask.numpy(), voxel_size=VOXEL)},
            shapes={"gt": (16, 24, 24), "mask": (16, 24, 24)},
            transforms={
                ("gt", "target"): signed(),
                ("gt", "their target"): distances.SignedDistanceTransform(SIGMA),
                ("gt", ("inner", "weight")): InnerDistanceTransform(VOXEL, SIGMA, moving=False),
                ("gt", "their weight"): balancing.BalanceLabels(),
                (("gt", "mask"), ("inner", "masked")): InnerDistanceTransform(VOXEL, SIGMA, moving=False),
                (("gt", "mask"), "their masked"): balancing.BalanceLabels(),
            },
        )
        batches = [batch for batch, _ in zip(dataset, range(4), strict=False)]
    for batch in batches:
        ours, theirs = batch["target"], batch["their target"]
        assert ours.shape == theirs.shape == (16, 24, 24)
        assert ours.dtype == theirs.dtype == torch.float32
        assert torch.equal(ours > 0, theirs > 0)
        assert (theirs.abs() - ours.abs()).min() > 0, "theirs is the longer distance"
        assert (theirs - ours).abs().max() < 0.05
        assert torch.equal(batch["inner"] > 0, batch["gt"] != 0)
        torch.testing.assert_close(batch["weight"], batch["their weight"], rtol=2 / batch["gt"].numel(), atol=0)
        voxels = float(batch["mask"].sum())
        if voxels:
            torch.testing.assert_close(batch["masked"], batch["their masked"], rtol=2 / voxels, atol=0)


def test_the_largest_difference():
    """Theirs ends at the centre of a voxel with another label, ours at the face before it."""
    values = labels()
    theirs = np.arctanh(distances.SignedDistanceTransform(SIGMA)(values).double().numpy()) * SIGMA
    longer = np.abs(theirs) - np.abs(inner_distance(values, VOXEL, background="signed").numpy())
    assert longer.min() == pytest.approx(0.2321, abs=1e-3)
    assert longer.max() == pytest.approx(0.5, abs=1e-5)
    off = (distances.SignedDistanceTransform(SIGMA)(values) - signed()(values)).abs()
    assert float(off.max()) == pytest.approx(0.0497, abs=1e-3)


def test_theirs_knows_no_voxel_size():
    """With voxels of 40 × 4 × 4 a neighbour in z is as near as one in x."""
    values = torch.zeros(9, 9, 9, dtype=torch.uint8)
    values[3:6, 3:6, 3:6] = 1
    theirs = distances.SignedDistanceTransform(SIGMA)(values)
    assert theirs[4, 4, 4] == torch.tanh(torch.tensor(2 / SIGMA))
    assert theirs[1, 4, 4] == theirs[4, 4, 1]
    ours = signed((40, 4, 4), 40.0)(values)
    assert ours[1, 4, 4] < ours[4, 4, 1] < 0


def test_both_dip_between_touching_instances_but_theirs_takes_no_ids_for_weights():
    values = torch.zeros(5, 5, 14, dtype=torch.int64)
    values[1:4, 1:4, 1:7], values[1:4, 1:4, 7:13] = 1, 2
    for target in (distances.SignedDistanceTransform(SIGMA)(values), signed()(values)):
        assert target[2, 2, 6] < target[2, 2, 5]
        assert target[2, 2, 6] > 0
    with pytest.raises(AssertionError, match="unique labels"):
        balancing.BalanceLabels()(values)
    _, weight = InnerDistanceTransform(VOXEL, SIGMA)(values)
    assert weight[2, 2, 6] == weight[2, 2, 7]
