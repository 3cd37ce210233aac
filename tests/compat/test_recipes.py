"""Do the recipes of docs/training.md run with the real packages, and give our targets?"""

import logging
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from compat.standins import real

PACKAGES = ["gunpowder", "dacapo_toolbox.dataset", "cellmap_data", "monai.transforms", "torch_em.data"]
PACKAGES += ["pytorch_lightning", "torchvision.transforms.v2"]
for name in PACKAGES:
    real(name)

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, inner_distance  # noqa: E402

VOXEL = (40, 4, 4)
PAGE = Path(__file__).parents[2] / "docs" / "training.md"
SECTIONS = ("dacapo-toolbox", "cellmap-data", "MONAI", "torch_em", "Lightning", "torchvision")


@pytest.fixture(scope="module")
def blocks():
    """Section -> the code in it."""
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"^#+ (.*)$", text, flags=re.MULTILINE)
    code = {
        title: "\n".join(re.findall(r"```python\n(.*?)```", body, re.DOTALL))
        for title, body in zip(parts[1::2], parts[2::2], strict=True)
    }
    assert [title for title in code if title in SECTIONS] == list(SECTIONS)
    return code


@pytest.fixture
def run(blocks):
    def run(section):
        names = {"__name__": __name__}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            for title in ("In the training loop", section):
                exec(compile("import numpy as np\n" + blocks[title], str(PAGE), "exec"), names)
        return names

    return run


def test_dacapo_toolbox(run):
    batch = run("dacapo-toolbox")["batch"]
    labels = batch["gt"]
    assert labels.shape == (8, 32, 32)
    assert torch.equal(batch["target"], inner_distance(labels, VOXEL, scale=50, background="signed"))
    expected = InnerDistanceTransform(VOXEL, 50)(labels)
    assert torch.equal(batch["inner"], expected[0])
    assert torch.equal(batch["weight"], expected[1])


def test_torch_em(run):
    names = run("torch_em")
    assert names["raw"].shape == (1, 8, 32, 32)
    dataset, seen = names["dataset"], []
    dataset.label_transform2 = lambda labels: seen.append(labels.copy()) or names["target_and_weight"](labels)
    names["transform"].counts.reset()
    _, (target, weight) = dataset[1]
    expected = InnerDistanceTransform(VOXEL, 50)(seen[0])
    np.testing.assert_array_equal(target, expected[0])
    np.testing.assert_array_equal(weight, expected[1])


@pytest.mark.filterwarnings("ignore::pytorch_lightning.utilities.warnings.PossibleUserWarning")
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.filterwarnings("ignore:.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_lightning(run, tmp_path):
    names = run("Lightning")
    lightning = names["lightning"]
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    module, samples = names["Lightning"](), names["Patches"]()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path
    )
    trainer.fit(module, torch.utils.data.DataLoader(samples, batch_size=2))
    assert trainer.global_step == 2
    expected = InnerDistanceTransform(VOXEL, 50)
    for i in range(4):
        expected(samples[i]["labels"])
    # One count per call: each batch pools two samples, and starts nothing anew.
    assert module.targets.counts.to_dicts() == expected.counts.to_dicts()
    (checkpoint,) = tmp_path.rglob("*.ckpt")
    restored = names["Lightning"].load_from_checkpoint(checkpoint, weights_only=True)
    assert restored.targets.counts.to_dicts() == module.targets.counts.to_dicts()
    assert restored.targets.counts.to_dicts() != ClassCounts.start(1, 2).to_dicts()


def test_torchvision(run):
    names = run("torchvision")
    sample = names["sample"]
    assert sample["raw"].shape == sample["target"].shape == (8, 32, 32)
    labels = torch.Tensor(sample["labels"]).as_subclass(torch.Tensor)
    assert torch.equal(sample["target"], inner_distance(labels, VOXEL, scale=50))
    assert float(sample["weight"].min()) > 0


def test_monai(run):
    sample = run("MONAI")["sample"]
    expected = inner_distance(torch.as_tensor(np.asarray(sample["label"])), VOXEL, scale=50)
    np.testing.assert_array_equal(np.asarray(sample["target"]), expected)
    assert np.asarray(sample["weight"]).min() > 0


def zarr_image(path, values, translation=(0, 0, 0)):
    import zarr

    group = zarr.open_group(str(path), mode="w")
    group.create_dataset("s0", data=values, chunks=values.shape)
    transformations = [{"type": "scale", "scale": [8, 8, 8]}, {"type": "translation", "translation": list(translation)}]
    group.attrs["multiscales"] = [
        {
            "axes": [{"name": name, "type": "space"} for name in "zyx"],
            "datasets": [{"path": "s0", "coordinateTransformations": transformations}],
        }
    ]


@pytest.fixture
def cellmap(tmp_path):
    """Raw data, and nuclei annotated in a crop that is smaller than a patch; nobody annotated mitochondria."""
    rng = np.random.default_rng(3)
    zarr_image(tmp_path / "raw", rng.integers(0, 255, (24, 24, 24)).astype(np.uint8))
    crop = rng.integers(0, 2, (12, 14, 16)).astype(np.uint8)
    zarr_image(tmp_path / "nucleus", crop, (48, 40, 32))
    return str(tmp_path / "raw"), str(tmp_path / "[nucleus,mito]"), crop


def test_cellmap_data(run, cellmap):
    raw_path, target_path, crop = cellmap
    names = run("cellmap-data")
    dataset, plain = (names["cellmap_dataset"](raw_path, target_path, each) for each in (names["to_target"], None))
    assert len(dataset) == len(plain) > 0
    target, labels = dataset[0]["output"], plain[0]["output"]
    assert target.shape == labels.shape == (2, 16, 16, 16)
    annotated = ~torch.isnan(labels)
    assert annotated[0].sum() == crop.size
    assert not annotated[1].any()
    assert torch.equal(torch.isnan(target), ~annotated)
    inside = labels[0][annotated[0]].reshape(crop.shape)
    np.testing.assert_array_equal(inside, crop)
    # What nobody annotated makes no boundary: the crop alone has the same target.
    expected = inner_distance(crop, (8, 8, 8), scale=50)
    np.testing.assert_allclose(target[0][annotated[0]].reshape(crop.shape), expected, rtol=0, atol=1e-6)


def test_cellmap_data_with_weights(run, cellmap):
    raw_path, target_path, crop = cellmap
    names = run("cellmap-data")
    (batch, *_) = names["cellmap_batches"](raw_path, target_path)
    annotated = ~torch.isnan(batch["output"])
    assert batch["target"].shape == batch["weight"].shape == batch["output"].shape
    assert torch.equal(batch["weight"] > 0, annotated)
    assert not batch["target"][~annotated].any()
    counts = names["with_weights"].transform.counts
    assert counts.numerators[1].tolist() == [0, 0]
    assert counts.denominators[0, 0] % crop.size == 1
