"""Does engine `cpu` return what `reference` returns, for everything that the public contract allows?"""

import importlib.machinery
import sys

import numpy as np
import pytest
from cases import cases
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import assert_target, golden

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, engines, inner_distance
from inner_distance_gpu.engines import native

pytestmark = pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"]))
TARGETS = golden("inner_distance")
WEIGHTS = golden("balanced_weights")


@settings(max_examples=2000, deadline=None)
@given(case=cases())
def test_targets(case):
    labels, keywords = case
    result = inner_distance(labels, engine="cpu", threads=2, **keywords)
    expected = inner_distance(labels, engine="reference", **keywords)
    assert_target(result, expected, labels if keywords["background"] == "times_label" else None, keywords["scale"])


@settings(max_examples=300, deadline=None)
@given(case=cases(), data=st.data())
def test_transform(case, data):
    """Target, weight and counts from the fused call, with masks of any type and the border."""
    labels, keywords = case
    dims, rng = len(keywords.pop("voxel_size")), np.random.default_rng(data.draw(st.integers(0, 2**32)))
    channels = labels.shape[-dims - 1] if labels.ndim > dims else 1
    keywords |= {"channels": channels, "border": data.draw(st.sampled_from(["keep", "mask"]))}
    mask = None
    if data.draw(st.booleans()):
        dtype = data.draw(st.sampled_from(["?", "u1", ">u2", "i8", "f2", "f4", ">f8"]))
        mask = (rng.random(labels.shape[-dims:]) * data.draw(st.sampled_from([1, 3]))).astype(dtype)
    voxel_size = data.draw(st.tuples(*[st.sampled_from([1.0, 4.0, 5.24, 40.0])] * dims))
    scale = keywords.pop("scale")
    found = {}
    for engine in ("cpu", "reference"):
        transform = InnerDistanceTransform(voxel_size, None if scale is None else 7.0, engine=engine, **keywords)
        for _ in range(2):
            target, weight = transform(labels, mask)
        found[engine] = target, weight, transform.counts
    (target, weight, counts), (same_target, same_weight, same_counts) = found["cpu"], found["reference"]
    by_label = labels if keywords["background"] == "times_label" else None
    assert_target(target, same_target, by_label, None if scale is None else 7.0)
    np.testing.assert_allclose(weight, same_weight, rtol=1e-6, atol=0)
    assert counts.numerators.tolist() == same_counts.numerators.tolist()
    exact = mask is None or mask.dtype.kind != "f"
    np.testing.assert_allclose(counts.denominators, same_counts.denominators, rtol=0 if exact else 1e-12)


@settings(max_examples=200, deadline=None)
@given(seed=st.integers(0, 2**32), dtype=st.sampled_from(["?", "u1", ">u2", "i4", ">i8", "f2", "f4", ">f8"]))
def test_weights_of_classes(seed, dtype):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 9, size=int(rng.integers(1, 5))))
    classes = int(rng.integers(1, 5))
    labels = rng.integers(0 if dtype in ("?", "u1", ">u2") else -1, classes + 1, shape).astype(dtype)
    mask = (rng.random(shape) * 3).astype(rng.choice(["u1", "i8", "f4", ">f4"]))
    keywords = {
        "mask": mask,
        "slab": tuple(int(rng.choice([-1, 1, 2, 3])) for _ in shape),
        "ignore_label": [None, 1][int(rng.integers(2))],
        "validate": False,
        "clip": (0.2, 0.6) if seed % 2 else (1e-9, 1.0),
    }
    weights, counts = balanced_weights(labels, classes, engine="cpu", **keywords)
    same_weights, same_counts = balanced_weights(labels, classes, engine="reference", **keywords)
    np.testing.assert_allclose(weights, same_weights, rtol=1e-6, atol=0)
    assert counts.numerators.tolist() == same_counts.numerators.tolist()
    exact = mask.dtype.kind != "f"
    np.testing.assert_allclose(counts.denominators, same_counts.denominators, rtol=0 if exact else 1e-12)


@pytest.mark.parametrize(("dtype", "classes"), [("i1", 300), ("i2", 3), ("f2", 3), ("f4", 3), ("f8", 3)])
def test_weights_of_labels_that_are_no_class(dtype, classes):
    """-1 in 8 bits is 255, and 1.5 lies between two classes: neither is counted."""
    labels = np.array([[0, 1, -1, 2, 1.5 if dtype[0] == "f" else -1, 1]], dtype)
    weights, counts = balanced_weights(labels, classes, validate=False, engine="cpu")
    expected, same = balanced_weights(labels, classes, validate=False, engine="reference")
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert (weights == 0).tolist() == [[False, False, True, False, True, False]]
    assert counts.numerators.tolist() == same.numerators.tolist()
    assert counts.numerators.sum() == 4


