"""Does the gunpowder node give each patch the target of its whole volume? (gunpowder 1.4.3)"""

import doctest

import numpy as np
import pytest
from compat.standins import real

gp = real("gunpowder")
adapter = real("inner_distance_gpu.compat.gunpowder")

from funlib.persistence import Array  # noqa: E402

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, inner_distance  # noqa: E402
from inner_distance_gpu.compat.gunpowder import AddInnerDistance  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # PreCache

VOXEL_SIZE, SCALE = (8, 4, 4), 5
LABELS, MASK, TARGET, WEIGHT, RAW = (gp.ArrayKey(name) for name in ("IDS", "ANNOTATED", "INNER", "BALANCE", "EM"))


def volume(*shape, sigma=2.0, seed=3):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).standard_normal(shape)
    smooth = gaussian_filter(noise, [0] * (len(shape) - 3) + [sigma] * 3)
    return np.digitize(smooth, np.quantile(smooth, [0.5, 0.75])).astype(np.uint16) * 300


def source(key, data, interpolatable=False):
    types = ["channel", "space", "space", "space"][4 - data.ndim :]
    return gp.ArraySource(key, Array(data, (0, 0, 0), VOXEL_SIZE, types=types), interpolatable)


def sources(labels, mask=None, location=True):
    parts = (source(LABELS, labels),) if mask is None else (source(LABELS, labels), source(MASK, mask))
    joined = parts + gp.MergeProvider()
    return joined + gp.RandomLocation() if location else joined


def run(pipeline, *keys, shape=(6, 10, 10), offset=None, count=1):
    size = gp.Coordinate(shape) * gp.Coordinate(VOXEL_SIZE)
    requests = [gp.BatchRequest(random_seed=seed) for seed in range(count)]
    for request in requests:
        for key in keys:
            request[key] = gp.ArraySpec(roi=gp.Roi(offset or (0, 0, 0), size))
    with gp.build(pipeline):
        return [pipeline.request_batch(request) for request in requests]


def whole(labels):
    return inner_distance(labels, VOXEL_SIZE, scale=SCALE, engine="reference")


def part(values, roi):
    voxels = roi / gp.Coordinate(VOXEL_SIZE)
    return values[(..., *voxels.to_slices())]


def test_patches_get_the_target_of_the_whole_volume():
    labels = volume(24, 60, 60)
    expected = whole(labels)
    pipeline = sources(labels, location=False) + AddInnerDistance(LABELS, TARGET, scale=SCALE)
    for offset in [(0, 0, 0), (80, 120, 100), (144, 200, 0)]:
        (batch,) = run(pipeline, TARGET, offset=offset)
        assert batch[TARGET].data.dtype == np.float32
        assert batch[TARGET].spec.roi.offset == offset
        np.testing.assert_allclose(batch[TARGET].data, part(expected, batch[TARGET].spec.roi), rtol=0, atol=1e-6)
        assert LABELS not in batch


def test_context_is_what_makes_the_difference():
    labels = np.zeros((20, 60, 60), np.uint8)
    labels[:, :, 20:] = 1
    offset = (40, 80, 100)  # 5 voxels of 4 beyond the boundary
    for context, distance in [(None, 22.0), (24, 22.0), (0, 20.0), ((0, 0, 24), 22.0)]:
        node = AddInnerDistance(LABELS, TARGET, scale=40, context=context)
        (batch,) = run(sources(labels, location=False) + node, TARGET, offset=offset)
        assert batch[TARGET].data[0, 0, 0] == pytest.approx(np.tanh(distance / 40), abs=1e-6)


def test_prepare_asks_for_the_reach_in_whole_voxels():
    labels = volume(40, 60, 60)
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, scale=SCALE)
    with gp.build(sources(labels) + node):
        request = gp.BatchRequest()
        request[TARGET] = gp.ArraySpec(roi=gp.Roi((80, 80, 80), (48, 40, 40)))
        # 9.02 × 5 = 45.1 world units: 6 voxels of 8, 12 voxels of 4.
        assert node.prepare(request)[LABELS].roi == gp.Roi((32, 32, 32), (144, 136, 136))
        request = gp.BatchRequest()
        request[WEIGHT] = gp.ArraySpec(roi=gp.Roi((80, 80, 80), (48, 40, 40)))
        assert node.prepare(request)[LABELS].roi == gp.Roi((80, 80, 80), (48, 40, 40))


