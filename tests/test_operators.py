"""Do traced calls become one operator each, without a graph break and without another bit than eager calls?"""

import copy

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher
from torch._dynamo.testing import CompileCounterWithBackend
from torch._subclasses import FakeTensorMode

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, inner_distance

# torch's own tracing warns of what torch's own code does
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*:DeprecationWarning:torch",
    "ignore::FutureWarning",
    "ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning",  # opcheck of torch 2.14
    "ignore:Skipping serialization of skipfiles:UserWarning",  # inductor of torch 2.6
)

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
TARGET = ([40.0, 4.0, 4.5], 30.0, "signed", "extent", 0.0, 2, False)
WEIGHING = (3, [0.05, 0.95], "mask")


@pytest.fixture(autouse=True)
def fresh():
    """Graphs of one test do not count for another."""
    torch._dynamo.reset()


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def labels_of(*shape, seed=0, device="cpu"):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 3, shape)).to(device)


def counts_of(slabs, classes, device):
    counts = ClassCounts([[5.0] * classes] * slabs, [[20.0] * classes] * slabs).to(device)
    return counts.numerators, counts.denominators


def arguments(device, kind):
    labels, mask = labels_of(2, 3, 5, 6, 7, device=device), torch.rand(5, 6, 7, device=device)
    operators = torch.ops.inner_distance_gpu
    return {
        "target": (operators.target.default, (labels, *TARGET, "auto", None)),
        "differentiable": (
            operators.target.default,
            (labels.double().requires_grad_(), *TARGET[:-2], None, False, "auto", 1),
        ),
        "2D, wrapped": (
            operators.target.default,
            (labels.to(torch.uint64), [1.0, 2.0], None, "zero", "saturate", 1.5, -1, True, "auto", 2),
        ),
        "first step": (
            operators.target_and_weights.default,
            (labels, None, None, None, *TARGET, *WEIGHING, "auto", None),
        ),
        "moving, mask": (
            operators.target_and_weights.default,
            (labels, mask.requires_grad_(), *counts_of(3, 2, device), *TARGET, *WEIGHING, "auto", None),
        ),
        "weights": (
            operators.weights.default,
            (labels, None, None, None, 3, None, [0.1, 0.9], None, False, None, "auto", None),
        ),
        "slabs": (
            operators.weights.default,
            (labels, mask, *counts_of(4, 3, device), 3, [1, -1, 4, -1, -1], [0.1, 0.9], 1, False, True, "auto", None),
        ),
    }[kind]


@pytest.mark.parametrize(
    "kind", ["target", "differentiable", "2D, wrapped", "first step", "moving, mask", "weights", "slabs"]
)
def test_registration(device, kind):
    operator, given = arguments(device, kind)
    results = operator(*given)
    assert not any(result.requires_grad for result in as_tuple(results))
    torch.library.opcheck(operator, given)


@pytest.mark.parametrize("kind", ["target", "first step", "moving, mask", "slabs"])
def test_registration_with_the_kernels_of_cuda(on_host, kind):
    """Run on the host: a device engine lets counts grow in place, an operator must not."""
    on_host(HostLauncher())
    operator, given = arguments("cpu", kind)
    expected = operator(*given)
    torch.library.opcheck(operator, (*given[:-2], "cuda", None))
    for result, same in zip(as_tuple(operator(*given[:-2], "cuda", None)), as_tuple(expected), strict=True):
        torch.testing.assert_close(result, same, rtol=1e-6, atol=1e-6)


def as_tuple(results):
    return results if isinstance(results, tuple) else (results,)


class Counted(CompileCounterWithBackend):
    """Compiles with a backend; `frame_count` is the number of graphs, `op_count` of nodes that call something."""


def compiled(function, backend="aot_eager", **keywords):
    counter = Counted(backend)
    return torch.compile(function, fullgraph=True, backend=counter, **keywords), counter


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_targets(device, backend):
    def call(labels):
        return 1 - inner_distance(labels * 2, (40, 4, 4), scale=30, background="signed", ignore_label=4)

    traced, counter = compiled(call, backend)
    labels = labels_of(2, 3, 5, 6, 7, device=device)
    assert torch.equal(traced(labels), call(labels))
    assert counter.frame_count == 1


