"""Is a channel with a scale of its own the channel of a call with that scale alone?"""

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode

from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance
from inner_distance_gpu.engines import cpu

ENGINES = [name for name in ("cpu", "reference") if engines.available()[name] is None]
LABELS = torch.from_numpy(np.random.default_rng(0).integers(0, 4, (3, 4, 6, 9, 10)))


@pytest.mark.parametrize("border", ["keep", "mask"])
@pytest.mark.parametrize("scales", [[50, 20, 50, 20], [50, 50, 20, 7], [5, 9, 9, 5], (9.0, 8.0, 7.0, 6.0)])
@pytest.mark.parametrize("engine", ENGINES)
def test_channels(engine, scales, border):
    keywords = {"channels": 4, "engine": engine, "border": border}
    together = InnerDistanceTransform((8, 4, 4), scales, **keywords)
    target, weight = together(LABELS)
    for channel, scale in enumerate(scales):
        alone = InnerDistanceTransform((8, 4, 4), scale, **keywords)
        expected, expected_weight = alone(LABELS)
        assert torch.equal(target[:, channel], expected[:, channel])
        assert torch.equal(weight, expected_weight), "weights do not depend on the scale"
        assert torch.equal(together.counts.state(), alone.counts.state())
    assert not torch.equal(target, InnerDistanceTransform((8, 4, 4), max(scales), **keywords)(LABELS)[0])


@pytest.mark.parametrize("scales", [[50, 20, 50], (9, 8, 9), np.array([5.0, 5.0, 7.0])])
@pytest.mark.parametrize("engine", ENGINES)
def test_classes(engine, scales):
    classes = {"a": 1, "b": (1, 2), "c": 3}
    labels = LABELS[:, 0]
    target, weight = InnerDistanceTransform((8, 4, 4), scales, classes=classes, engine=engine)(labels)
    whole = inner_distance(labels, (8, 4, 4), scale=scales, classes=classes, engine=engine)
    assert torch.equal(target, whole)
    for channel, scale in enumerate(scales):
        alone = inner_distance(labels, (8, 4, 4), scale=float(scale), classes=classes, engine=engine)
        assert torch.equal(target[:, channel], alone[:, channel])
    assert torch.equal(weight, InnerDistanceTransform((8, 4, 4), 1, classes=classes, engine=engine)(labels)[1])
    out = torch.empty(target.shape)
    assert inner_distance(labels, (8, 4, 4), scale=scales, classes=classes, engine=engine, out=out) is out
    assert torch.equal(out, target)


def test_with_a_voxel_size_per_sample():
    sizes, scales = [(8, 4, 4), (4, 4, 4), (8, 4, 4)], [20, 30, 20, 9]
    target, _ = InnerDistanceTransform((1, 1, 1), scales, channels=4)(LABELS, voxel_size=sizes)
    for sample, size in enumerate(sizes):
        for channel, scale in enumerate(scales):
            assert torch.equal(target[sample, channel], inner_distance(LABELS[sample, channel], size, scale=scale))


def test_equal_scales_go_to_the_engine_together(monkeypatch):
    calls, real = [], cpu.run
    monkeypatch.setattr(
        cpu,
        "run",
        lambda task, arrays, threads: (calls.append(tuple(arrays.labels.shape[:2])), real(task, arrays, threads)),
    )
    InnerDistanceTransform((8, 4, 4), [50, 20, 50, 20], channels=4, engine="cpu")(LABELS)
    assert calls == [(3, 2), (3, 2), (3, 4)]
    calls.clear()
    InnerDistanceTransform((8, 4, 4), [50, 50, 50, 50], channels=4, engine="cpu")(LABELS)
    assert calls == [(3, 4)]


