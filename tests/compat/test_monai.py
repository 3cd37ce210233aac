"""Does the MONAI transform keep MetaTensors, take their spacing and fit into MONAI's Compose? (MONAI 1.6.1)"""

import doctest
import pickle

import numpy as np
import pytest
import torch
from compat.standins import real

monai = real("monai")
adapter = real("inner_distance_gpu.compat.monai")

from monai.data import CacheDataset, DataLoader, MetaTensor  # noqa: E402
from monai.transforms import Compose, EnsureChannelFirstd, Flipd, RandSpatialCropd, Spacingd  # noqa: E402

from inner_distance_gpu import InnerDistanceTransform, LabelWarning, inner_distance  # noqa: E402
from inner_distance_gpu.compat.monai import InnerDistanced  # noqa: E402

SPACING = (4.0, 1.5, 2.0)
# A rotated grid: the spacing is the length of the affine's columns, and none of its diagonal entries.
TURN = np.array([[0, -1, 0, 3], [1, 0, 0, 5], [0, 0, -1, 7], [0, 0, 0, 1.0]])


def labels(seed=0, shape=(1, 8, 9, 10)):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 3, shape))


def meta(values, spacing=SPACING):
    return MetaTensor(values, affine=torch.from_numpy(TURN @ np.diag([*spacing, 1])), meta={"name": "cell 7"})


def test_the_spacing_is_that_of_the_image():
    values = labels()
    made = InnerDistanced("label", 10, weight_keys="weight", moving=False)({"label": meta(values), "id": 3})
    target, weight = InnerDistanceTransform(SPACING, 10, moving=False)(values)
    assert made["id"] == 3
    for name, expected in (("label", target), ("weight", weight)):
        assert isinstance(made[name], MetaTensor)
        assert made[name].dtype == torch.float32
        assert made[name].meta["name"] == "cell 7"
        torch.testing.assert_close(made[name].pixdim, torch.tensor(SPACING, dtype=torch.float64))
        assert torch.equal(made[name].as_tensor(), expected)


def test_a_sheared_affine_is_said_once():
    affine = torch.eye(4, dtype=torch.float64)
    affine[0, 1] = 0.5
    transform = InnerDistanced("label", 10)
    with pytest.warns(LabelWarning, match="'label' has a sheared affine"):
        transform({"label": MetaTensor(labels(), affine=affine)})
    transform({"label": MetaTensor(labels(), affine=affine)})
    InnerDistanced("label", 10, (1, 1, 1))({"label": MetaTensor(labels(), affine=affine)})


def test_a_named_voxel_size_wins_and_plain_arrays_need_one():
    values = labels()
    expected = inner_distance(values, (1, 2, 3), scale=10)
    named = InnerDistanced("label", 10, (1, 2, 3), target_keys="target")
    assert torch.equal(named({"label": meta(values)})["target"].as_tensor(), expected)
    for plain in (values, values.numpy()):
        made = named({"label": plain})
        assert made["label"] is plain
        assert type(made["target"]) is type(plain)
        np.testing.assert_array_equal(made["target"], expected)
        with pytest.raises(ValueError, match=r"'label' is a (Tensor|ndarray), which has no spacing: .*voxel_size="):
            InnerDistanced("label", 10)({"label": plain})


def test_two_dimensions():
    values = labels(shape=(1, 9, 10))
    image = MetaTensor(values, affine=torch.diag(torch.tensor([3.0, 2, 1])))
    made = InnerDistanced("label", 10, spatial_dims=2)({"label": image})["label"]
    assert torch.equal(made.as_tensor(), inner_distance(values, (3, 2), scale=10))