@pytest.mark.parametrize(
    "keywords",
    [
        {"scale": 9.5, "background": "times_label", "fill": float("nan")},
        {"ignore_label": 2**64 - 1},
        {"ignore_label": 5.0, "fill": -2},
        {"no_boundary": "saturate"},
        {"ignore_label": -1, "engine": "reference"},
        {"threads": 2, "engine": "cpu", "background": "signed"},
    ],
    ids=str,
)
def test_every_keyword_arrives(keywords):
    labels = torch.tensor([[0, 1, 2, 2**64 - 1, 5], [1, 1, 3, 2**64 - 1, 5]], dtype=torch.uint64)
    if keywords.get("ignore_label") == -1:
        labels = labels.view(torch.int64)
    if "no_boundary" in keywords:
        labels = torch.ones_like(labels)
    traced, _ = compiled(lambda labels: inner_distance(labels, (3, 4), **keywords))
    expected = inner_distance(labels, (3, 4), **keywords)
    assert torch.equal(traced(labels).nan_to_num(9), expected.nan_to_num(9))
    assert not torch.equal(expected, inner_distance(labels, (3, 4)))


def test_shapes_may_be_dynamic(device):
    traced, counter = compiled(lambda labels: inner_distance(labels, (40, 4, 4), scale=30))
    for n in (5, 8, 13):
        labels = labels_of(2, n, 9, 2 * n, seed=n, device=device)
        torch._dynamo.mark_dynamic(labels, 1)
        torch._dynamo.mark_dynamic(labels, 3)
        assert torch.equal(traced(labels), inner_distance(labels, (40, 4, 4), scale=30))
    assert counter.frame_count == 1


def test_numbers_may_vary():
    def call(labels, size, scale, ignored):
        return inner_distance(labels, (4, size), scale=scale, ignore_label=ignored)

    labels = labels_of(9, 12)
    traced, counter = compiled(call)
    for step in range(5):
        assert torch.equal(traced(labels, 1.5, 20.25, step), call(labels, 1.5, 20.25, step))
    assert counter.frame_count < 5  # the first is a constant, then any integer
    traced, _ = compiled(call)
    for step in range(5):  # a graph for each: to torch floats are constants where no tensor can stand for them
        given = (labels, 1.5 + step, 20.25 + step, None)
        assert torch.equal(traced(*given), call(*given))


def test_out_is_written(device):
    def call(labels, out):
        return inner_distance(labels, (40, 4, 4), scale=30, out=out)

    traced, _ = compiled(call)
    labels = labels_of(5, 6, 7, device=device)
    out = torch.full((7, 6, 5), 9.0, device=device).permute(2, 1, 0)
    assert traced(labels, out) is out
    assert torch.equal(out, call(labels, torch.empty(5, 6, 7, device=device)))


@pytest.mark.parametrize("moving", [True, False])
@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_transform_over_several_steps(device, backend, moving):
    eager = InnerDistanceTransform((40, 4, 4), 30, channels=3, ignore_label=2, border="mask", moving=moving).to(device)
    other = copy.deepcopy(eager)
    state = other.counts.numerators

    def call(labels, mask=None):
        target, weight = other(labels, mask)
        return target * 2, weight

    traced, counter = compiled(call, backend)
    for step in range(4):
        labels = labels_of(2, 3, 5, 6 + step, 7, seed=step, device=device)
        torch._dynamo.mark_dynamic(labels, 3)
        target, weight = eager(labels)
        assert all(map(torch.equal, traced(labels), (target * 2, weight)))
        assert torch.equal(other.counts.state(), eager.counts.state())
    assert counter.frame_count == 1
    assert other.counts.numerators is state
    assert bool(state.any()) == moving
    mask = torch.rand(5, 6, 7, device=device)
    labels = labels[:, :, :, :6]
    target, weight = eager(labels, mask)
    assert all(map(torch.equal, traced(labels, mask), (target * 2, weight)))