def test_integer_sums_are_exact():
    mask = np.full((4, 2**11), 2**52 + 1, np.int64)
    mask[0, 0] = 0
    _, counts = balanced_weights(np.ones(mask.shape, np.uint8), mask=mask, engine="cpu")
    assert counts.denominators[0, 1] == float((2**52 + 1) * (mask.size - 1)) + 1
    assert counts.numerators.tolist() == [[0, mask.size - 1]]


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("kind", ["tanh", "raw", "signed_tanh"])
def test_golden_targets(case, kind):
    recorded = TARGETS[case]
    labels, scale = recorded["labels"], None if kind == "raw" else float(recorded["scale"])
    background = "signed" if kind == "signed_tanh" else "times_label"
    result = inner_distance(labels, recorded["voxel_size"], scale=scale, background=background, engine="cpu")
    assert_target(result, recorded[kind], labels if background == "times_label" else None, scale)


@pytest.mark.parametrize("case", WEIGHTS)
def test_golden_weights(case):
    recorded, counts = WEIGHTS[case], None
    for step in sorted({int(key.split("/")[0]) for key in recorded if "/" in key}):
        mask = recorded[f"{step}/mask"]
        weights, counts = balanced_weights(
            recorded[f"{step}/labels"],
            int(recorded["classes"]),
            mask=mask,
            slab=tuple(int(extent) for extent in recorded["slab"]) or None,
            clip=tuple(recorded["clip"]),
            counts=counts,
            engine="cpu",
        )
        np.testing.assert_allclose(weights, recorded[f"{step}/weights"], rtol=1e-6, atol=0)
        np.testing.assert_array_equal(counts.numerators, recorded[f"{step}/counts"][..., 0])
        np.testing.assert_allclose(
            counts.denominators, recorded[f"{step}/counts"][..., 1], rtol=1e-7 if mask.dtype.kind == "f" else 0
        )


def test_the_golden_files_are_there():
    assert len(TARGETS) == 20
    assert len(WEIGHTS) == 8


def test_sites_across_unannotated_voxels():
    labels = np.array([[[1, 9, 9]], [[0, 9, 1]]])
    result = inner_distance(labels, (40, 4, 4), ignore_label=9, engine="cpu")
    assert result[1, 0, 2] == np.float32(np.hypot(20, 8))


@pytest.mark.parametrize("scale", [None, 1e4, 14.0, 25.0])
@pytest.mark.parametrize("voxel_size", [(1.0, 1.0), (1.3, 1.0), (1.0, 1.7)])
def test_reach_beyond_the_bounded_search(voxel_size, scale):
    """Distances of hundreds of voxels, where the lower envelope takes over, or the search alone goes beyond 64."""
    rng = np.random.default_rng(3)
    for labels in (np.ones((700, 400), np.uint8), np.ones((30, 1500), np.uint8)):
        labels[tuple(rng.integers(0, n) for n in labels.shape)] = 0
        for background in ("zero", "signed"):
            keywords = {"scale": scale, "background": background}
            result = inner_distance(labels, voxel_size, engine="cpu", **keywords)
            assert_target(result, inner_distance(labels, voxel_size, engine="reference", **keywords), scale=scale)


def test_a_line_longer_than_the_scan_counts():
    """Above 65,535 voxels along the scan axis distances take 32 bits."""
    for n in (300, 70_000):
        labels = np.zeros((n, 2, 2), np.uint8)
        labels[0, 0, 0] = 1
        result = inner_distance(labels, (1, 1, 1), background="signed", engine="cpu")
        along = np.arange(n)
        expected = -np.minimum(np.abs(along - 0.5), np.hypot(along, 0.5))
        np.testing.assert_allclose(result[1:, 0, 0], expected[1:], rtol=1e-6)


@pytest.mark.parametrize(
    "voxel_size", [(1e12, 1.0, 3.0), (1e-9, 2e3, 1.0), (1e-30, 2e-30, 1e-29), (1e30, 1e30, 1e30), (1e-41, 3e-41, 1e-40)]
)
def test_sizes_far_apart_and_far_from_one(voxel_size):
    rng = np.random.default_rng(0)
    for labels in (rng.integers(0, 2, (5, 6, 7)), np.kron([[[0, 1]], [[1, 1]]], np.ones((3, 20, 9), int))):
        for scale in (None, max(voxel_size), min(voxel_size)):
            result = inner_distance(labels, voxel_size, scale=scale, engine="cpu")
            assert_target(result, inner_distance(labels, voxel_size, scale=scale, engine="reference"), scale=scale)


