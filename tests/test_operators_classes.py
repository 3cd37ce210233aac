"""Do traced calls with classes become one operator each, and give what eager calls give?"""

import copy

import pytest
import torch
from test_operators import compiled, fresh, labels_of
from torch._subclasses import FakeTensorMode

from inner_distance_gpu import InnerDistanceTransform, inner_distance

__all__ = ["fresh"]
# torch's own tracing warns of what torch's own code does
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:DeprecationWarning:torch",
    "ignore::FutureWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",  # opcheck of torch 2.14
    "ignore:Skipping serialization of skipfiles:UserWarning",  # inductor of torch 2.6
)
TARGET = ([40.0, 4.0, 4.5], 30.0, "signed", "extent", 0.0, None, False)


def test_registration():
    labels, mask = labels_of(2, 5, 6, 7), torch.rand(2, 2, 5, 6, 7)
    operators = torch.ops.inner_distance_gpu
    calls = [
        (operators.target.default, (labels, *TARGET, "auto", None, "1+2,0")),
        (
            operators.target_and_weights.default,
            (labels, mask, None, None, *TARGET, 2, [0.05, 0.95], "mask", "auto", None, "1+2,0"),
        ),
    ]
    for operator, given in calls:
        results = operator(*given)
        first = results if isinstance(results, torch.Tensor) else results[0]
        assert torch.equal(
            first, inner_distance(labels, (40, 4, 4.5), scale=30, background="signed", classes=[(1, 2), 0])
        )
        torch.library.opcheck(operator, given)


@pytest.mark.parametrize("classes", [[2, (0, 2)], {"a": 2, "b": [0, 2]}, ((2,), (0, 2)), [2, range(0, 3, 2)]], ids=str)
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_targets(backend, classes):
    def call(labels):
        return 1 - inner_distance(labels * 2, (40, 4, 4), scale=30, classes=classes, ignore_label=4)

    traced, counter = compiled(call, backend)
    labels = labels_of(2, 5, 6, 7)
    assert torch.equal(traced(labels), call(labels))
    assert counter.frame_count == 1


@pytest.mark.parametrize("axis", [False, True])
def test_transform_over_several_steps(axis):
    eager = InnerDistanceTransform((40, 4, 4), 30, classes={"a": (1, 2), "b": 0}, border="mask")
    other = copy.deepcopy(eager)
    traced, counter = compiled(lambda labels, mask: other(labels, mask))
    for step in range(3):
        labels, mask = labels_of(3, 5, 6 + step, 7, seed=step), torch.rand(5, 6 + step, 7)
        labels = labels[:, None] if axis else labels
        torch._dynamo.mark_dynamic(labels, labels.ndim - 2)
        torch._dynamo.mark_dynamic(mask, 1)
        for made, same in zip(traced(labels, mask), eager(labels, mask), strict=True):
            assert made.shape == (3, 2, 5, 6 + step, 7)
            assert torch.equal(made, same)
        assert torch.equal(other.counts.state(), eager.counts.state())
    assert counter.frame_count == 1


def test_a_transform_without_weights_is_exported():
    transform = InnerDistanceTransform((4, 4), 9, classes=[1, (1, 2)], weights=False)
    labels = labels_of(3, 1, 5, 6)
    exported = torch.export.export(transform, (labels,))
    assert "'1,1+2'" in str(exported.graph)
    assert torch.equal(exported.module()(labels), transform(labels))
    assert transform(labels).shape == (3, 2, 5, 6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda labels: inner_distance(labels, (4, 4), classes=[]), "is empty"),
        (lambda labels: inner_distance(labels, (4, 4), classes=[1, ()]), "empty class"),
        (lambda labels: inner_distance(labels, (4, 4), classes=["mito"]), "expected whole numbers"),
        (lambda labels: inner_distance(labels.byte(), (4, 4), classes=[256]), "256, which labels of uint8"),
        (lambda labels: inner_distance(labels, (4, 4), classes=[7], ignore_label=7), "which is ignore_label=7"),
        (lambda labels: InnerDistanceTransform((4, 4), 9, classes=[1])(labels, labels[1:]), "mask has shape"),
    ],
    ids=range(6),
)
def test_errors_are_found_before_a_graph_runs(call, message):
    fake = FakeTensorMode(allow_non_fake_inputs=True).from_tensor(labels_of(5, 6))
    with pytest.raises((ValueError, TypeError), match=message):
        call(fake)