def test_the_module_itself_is_compiled():
    transform = InnerDistanceTransform((4, 4), 30, weights=False)
    labels = labels_of(3, 9, 12)
    traced, counter = compiled(transform)
    assert torch.equal(traced(labels), transform(labels))
    assert torch.equal(traced(labels, voxel_size=(3, 9)), transform(labels, voxel_size=(3, 9)))
    assert counter.frame_count == 2


@pytest.mark.gpu
def test_counts_follow_the_labels_to_their_device():
    transform = InnerDistanceTransform((4, 4), 30)
    labels = labels_of(3, 9, 12, device="cuda")
    traced, _ = compiled(lambda labels: transform(labels))
    traced(labels), traced(labels)
    assert transform.counts.device == labels.device
    assert transform.counts.to_dicts()[0][0][1] == 1 + 2 * labels.numel()


def test_weights_and_their_counts(device):
    def call(labels, mask, counts):
        return balanced_weights(labels, 3, mask=mask, slab=(1, -1, -1), counts=counts)

    traced, _ = compiled(call)
    labels, mask = labels_of(2, 8, 9, device=device), torch.rand(8, 9, device=device)
    counts = same = None
    for _ in range(3):
        weights, counts = call(labels, mask, counts)
        result, same = traced(labels, mask, same)
        assert torch.equal(result, weights)
        assert type(same) is ClassCounts
        assert torch.equal(same.state(), counts.state())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda labels: inner_distance(labels, (4, 0)), "positive finite"),
        (lambda labels: inner_distance(labels, (4, 4, 4)), "3 spatial axes"),
        (lambda labels: inner_distance(labels, (4, 4), engine="gpu"), "engine='gpu'"),
        (lambda labels: inner_distance(labels, (4, 4), threads=0), "threads=0"),
        (lambda labels: InnerDistanceTransform((4, 4), 9, channels=2)(labels[None]), "channels=2"),
        (lambda labels: InnerDistanceTransform((4, 4), 9)(labels, labels[1:]), "mask has shape"),
        (lambda labels: InnerDistanceTransform((4, 4), 9)(labels, voxel_size=(1, 1, 1)), "expected 2 numbers"),
        (lambda labels: balanced_weights(labels, slab=(3,)), "one block extent per axis"),
        (lambda labels: balanced_weights(labels, counts=ClassCounts.start(2, 2)), "counts have shape"),
    ],
    ids=range(9),
)
def test_errors_are_found_before_a_graph_runs(call, message):
    fake = FakeTensorMode(allow_non_fake_inputs=True).from_tensor(labels_of(5, 6))
    with pytest.raises((ValueError, TypeError), match=message):
        call(fake)


def test_values_are_checked_when_the_graph_runs():
    traced, _ = compiled(lambda labels, mask: balanced_weights(labels, 3, mask=mask)[0])
    labels, mask = labels_of(5, 6), torch.ones(5, 6)
    traced(labels, mask)
    with pytest.raises(ValueError, match="is no class"):
        traced(labels + 1, mask)
    with pytest.raises(ValueError, match="finite values >= 0"):
        traced(labels, -mask)


def test_fake_tensors_are_not_computed():
    with FakeTensorMode(allow_non_fake_inputs=True):
        labels = torch.zeros(4096, 4096, 4096, dtype=torch.uint8)
    target, weight = InnerDistanceTransform((4, 4, 4), 9, moving=False)(labels)
    assert target.shape == weight.shape == labels.shape


def test_eager_calls_are_no_operators():
    with torch.profiler.profile() as profile:
        inner_distance(labels_of(5, 6), (4, 4))
        InnerDistanceTransform((4, 4), 9)(labels_of(5, 6))
    seen = [event.name for event in profile.events()]
    assert seen
    assert not any("inner_distance_gpu" in name for name in seen)


def test_graphs_can_be_exported():
    class Model(torch.nn.Module):
        def forward(self, labels):
            return inner_distance(labels, (4, 4), scale=9)

    labels = labels_of(5, 6)
    exported = torch.export.export(Model(), (labels,))
    assert "inner_distance_gpu.target" in str(exported.graph)
    assert torch.equal(exported.module()(labels), inner_distance(labels, (4, 4), scale=9))