def test_a_channel_per_class():
    """Of one sample and of a batch, classes take the place of the channel."""
    values, classes = labels(), {"mito": (1, 2), "nucleus": 2}
    node = InnerDistanced("label", 10, target_keys="target", weight_keys="weight", classes=classes, moving=False)
    target, weight = InnerDistanceTransform(SPACING, 10, classes=classes, moving=False)(values[0])
    assert target.shape == (2, 8, 9, 10)
    made = node({"label": meta(values)})
    for name, expected in (("target", target), ("weight", weight)):
        assert isinstance(made[name], MetaTensor)
        assert torch.equal(made[name].as_tensor(), expected)
    named = InnerDistanced("label", 10, SPACING, target_keys="target", classes=classes)
    batch = named({"label": torch.stack([values, values])})["target"]
    assert torch.equal(batch, torch.stack([target, target]))
    with pytest.raises(ValueError, match=r"'label' has shape \(2, 8, 9, 10\): expected one channel with classes="):
        named({"label": torch.cat([values, values])})


def test_a_scale_each():
    """Per class, and per channel."""
    values, classes = labels(), {"mito": (1, 2), "nucleus": 2}
    target = InnerDistanced("label", [10, 3], SPACING, classes=classes)({"label": values})["label"]
    both = labels(shape=(2, 8, 9, 10))
    channels = InnerDistanced("label", [10, 3], SPACING, channels=2)({"label": both})["label"]
    for channel, scale in enumerate((10, 3)):
        assert torch.equal(target[channel], inner_distance(values[0], SPACING, scale=scale, classes=classes)[channel])
        assert torch.equal(channels[channel], inner_distance(both, SPACING, scale=scale)[channel])
    with pytest.raises(ValueError, match=r"scale=\[10, 3\] has 2 numbers: expected 3"):
        InnerDistanced("label", [10, 3], classes=[1, 2, 3])


def test_several_keys_count_for_themselves():
    node = InnerDistanced(["a", "b"], 10, target_keys=["ta", "tb"], weight_keys=["wa", "wb"])
    first, second = labels(1), labels(2) * 0
    made = node({"a": meta(first), "b": meta(second)})
    assert set(made) == {"a", "b", "ta", "tb", "wa", "wb"}
    assert node.transforms["b"].counts.numerators.tolist() == [[720, 0]]
    assert node.transforms["a"].counts.numerators[0, 1] == (first != 0).sum()
    with pytest.raises(KeyError):
        node({"a": meta(first)})
    allowed = InnerDistanced(["a", "b"], 10, allow_missing_keys=True)
    assert set(allowed({"a": meta(first)})) == {"a"}


def test_in_monais_own_pipeline():
    """After resampling the spacing is the new one, and after a crop the border is that of the crop."""
    pipeline = Compose(
        [
            EnsureChannelFirstd("label", channel_dim="no_channel"),
            Spacingd("label", pixdim=(2, 2, 2), mode="nearest"),
            Flipd("label", spatial_axis=1),
            RandSpatialCropd("label", roi_size=(6, 6, 6), random_size=False),
            InnerDistanced("label", 10, target_keys="target", weight_keys="weight", moving=False),
        ]
    ).set_random_state(0)
    data = [{"label": meta(labels(seed, (12, 16, 14)))} for seed in range(3)]
    loader = DataLoader(CacheDataset(data, pickle.loads(pickle.dumps(pipeline)), progress=False), batch_size=3)
    (batch,) = list(loader)
    assert batch["target"].shape == batch["label"].shape == (3, 1, 6, 6, 6)
    assert isinstance(batch["target"], MetaTensor)
    for target, made in zip(batch["target"], batch["label"], strict=True):
        expected = inner_distance(made.as_tensor(), (2, 2, 2), scale=10)
        torch.testing.assert_close(target.as_tensor(), expected, rtol=0, atol=1e-6)
    again = InnerDistanced("label", 10)({"label": batch["label"]})["label"]
    torch.testing.assert_close(again.as_tensor(), batch["target"].as_tensor(), rtol=0, atol=1e-6)


