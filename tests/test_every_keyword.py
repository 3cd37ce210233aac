"""Do all engines take every keyword that the public functions have, agree on it, and heed it?

The keywords are read from the signatures: one that is added without a strategy and an example here fails.
"""

import inspect

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyword_strategies import STRATEGIES, calls
from oracle import assert_target

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, engines, inner_distance

HOST = ["cpu"] if engines.available()["cpu"] is None else []
DEVICE = ["cuda", "cucim"]
FUNCTIONS = {
    "inner_distance": inner_distance,
    "balanced_weights": balanced_weights,
    "InnerDistanceTransform": InnerDistanceTransform,
    "forward": InnerDistanceTransform.forward,
}


def keywords_of(name):
    return set(inspect.signature(FUNCTIONS[name]).parameters) - {"self"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_keyword_has_a_strategy(name):
    assert set(STRATEGIES[name]) == keywords_of(name)


def outcome(run, *arguments):
    """What comes back, or the type of the error."""
    try:
        return run(*arguments)
    except (ValueError, TypeError) as error:
        return type(error)


def on_its_device(value, device):
    """An array for a call: NumPy, or a torch tensor on a device."""
    if device is None or not isinstance(value, np.ndarray):
        return value
    return torch.from_numpy(value.astype(value.dtype.newbyteorder("="))).to(device)


def run_target(engine, call, device=None):
    labels, keywords, _ = call
    keywords = {key: on_its_device(value, device) for key, value in keywords.items()}
    if keywords["out"] is not None and device is None:
        keywords["out"] = keywords["out"].copy(order="K")  # of its own for every engine
    result = inner_distance(on_its_device(labels, device), **keywords | {"engine": engine})
    assert keywords["out"] is None or result is keywords["out"]
    return np.asarray(torch.as_tensor(result).cpu())


def run_weights(engine, call, device=None):
    labels, keywords, _ = call
    keywords = {key: on_its_device(value, device) for key, value in keywords.items()} | {"engine": engine}
    first, counts = balanced_weights(on_its_device(labels, device), **keywords)
    second, after = balanced_weights(on_its_device(labels, device), **keywords | {"counts": counts})
    arrays = [np.asarray(torch.as_tensor(weights).cpu()) for weights in (first, second)]
    return [*arrays, *after.to("cpu").state()[:2]]


def run_transform(engine, call, device=None):
    labels, keywords, forward = call
    transform = InnerDistanceTransform(**keywords | {"engine": engine})
    forward = {key: on_its_device(value, device) for key, value in forward.items()}
    results = [transform(on_its_device(labels, device), **forward) for _ in range(2)]
    results = [result if keywords["weights"] else (result, torch.zeros(0)) for result in results]
    arrays = [np.asarray(torch.as_tensor(array).cpu()) for result in results for array in result]
    return [*arrays, *transform.counts.to("cpu").state()[:2]]


def assert_agree(name, engine, call, device=None):
    """`engine` returns what `reference` does, or refuses what it refuses."""
    run = {"inner_distance": run_target, "balanced_weights": run_weights, "InnerDistanceTransform": run_transform}[name]
    found, expected = outcome(run, engine, call, device), outcome(run, "reference", call, device)
    if isinstance(found, type) or isinstance(expected, type):
        assert found is expected
        return
    labels, keywords, _ = call
    multiplied = keywords.get("background") == "times_label" and keywords.get("classes") is None
    by_label = labels if multiplied else None
    if name == "inner_distance":
        assert_target(found, expected, by_label, keywords["scale"])
        return
    *arrays, numerators, denominators = found
    *same_arrays, same_numerators, same_denominators = expected
    for i, (array, same) in enumerate(zip(arrays, same_arrays, strict=True)):
        if name == "InnerDistanceTransform" and i % 2 == 0:
            assert_target(array, same, by_label, keywords["scale"])
        else:
            np.testing.assert_allclose(array, same, rtol=1e-6, atol=0)
    assert torch.equal(numerators, same_numerators)
    torch.testing.assert_close(denominators, same_denominators, rtol=1e-12, atol=0)


def check_all(name, data, names, device=None):
    call = data.draw(calls(name))
    for engine in names:
        assert_agree(name, engine, call, device)


SETTINGS = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@pytest.mark.parametrize("name", list(FUNCTIONS)[:3])
@settings(max_examples=150, **SETTINGS)
@given(data=st.data())
def test_engines_agree(on_host, name, data):
    """`cuda` and `cucim` run their kernels on the host."""
    on_host(HostLauncher())
    check_all(name, data, HOST + DEVICE)


@pytest.mark.gpu
@pytest.mark.parametrize("name", list(FUNCTIONS)[:3])
@settings(max_examples=150, **SETTINGS)
@given(data=st.data())
def test_engines_agree_on_a_device(name, data):
    check_all(name, data, [engine for engine in DEVICE if engines.available()[engine] is None], "cuda")


LABELS = np.zeros((2, 9, 10), np.uint8)
LABELS[0, 2:6, 3:9] = 1
LABELS[0, 4:7, 4:6] = 2
LABELS[0, 0, 0] = 3
LABELS[1] = 1  # no boundary
MASK = np.linspace(0, 2, LABELS.size, dtype=np.float32).reshape(LABELS.shape)
BASE = {
    "inner_distance": {"labels": LABELS, "voxel_size": (4.0, 2.0)},
    "balanced_weights": {"labels": np.minimum(LABELS, 2), "num_classes": 3},
    "InnerDistanceTransform": {"voxel_size": (4.0, 2.0), "scale": 10.0, "weights": True},
    "forward": {"labels": LABELS},
}
# A value that has to change what comes back; what must not; and what is seen otherwise.
CHANGES = {
    "inner_distance": {
        "labels": LABELS[:, ::-1],
        "voxel_size": (2.0, 4.0),
        "scale": 10.0,
        "background": "signed",
        "no_boundary": "saturate",
        "ignore_label": 2,
        "fill": 5.0,
        "classes": [(1, 2), 3],
    },
    "balanced_weights": {
        "labels": np.minimum(LABELS, 2)[:, ::-1],
        "num_classes": 4,
        "mask": MASK,
        "slab": (1, -1, -1),
        "clip": (0.3, 0.6),
        "counts": ClassCounts([[50.0, 5.0, 5.0]], [[99.0] * 3]),
        "ignore_label": 2,
    },
    "InnerDistanceTransform": {
        "voxel_size": (2.0, 4.0),
        "scale": 3.0,
        "channels": 2,
        "classes": [(1, 2), 3],
        "background": "signed",
        "no_boundary": "saturate",
        "ignore_label": 2,
        "fill": 5.0,
        "weights": False,
        "moving": False,
        "clip": (0.3, 0.6),
        "border": "mask",
    },
    "forward": {"labels": LABELS[:, ::-1], "mask": MASK, "voxel_size": (2.0, 4.0)},
}
SAME = {"threads": 2, "validate": False}
ELSEWHERE = {"engine", "out"}  # test_engines.py; test_types_and_layouts.py and test_bad_input.py


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_keyword_has_an_example(name):
    assert set(CHANGES[name]) | set(SAME) | ELSEWHERE >= keywords_of(name)


def result_of(name, engine, changed):
    """Everything that a call returns, as arrays; `fill` and `ignore_label` show together."""
    base = BASE[name] | ({"ignore_label": 3} if set(changed) == {"fill"} else {})
    if name == "balanced_weights":
        weights, counts = balanced_weights(**base | changed, engine=engine)
        return [weights, counts.state()]
    if name == "inner_distance":
        return [inner_distance(**base | changed, engine=engine)]
    forward = name == "forward"
    transform = InnerDistanceTransform(**(BASE["InnerDistanceTransform"] if forward else base | changed), engine=engine)
    calls = [transform(**(BASE["forward"] | (changed if forward else {}))) for _ in range(2)]
    return [array for call in calls for array in (call if isinstance(call, tuple) else (call,))]


def same(results, others):
    pairs = zip(results, others, strict=False)
    return len(results) == len(others) and all(
        a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
        for a, b in ((np.asarray(a), np.asarray(b)) for a, b in pairs)
    )


HEEDED = [(name, key) for name in FUNCTIONS for key in sorted(keywords_of(name) - ELSEWHERE)]


@pytest.mark.parametrize("engine", ["reference", *HOST, *DEVICE])
@pytest.mark.parametrize(("name", "key"), HEEDED)
def test_every_keyword_is_heeded(on_host, name, key, engine):
    on_host(HostLauncher())
    before = result_of(name, engine, {"ignore_label": 3} if key == "fill" else {})
    if key in SAME:
        assert same(result_of(name, engine, {key: SAME[key]}), before)
    else:
        assert not same(result_of(name, engine, {key: CHANGES[name][key]}), before)


def test_keywords_that_equal_earlier_ones_are_checked_all_the_same():
    labels = np.array([[0, 1, 1]], np.uint8)
    expected = inner_distance(labels, (1, 1), scale=1, fill=1, ignore_label=1)
    for wrong in ({"scale": True}, {"fill": True}, {"ignore_label": True}):
        with pytest.raises(TypeError, match="=True: expected"):
            inner_distance(labels, (1, 1), **({"scale": 1, "fill": 1, "ignore_label": 1} | wrong))
    np.testing.assert_array_equal(inner_distance(labels, (1, 1), scale=1, fill=1, ignore_label=1), expected)


def test_voxel_sizes_that_change_where_they_lie():
    sizes = (torch.tensor(1.0), torch.tensor(1.0))
    labels = np.array([[0, 1, 1]], np.uint8)
    assert inner_distance(labels, sizes).tolist() == [[0, 0.5, 1.5]]
    sizes[1].mul_(4)
    assert inner_distance(labels, sizes).tolist() == [[0, 2, 6]]