def test_weights_count_the_patch_and_not_its_context():
    labels = volume(2, 24, 60, 60)
    mask = np.zeros((24, 60, 60), np.uint8)
    mask[:, 20:50] = 1
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, MASK, scale=SCALE, channels=2)
    batches = run(sources(labels, mask) + node, LABELS, MASK, TARGET, WEIGHT, count=3)
    counts = ClassCounts.start(2, 2)
    for batch in batches:
        ids = batch[LABELS].data
        assert ids.shape == batch[TARGET].data.shape == batch[WEIGHT].data.shape == (2, 6, 10, 10)
        weights, counts = balanced_weights(
            (ids != 0).astype(np.uint8), mask=batch[MASK].data, slab=(1, -1, -1, -1), counts=counts
        )
        np.testing.assert_allclose(batch[WEIGHT].data, weights, rtol=1e-6)
    assert node.counts.to_dicts() == counts.to_dicts()


@pytest.mark.parametrize("stacked", [False, True])
def test_a_channel_per_class(stacked):
    labels, classes = volume(24, 60, 60), {"mito": (300, 600), "nucleus": 600}
    mask = np.random.default_rng(0).integers(0, 2, labels.shape).astype(np.uint8)
    whole_volume = inner_distance(labels, VOXEL_SIZE, scale=SCALE, classes=classes, engine="reference")
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, MASK, scale=SCALE, classes=classes)
    pipeline = sources(labels, mask, location=False)
    pipeline += gp.Stack(2) if stacked else node
    if stacked:
        pipeline += node
    (batch,) = run(pipeline, LABELS, MASK, TARGET, WEIGHT, offset=(80, 120, 100))
    front = (2,) if stacked else ()
    assert batch[TARGET].data.shape == batch[WEIGHT].data.shape == (*front, 2, 6, 10, 10)
    expected = part(whole_volume, batch[TARGET].spec.roi)
    np.testing.assert_allclose(batch[TARGET].data, np.broadcast_to(expected, (*front, *expected.shape)), atol=1e-6)
    transform = InnerDistanceTransform(VOXEL_SIZE, SCALE, classes=classes, engine="reference")
    _, weight = transform(batch[LABELS].data, batch[MASK].data)
    np.testing.assert_allclose(batch[WEIGHT].data, weight, rtol=1e-6)
    assert node.counts.to_dicts() == transform.counts.to_dicts()


@pytest.mark.parametrize("keywords", [{"classes": {"mito": (300, 600), "nucleus": 600}}, {"channels": 2}])
def test_a_scale_each(keywords):
    """The context is that of the largest, and each channel has the target of the whole volume at its own scale."""
    labels = volume(24, 60, 60) if "classes" in keywords else volume(2, 24, 60, 60)
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, scale=[3, 5], **keywords)
    assert node.context == 9.02 * 5
    (batch,) = run(sources(labels, location=False) + node, TARGET, WEIGHT, offset=(80, 120, 100))
    classes = keywords.get("classes")
    for channel, scale in enumerate((3, 5)):
        alone = inner_distance(labels, VOXEL_SIZE, scale=scale, classes=classes)[channel]
        np.testing.assert_array_equal(batch[TARGET].data[channel], part(alone, batch[TARGET].spec.roi))


@pytest.mark.parametrize("stacked", ["before", "after"])
def test_stack_on_either_side(stacked):
    labels = volume(24, 60, 60)
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, scale=SCALE)
    pipeline = sources(labels)
    pipeline += gp.Stack(3) if stacked == "before" else node
    pipeline += node if stacked == "before" else gp.Stack(3)
    for batch in run(pipeline, LABELS, TARGET, WEIGHT, count=2):
        assert batch[TARGET].data.shape == batch[WEIGHT].data.shape == (3, 6, 10, 10)
        assert np.array_equal(batch[TARGET].data == 0, batch[LABELS].data == 0)


def test_after_augmentations_the_distances_are_those_of_the_augmented_labels():
    labels = volume(40, 60, 60)
    augment = gp.SimpleAugment(transpose_only=[1, 2])
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, scale=SCALE)
    grown = tuple(n + 2 * k for n, k in zip((6, 10, 10), (6, 12, 12), strict=True))
    for batch in run(sources(labels) + augment + node, TARGET, WEIGHT, count=4):
        assert batch[TARGET].data.shape == (6, 10, 10)
    # The labels with their context, asked for beside the target, show what it was made of.
    request = gp.BatchRequest()
    request[TARGET] = gp.ArraySpec(roi=gp.Roi((0, 0, 0), (48, 40, 40)))
    request[LABELS] = gp.ArraySpec(roi=gp.Roi((-48, -48, -48), gp.Coordinate(grown) * gp.Coordinate(VOXEL_SIZE)))
    pipeline = sources(labels) + augment + node
    with gp.build(pipeline):
        for _ in range(4):
            batch = pipeline.request_batch(request)
            expected = whole(batch[LABELS].data)[6:-6, 12:-12, 12:-12]
            np.testing.assert_allclose(batch[TARGET].data, expected, rtol=0, atol=1e-6)