def test_a_batch_of_several_spacings_is_refused():
    from monai.data.utils import collate_meta_tensor

    batch = collate_meta_tensor([meta(labels()), meta(labels(), (1, 1, 1))])
    with pytest.raises(ValueError, match=r"'label' of shape \(2, 1, 8, 9, 10\) has the spacings .* expected one"):
        InnerDistanced("label", 10)({"label": batch})


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"scale": -1}, ValueError, "scale=-1"),
        ({"scale": 1, "voxel_size": (1, 0)}, ValueError, "voxel_size"),
        ({"scale": 1, "spatial_dims": 4}, ValueError, "spatial_dims=4"),
        ({"scale": 1, "engine": "gpu"}, ValueError, "engine='gpu'"),
        ({"scale": 1, "weight_keys": ["a", "b"]}, ValueError, "2"),
        ({"scale": 1, "sigma": 3}, TypeError, "sigma"),
    ],
)
def test_arguments_are_checked(keywords, error, message):
    with pytest.raises(error, match=message):
        InnerDistanced("label", **keywords)


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(adapter)
    assert result.attempted > 0
    assert result.failed == 0


def one_hot_images(batch=0):
    """Two channels of a 2D image, with the 4 × 4 affine that MONAI's readers make for images too."""
    shape = (batch, 2, 6, 8) if batch else (2, 6, 8)
    values = torch.from_numpy(np.random.default_rng(5).integers(0, 2, shape))
    affine = torch.diag(torch.tensor([3.0, 2, 7, 1], dtype=torch.float64))
    if not batch:
        return MetaTensor(values, affine=affine)
    from monai.data.utils import collate_meta_tensor

    return collate_meta_tensor([MetaTensor(sample, affine=affine) for sample in values])


@pytest.mark.parametrize("batch", [0, 3])
def test_channels_are_never_taken_for_z(batch):
    labels_2d = one_hot_images(batch)
    for keywords in ({}, {"voxel_size": (4, 4, 4)}):
        with pytest.raises(
            ValueError, match=r"'label' has shape \((3, )?2, 6, 8\).*expected \(channel, z, y, x\).*3 spatial"
        ):
            InnerDistanced("label", 10, **keywords)({"label": labels_2d})
    made = InnerDistanced("label", 10, spatial_dims=2)({"label": labels_2d})["label"]
    assert torch.equal(made.as_tensor(), inner_distance(labels_2d.as_tensor(), (3, 2), scale=10))


def test_z_is_never_taken_for_channels():
    for keywords in ({"spatial_dims": 2}, {"voxel_size": (4, 4)}):
        with pytest.raises(ValueError, match=r"has shape \(1, 8, 9, 10\): expected \(channel, y, x\)"):
            InnerDistanced("label", 10, **keywords)({"label": meta(labels())})
    for plain in (labels()[0], labels()[0].numpy()):
        with pytest.raises(ValueError, match=r"has shape \(8, 9, 10\): expected \(channel, z, y, x\)"):
            InnerDistanced("label", 10, (4, 4, 4))({"label": plain})
    stacked = MetaTensor(torch.stack([labels(), labels(1)]), affine=torch.eye(4, dtype=torch.float64))
    made = InnerDistanced("label", 10)({"label": stacked})["label"]  # five axes can only be a batch
    assert torch.equal(made.as_tensor(), inner_distance(stacked.as_tensor(), (1, 1, 1), scale=10))


def test_two_dimensions_cut_out_of_a_volume():
    """The columns of a 4 × 4 affine have the spacing of the first axes, whichever way they point."""
    values = labels(shape=(2, 9, 10))
    affine = np.array([[0, 0, 5, 1], [3, 0, 0, 1], [0, 2, 0, 1], [0, 0, 0, 1.0]])
    image = MetaTensor(values, affine=torch.from_numpy(affine))
    made = InnerDistanced("label", 10, spatial_dims=2)({"label": image})["label"]
    assert torch.equal(made.as_tensor(), inner_distance(values, (3, 2), scale=10))
