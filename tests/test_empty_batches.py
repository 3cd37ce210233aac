"""Does a batch of no samples give empty results and leave the counts as they are, with every engine and operator?"""

import numpy as np
import pytest
import torch

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, engines, inner_distance

ENGINES = [name for name in ("cpu", "reference") if engines.available()[name] is None]
DEVICES = ["numpy", "torch", pytest.param("cuda", marks=pytest.mark.gpu)]
SHAPES = [(0, 4, 5, 6), (0, 2, 4, 5, 6), (2, 0, 2, 4, 5, 6)]
VOXEL = (40, 4, 4)


def empty(shape, kind, dtype="uint8"):
    if kind == "numpy":
        return np.zeros(shape, dtype)
    return torch.zeros(shape, dtype=getattr(torch, dtype), device="cuda" if kind == "cuda" else "cpu")


def is_empty(result, like):
    """An array as `like`, of float32."""
    assert type(result) is type(like)
    assert str(result.dtype).removeprefix("torch.") == "float32"
    assert tuple(result.shape) == tuple(like.shape)
    assert getattr(result, "device", None) == getattr(like, "device", None)
    return True


def chosen(kind, engine):
    return "cuda" if kind == "cuda" else engine


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize("shape", SHAPES)
def test_targets(shape, kind, engine):
    engine = chosen(kind, engine)
    labels = empty(shape, kind)
    assert is_empty(inner_distance(labels, VOXEL, scale=50, engine=engine), labels)
    out = empty(shape, kind, "float32")
    assert inner_distance(labels, VOXEL, engine=engine, out=out) is out


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize("dtype", ["uint8", "float32", "int64"])
@pytest.mark.parametrize("masked", [False, True])
def test_weights(kind, engine, dtype, masked):
    labels = empty((0, 5, 6), kind, dtype)
    mask = empty((1, 5, 6), kind, "float32") if masked else None
    for slab, slabs in ((None, 1), ((1, -1, -1), 1), ((1, 3, -1), 2)):
        counts = ClassCounts(np.full((slabs, 3), 2.0), np.full((slabs, 3), 7.0)).to("cuda" if kind == "cuda" else "cpu")
        weights, after = balanced_weights(
            labels, 3, mask=mask, slab=slab, counts=counts, validate=True, engine=chosen(kind, engine)
        )
        assert is_empty(weights, labels)
        assert after is not counts
        assert after.to_dicts() == counts.to_dicts() == [dict.fromkeys(range(3), (2, 7.0))] * slabs


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", DEVICES)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("moving", [False, True])
def test_transform_and_keyed(kind, engine, channels, moving):
    transform = InnerDistanceTransform(
        VOXEL, 50, channels=channels, moving=moving, border="mask", engine=chosen(kind, engine)
    )
    transform(empty((1, 2, 4, 5, 6), kind))
    before = transform.counts.to_dicts()
    labels = empty((0, 2, 4, 5, 6), kind)
    for mask in (None, empty((0, 1, 4, 5, 6), kind), empty((4, 5, 6), kind)):
        target, weight = transform(labels, mask)
        assert is_empty(target, labels)
        assert is_empty(weight, labels)
    batch = transform.keyed()({"labels": labels})
    assert is_empty(batch["target"], labels)
    assert is_empty(batch["weight"], labels)
    assert transform.counts.to_dicts() == before


@pytest.mark.parametrize("engine", ENGINES)
def test_operators_and_their_fakes(engine):
    labels = torch.zeros(0, 2, 4, 5, 6, dtype=torch.uint8)
    counts = torch.full((2, 2), 3.0, dtype=torch.float64), torch.full((2, 2), 8.0, dtype=torch.float64)
    target = (list(VOXEL), 50.0, "zero", "extent", 0.0, None, False)
    operators = torch.ops.inner_distance_gpu
    calls = [
        (operators.target, (labels, *target, engine, None)),
        (operators.target_and_weights, (labels, None, *counts, *target, 2, [0.05, 0.95], "keep", engine, None)),
        (
            operators.weights,
            (labels, None, *(n[:1] for n in counts), 2, None, [0.05, 0.95], None, False, None, engine, None),
        ),
    ]
    for operator, arguments in calls:
        torch.library.opcheck(operator.default, arguments)
    values, weight, *after = operators.target_and_weights(*calls[1][1])
    assert is_empty(values, labels)
    assert is_empty(weight, labels)
    assert all(torch.equal(new, old) and new is not old for new, old in zip(after, counts, strict=True))


def test_in_a_graph():
    transform = InnerDistanceTransform(VOXEL, 50)
    compiled = torch.compile(transform, backend="eager")
    labels = torch.zeros(0, 1, 4, 5, 6, dtype=torch.uint8)
    target, weight = compiled(labels)
    assert is_empty(target, labels)
    assert is_empty(weight, labels)
    assert transform.counts.to_dicts() == [{0: (0, 1.0), 1: (0, 1.0)}]