@pytest.mark.parametrize("voxel_size", [(1.0, 1.0, 1.0), (1.31, 1.7, 1.13)])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_lines_of_every_length(axis, voxel_size):
    """One voxel of background at the end of a line: up to where the search is bounded, and beyond."""
    for n in range(50, 200, 3):
        shape = [3, 3, 3]
        shape[axis] = n
        labels = np.ones(shape, np.uint8)
        labels[0, 0, 0] = 0
        result = np.moveaxis(inner_distance(labels, voxel_size, engine="cpu"), axis, 0)[:, 0, 0]
        expected = voxel_size[axis] * np.maximum(np.arange(n) - 0.5, 0)
        np.testing.assert_allclose(result, expected, rtol=1e-6, err_msg=f"{n} voxels")


@pytest.mark.parametrize("scale", [3.0, 40.0, None])
@pytest.mark.parametrize("seed", range(8))
def test_rows_that_rest(seed, scale):
    """Islands far apart: rows without foreground nearby are not swept, in some places for more than 255 planes."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((340, 37, 41), np.uint8 if seed % 2 else np.uint32)
    for _ in range(1 + seed):
        start = [int(rng.integers(0, n)) for n in labels.shape]
        size = rng.integers(1, 9, size=3) * rng.choice([1, 1, 4], size=3)
        labels[tuple(slice(at, at + int(n)) for at, n in zip(start, size, strict=True))] = rng.integers(1, 3)
    labels[0, seed], labels[-1, seed] = 1, 1  # the same rows at either end
    keywords = {"voxel_size": [(1, 4, 4), (4, 4, 1.1)][seed % 2], "scale": scale}
    expected = inner_distance(labels, engine="reference", **keywords)
    for threads in (1, 3):
        assert_target(inner_distance(labels, engine="cpu", threads=threads, **keywords), expected, None, scale)


def test_tanh_is_right_to_the_last_bits():
    """Within 2 units in the last place from the knee on, and 4 below it, where the argument's own rounding shows."""
    labels = np.ones((1, 3000), np.uint8)
    labels[0, 0] = 0
    distances = np.arange(3000)[1:] - 0.5
    for scale in np.geomspace(0.3, 1e5, 200):
        expected = np.tanh(distances / scale)
        result = inner_distance(labels, (1, 1), scale=scale, engine="cpu")[0, 1:].astype(np.float64)
        off = np.abs(result - expected) / np.spacing(expected.astype(np.float32))
        assert (off < np.where(distances / scale > 0.56, 2, 4)).all(), (scale, off.max())


@pytest.fixture
def tree(monkeypatch, tmp_path):
    """A source tree that was never built, from which this process has its package."""
    package = tmp_path / "tree" / "inner_distance_gpu"
    for file in (
        package / "engines" / "native.py",
        package / "__init__.py",
        tmp_path / "tree" / "kernels" / "host.cpp",
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setattr(native, "__file__", str(package / "engines" / "native.py"))
    monkeypatch.setattr(native, "module", None)
    monkeypatch.setattr(native, "_missing", ModuleNotFoundError("no module named _host"), raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "tree"), str(tmp_path / "site")])
    native._why_no_extension.cache_clear()
    yield tmp_path
    native._why_no_extension.cache_clear()


def test_an_extension_that_was_never_built(tree):
    with pytest.raises(
        ValueError, match=r"engine='cpu' .* cannot run here .*never built .*tree; build it .*pip install \."
    ):
        inner_distance(np.eye(3), (1, 1), engine="cpu")
    with pytest.warns(RuntimeWarning, match=r"auto.*reference.*never built"):
        assert inner_distance(np.eye(3), (1, 1)).max() == 0.5


def test_an_extension_that_the_source_tree_hides(tree):
    installed = tree / "site" / "inner_distance_gpu"
    (installed / "engines").mkdir(parents=True)
    (installed / "engines" / f"_host{importlib.machinery.EXTENSION_SUFFIXES[0]}").touch()
    assert "never built" in native._why_no_extension()  # no package, only a module
    (installed / "__init__.py").touch()
    native._why_no_extension.cache_clear()
    reason = engines.available()["cpu"]
    assert f"hides the package installed in {tree / 'site'}" in reason
    assert "python -P" in reason
    assert "never built" not in reason


def test_an_extension_that_an_installed_package_lacks(tree, monkeypatch):
    (tree / "tree" / "kernels" / "host.cpp").unlink()
    assert "where the rest of the package lies; install the package anew" in engines.available()["cpu"]
    monkeypatch.setattr(native, "_missing", ImportError("undefined symbol: x"), raising=False)
    native._why_no_extension.cache_clear()
    assert "undefined symbol: x; it was built for another Python" in engines.available()["cpu"]