def test_elastic_augmentation():
    labels = volume(40, 80, 80)
    augment = gp.DeformAugment(gp.Coordinate(80, 80, 80), (8, 8, 8), rotate=False)
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, scale=SCALE)
    for batch in run(sources(labels) + augment + node, LABELS, TARGET, WEIGHT, count=2):
        assert np.array_equal(batch[TARGET].data == 0, batch[LABELS].data == 0)


def test_padding_is_unannotated_with_ignore_label():
    labels = np.ones((24, 40, 40), np.uint16)
    labels[:, :, 30:] = 2
    pad = gp.Pad(LABELS, None, value=999)
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, scale=SCALE, ignore_label=999)
    (batch,) = run(sources(labels, location=False) + pad + node, TARGET, WEIGHT, offset=(0, -20, 100))
    assert not batch[TARGET].data[:, :5].any()
    assert not batch[WEIGHT].data[:, :5].any()
    expected = part(whole(labels), gp.Roi((0, 0, 100), (48, 20, 40)))
    np.testing.assert_allclose(batch[TARGET].data[:, 5:], expected, rtol=0, atol=1e-6)


def test_in_a_precache_with_two_workers():
    labels, mask = volume(24, 60, 60), np.ones((24, 60, 60), np.uint8)
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, MASK, scale=SCALE)
    pipeline = sources(labels, mask) + node + gp.PreCache(cache_size=4, num_workers=2) + gp.Stack(2)
    batches = run(pipeline, LABELS, TARGET, WEIGHT, count=3)
    assert len(batches) == 3
    for batch in batches:
        assert batch[TARGET].data.shape == (2, 6, 10, 10)
        assert np.array_equal(batch[TARGET].data == 0, batch[LABELS].data == 0)
        assert (batch[WEIGHT].data > 0).all()


def test_a_request_without_target_or_weight_passes_through():
    labels = volume(24, 60, 60)
    node = AddInnerDistance(LABELS, TARGET, WEIGHT, scale=SCALE)
    (batch,) = run(sources(labels) + node, LABELS)
    assert batch[LABELS].data.shape == (6, 10, 10)
    assert node.counts.to_dicts() == ClassCounts.start(1, 2).to_dicts()


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "message"),
    [
        ((LABELS, "TARGET"), {"scale": 5}, TypeError, "target='TARGET': expected a gunpowder.ArrayKey"),
        ((LABELS, TARGET, None, MASK), {"scale": 5}, ValueError, "without a weight key"),
        ((LABELS, TARGET), {"scale": None}, ValueError, "context=None with scale=None"),
        ((LABELS, TARGET), {"scale": 5, "context": -1}, ValueError, "context=-1"),
        ((LABELS, TARGET), {"scale": 5, "context": "far"}, TypeError, "context='far'"),
        ((LABELS, TARGET), {"scale": 5, "engine": "gpu"}, ValueError, "engine='gpu'"),
        ((LABELS, TARGET), {"scale": -5}, ValueError, "scale=-5"),
        ((LABELS, TARGET), {"scale": [5, 3]}, ValueError, r"scale=\[5, 3\] has 2 numbers: expected 1 numbers"),
        ((LABELS, TARGET), {"scale": [5, 3], "channels": 3}, ValueError, "has 2 numbers: expected 3"),
        ((LABELS, TARGET), {"scale": [5, None], "classes": [1, 2]}, TypeError, "none of them None"),
        ((LABELS, TARGET), {"scale": 5, "classes": []}, ValueError, r"classes=\[\] is empty"),
        ((LABELS, TARGET), {"scale": 5, "classes": [1, 2], "channels": 3}, ValueError, "channels=3 with 2 classes"),
    ],
)
def test_arguments_are_checked(arguments, keywords, error, message):
    with pytest.raises(error, match=message):
        AddInnerDistance(*arguments, **keywords)


def test_the_examples_in_the_docstrings_run():
    result = doctest.testmod(adapter)
    assert result.attempted > 0
    assert result.failed == 0
