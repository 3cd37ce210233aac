"""Are channels of classes the stack of binary volumes, bit for bit, on every engine and through every way in?"""

import copy
import pickle

import numpy as np
import pytest
import torch
from cases import DTYPES, cases
from class_strategies import UNANNOTATED, class_lists, stack_of
from host_launcher import HostLauncher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyword_strategies import labels_with, masks

from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance
from inner_distance_gpu.labels import as_label

HOST = ["reference", *(["cpu"] if engines.available()["cpu"] is None else [])]
ENGINES = [*HOST, "cuda", "cucim"]
SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=60, **SETTINGS)
@given(case=cases(), data=st.data())
def test_targets_are_those_of_the_stack(on_host, engine, case, data):
    on_host(HostLauncher())
    labels, keywords = case
    dims, ignored = len(keywords["voxel_size"]), keywords["ignore_label"]
    classes = data.draw(class_lists(labels.dtype, ignored))
    if labels.size * len(classes) > 200_000:
        classes = classes[:3]
    expected = inner_distance(
        stack_of(labels, classes, dims, ignored), **keywords | {"ignore_label": UNANNOTATED}, engine=engine
    )
    result = inner_distance(labels, **keywords, classes=classes, engine=engine)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=40, **SETTINGS)
@given(data=st.data())
def test_weights_and_counts_are_those_of_the_stack(on_host, engine, data):
    on_host(HostLauncher())
    dims = data.draw(st.sampled_from([2, 3]))
    labels = data.draw(labels_with(dims))
    ignored = data.draw(st.sampled_from([None, 0, 3]))
    classes = data.draw(class_lists(labels.dtype, ignored))
    plain = labels.squeeze(-dims - 1) if labels.ndim > dims + 1 and labels.shape[-dims - 1] == 1 else labels
    stack = stack_of(plain, classes, dims, ignored)
    mask = data.draw(masks(plain, dims) | masks(stack, dims))
    of_stack = mask
    if mask is not None and mask.ndim < stack.ndim:  # it is that of every class
        of_stack = np.expand_dims(mask, mask.ndim - dims)
    keywords = {
        "scale": data.draw(st.sampled_from([None, 0.7, 5.0])),
        "background": data.draw(st.sampled_from(["zero", "signed", "times_label"])),
        "border": data.draw(st.sampled_from(["keep", "mask"])),
        "moving": data.draw(st.booleans()),
        "threads": data.draw(st.sampled_from([None, 1, 2])),
        "engine": engine,
    }
    sizes = data.draw(st.sampled_from([(1.0,) * dims, (4.0, 3.7, 2.0)[:dims]]))
    ours = InnerDistanceTransform(sizes, classes=classes, ignore_label=ignored, **keywords)
    theirs = InnerDistanceTransform(sizes, channels=len(classes), ignore_label=UNANNOTATED, **keywords)
    for _ in range(2):  # counts move on
        result, expected = ours(labels, mask), theirs(stack, of_stack)
        for made, same in zip(result, expected, strict=True):
            np.testing.assert_array_equal(made, same)
        assert ours.counts.shape == (len(classes), 2)
        assert torch.equal(ours.counts.state(), theirs.counts.state())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type(on_host, engine, dtype):
    """Ids at both ends of what a type holds."""
    on_host(HostLauncher())
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        ends = [int(np.iinfo(kind).min), int(np.iinfo(kind).max)]
    else:
        ends = [0, 1] if kind.kind == "b" else [-2048, 2048]
    ids = [*ends, 1, 0]
    labels = np.array([as_label(i, kind.newbyteorder("=")) for i in ids * 35], kind.newbyteorder("=")).reshape(4, 35)
    classes = [ends[0], [ends[1], 1], ids, [1]]
    expected = inner_distance(np.stack([np.isin(labels, ids) for ids in classes]), (2, 3), scale=4, engine=engine)
    result = inner_distance(labels.astype(kind), (2, 3), scale=4, classes=classes, engine=engine)
    np.testing.assert_array_equal(result, expected)
    assert not np.array_equal(result[0], result[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_many_ids_and_many_classes(on_host, engine):
    """More ids than a byte counts, more classes than a word has bits, several words in a row and segments along z."""
    on_host(HostLauncher())
    generator = np.random.default_rng(0)
    labels = np.kron(generator.integers(0, 900, (9, 4, 9)), np.ones((4, 3, 8), np.int64))
    order = generator.permutation(np.arange(1, 900)).tolist()
    classes = [order[i::70] for i in range(70)]
    expected = inner_distance(stack_of(labels, classes, 3, None), (40, 4, 4), scale=30, engine=engine)
    np.testing.assert_array_equal(
        inner_distance(labels, (40, 4, 4), scale=30, classes=classes, engine=engine), expected
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.uint16, torch.bool])
@pytest.mark.parametrize("engine", ENGINES)
def test_torch(on_host, engine, dtype):
    on_host(HostLauncher())
    labels = torch.from_numpy(np.random.default_rng(1).integers(0, 2 if dtype == torch.bool else 4, (2, 9, 40)))
    classes = [1, [0, 1]] if dtype == torch.bool else [(1, 3), 2, 0]
    expected = inner_distance(stack_of(labels, classes, 2, None), (4, 4), scale=9, engine=engine)
    result = inner_distance(labels.to(dtype), (4, 4), scale=9, classes=classes, engine=engine)
    assert result.dtype == torch.float32
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("engine", ENGINES)
def test_out_and_empty_batches(on_host, engine):
    on_host(HostLauncher())
    labels = np.random.default_rng(2).integers(0, 4, (2, 7, 9))
    out = np.empty((2, 3, 9, 7), np.float32).swapaxes(-1, -2)
    expected = inner_distance(labels, (1, 1), classes=[1, 2, 3], engine=engine)
    assert inner_distance(labels, (1, 1), classes=[1, 2, 3], engine=engine, out=out) is out
    np.testing.assert_array_equal(out, expected)
    with pytest.raises(ValueError, match=r"\(2, 7, 9\) on cpu: expected a writable .* shape \(2, 3, 7, 9\)"):
        inner_distance(labels, (1, 1), classes=[1, 2, 3], engine=engine, out=np.empty((2, 7, 9), np.float32))
    transform = InnerDistanceTransform((1, 1), 5, classes=[1, 2, 3], engine=engine)
    target, weight = transform(labels[:0])
    assert target.shape == weight.shape == (0, 3, 7, 9)
    assert transform.counts.to_dicts() == [{0: (0, 1.0), 1: (0, 1.0)}] * 3


def test_waves_and_threads():
    """More classes than are searched together, and bits of the border that the waves share."""
    labels = np.random.default_rng(7).integers(0, 4, (6, 130, 140)) * (np.random.default_rng(8).random((6, 1, 1)) < 0.7)
    classes, mask = [1, 2, (1, 3), 3, (1, 2, 3)] * 8, np.random.default_rng(9).integers(0, 2, labels.shape)
    for own in (None, mask):
        expected = None
        for threads in (1, 2):
            keywords = {"border": "mask", "engine": "cpu", "threads": threads}
            ours = InnerDistanceTransform((40, 4, 4), 30, classes=classes, **keywords)
            found = [*ours(labels, own), ours.counts.state()]
            if expected is None:
                stack = stack_of(labels, classes, 3, None)
                theirs = InnerDistanceTransform((40, 4, 4), 30, channels=40, **keywords)
                expected = [*theirs(stack, None if own is None else own[None]), theirs.counts.state()]
            for made, same in zip(found, expected, strict=True):
                np.testing.assert_array_equal(made, same)


@pytest.mark.parametrize("engine", HOST)
def test_where_the_axis_goes(engine):
    labels = np.random.default_rng(3).integers(0, 4, (5, 6, 7, 8))
    transform = InnerDistanceTransform((1, 1, 1), 5, classes={"a": (1, 2), "b": 3}, moving=False, engine=engine)
    assert transform.channels == 2
    expected = transform(labels)
    assert expected[0].shape == (5, 2, 6, 7, 8)
    for made, same in zip(transform(labels[:, None]), expected, strict=True):
        np.testing.assert_array_equal(made, same)
    assert transform(labels[:1])[0].shape == (1, 2, 6, 7, 8)  # a batch of one
    assert transform(labels[0])[0].shape == (2, 6, 7, 8)
    assert transform(labels[:4].reshape(2, 2, 6, 7, 8))[0].shape == (2, 2, 2, 6, 7, 8)
    assert inner_distance(labels[:, None], (1, 1, 1), classes=[1], engine=engine).shape == (5, 1, 1, 6, 7, 8)


@pytest.mark.parametrize("engine", HOST)
def test_masks_with_and_without_the_axis(engine):
    labels = np.random.default_rng(4).integers(0, 4, (3, 1, 6, 7))
    transform = InnerDistanceTransform((1, 1), 5, classes=[1, 2], moving=False, engine=engine)
    mask = np.random.default_rng(5).integers(0, 2, (3, 6, 7)).astype(np.uint8)
    expected = transform(labels, mask)[1]
    for same in (mask[:, None], np.stack([mask, mask], 1)):
        np.testing.assert_array_equal(transform(labels, same)[1], expected)
    own = np.stack([mask, np.zeros_like(mask)], 1)
    weight = transform(labels, own)[1]
    np.testing.assert_array_equal(weight[:, 0], expected[:, 0])
    assert not weight[:, 1].any()


def test_what_a_transform_with_classes_remembers():
    transform = InnerDistanceTransform((1, 1), 5, classes={"a": (1, 2), "b": 3})
    labels = np.random.default_rng(6).integers(0, 4, (2, 6, 7))
    transform(labels)
    assert "classes={'a': (1, 2), 'b': (3,)}" in repr(transform)
    others = [pickle.loads(pickle.dumps(transform)), copy.deepcopy(transform)]
    expected = transform(labels)
    for other in others:
        assert other.classes == transform.classes
        for made, same in zip(other(labels), expected, strict=True):
            np.testing.assert_array_equal(made, same)
        assert torch.equal(other.counts.state(), transform.counts.state())