def test_one_scale_in_a_list():
    target, _ = InnerDistanceTransform((4, 4), [50])(LABELS[0, 0, 0])
    assert torch.equal(target, inner_distance(LABELS[0, 0, 0], (4, 4), scale=50))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: InnerDistanceTransform((4, 4), [50, 20], channels=3),
            ValueError,
            r"scale=\[50, 20\] has 2 numbers: expected 3",
        ),
        (lambda: InnerDistanceTransform((4, 4), [50, 20]), ValueError, "has 2 numbers: expected 1 numbers"),
        (lambda: InnerDistanceTransform((4, 4), [50, 20, 9], classes=[1, 2]), ValueError, "has 3 numbers: expected 2"),
        (lambda: InnerDistanceTransform((4, 4), [], channels=2), ValueError, "has 0 numbers"),
        (lambda: InnerDistanceTransform((4, 4), [50, None], channels=2), TypeError, "none of them None"),
        (lambda: InnerDistanceTransform((4, 4), [50, 0], channels=2), ValueError, "scale=0: expected a positive"),
        (lambda: InnerDistanceTransform((4, 4), [50, "20"], channels=2), TypeError, "scale='20'"),
        (lambda: inner_distance(LABELS, (4, 4), scale=[50, 20]), ValueError, "expected one number, or classes"),
        (lambda: inner_distance(LABELS, (4, 4), scale=[50], classes=[1, 2]), ValueError, "has 1 numbers: expected 2"),
    ],
)
def test_lists_that_do_not_fit(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_in_a_compiled_graph():
    channels = InnerDistanceTransform((8, 4, 4), [50, 20, 9, 9], channels=4, engine="cpu", border="mask")
    classes = InnerDistanceTransform((8, 4, 4), [50, 20], classes=[1, (1, 2)], engine="cpu", weights=False)
    for transform, labels in ((channels, LABELS), (classes, LABELS[:, 0])):
        expected = transform(labels)
        found = torch.compile(transform, backend="eager", fullgraph=True)(labels)
        assert all(map(torch.equal, *((x,) if isinstance(x, torch.Tensor) else x for x in (found, expected)))) or (
            transform is channels and torch.equal(found[0], expected[0])
        )
    function = torch.compile(
        lambda labels: inner_distance(labels, (8, 4, 4), scale=[50, 20], classes=[1, 2]),
        backend="eager",
        fullgraph=True,
    )
    assert torch.equal(function(LABELS), inner_distance(LABELS, (8, 4, 4), scale=[50, 20], classes=[1, 2]))
    assert "scale=(50.0, 20.0, 9.0, 9.0)" in repr(channels)


def test_in_an_exported_graph():
    transform = InnerDistanceTransform((8, 4, 4), [50, 20], classes=[1, (1, 2)], engine="cpu", weights=False)
    exported = torch.export.export(transform, (LABELS[:, 0],))
    assert "[50.0, 20.0])" in str(exported.graph)
    assert torch.equal(exported.module()(LABELS[:, 0]), transform(LABELS[:, 0]))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"scale": [50, 20, 9], "classes": [1, 2]}, "has 3 numbers: expected 2 numbers"),
        ({"scale": [50, 50, 50], "classes": [1, 2]}, "has 3 numbers: expected 2 numbers"),
        ({"scale": [50], "classes": [1, 2]}, "has 1 numbers: expected 2 numbers"),
        ({"scale": [50, 20]}, "has 2 numbers: expected one number, or classes"),
        ({"scale": [50, 20, 9, 7]}, "has 4 numbers: expected one number, or classes"),
        ({"scale": [50, -20], "classes": [1, 2]}, "scale=-20"),
    ],
)
def test_errors_are_found_before_a_graph_runs(keywords, message):
    fake = FakeTensorMode(allow_non_fake_inputs=True).from_tensor(LABELS)
    with pytest.raises(ValueError, match=message):
        inner_distance(fake, (8, 4, 4), **keywords)


def test_operators_take_a_scale_per_channel():
    """As a graph holds them: without classes, of the axis in front of space."""
    target = ([8.0, 4.0, 4.0], None, "zero", "extent", 0.0, None, False, "cpu", None)
    found = torch.ops.inner_distance_gpu.target(LABELS, *target, None, None, [50.0, 20.0, 9.0, 7.0])
    assert torch.equal(found, InnerDistanceTransform((8, 4, 4), [50, 20, 9, 7], channels=4, weights=False)(LABELS))
    for scales in ([50.0, 20.0], [5.0, 5.0]):
        with pytest.raises(ValueError, match="has 2 numbers: expected 4 numbers"):
            torch.ops.inner_distance_gpu.target(LABELS, *target, None, None, scales)
