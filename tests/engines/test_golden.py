"""Does engine `reference` return what DaCapo itself returned?"""

import numpy as np
import pytest
from oracle import assert_target, golden

from inner_distance_gpu import ClassCounts, balanced_weights, inner_distance

TARGETS = golden("inner_distance")
WEIGHTS = golden("balanced_weights")


def test_the_golden_files_are_complete():
    assert len(TARGETS) == 20
    assert len(WEIGHTS) == 8
    assert sum("labels" in key for case in WEIGHTS.values() for key in case) == 13


@pytest.mark.parametrize("case", TARGETS)
@pytest.mark.parametrize("kind", ["tanh", "raw", "signed_tanh"])
def test_targets(case, kind):
    recorded = TARGETS[case]
    labels, scale = recorded["labels"], None if kind == "raw" else float(recorded["scale"])
    background = "signed" if kind == "signed_tanh" else "times_label"
    result = inner_distance(labels, recorded["voxel_size"], scale=scale, background=background, engine="reference")
    assert_target(result, recorded[kind], labels if background == "times_label" else None, scale)


@pytest.mark.parametrize("case", TARGETS)
def test_binary_labels_need_no_product(case):
    recorded = TARGETS[case]
    if recorded["labels"].max() > 1:
        expected = np.where(recorded["labels"] == 0, 0, recorded["signed_tanh"])
    else:
        expected = recorded["tanh"]
    result = inner_distance(recorded["labels"], recorded["voxel_size"], scale=float(recorded["scale"]))
    assert_target(result, expected, scale=1)


@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.parametrize("carried", ["ClassCounts", "list of dicts"])
def test_weights_and_counts(case, carried):
    recorded = WEIGHTS[case]
    slab = tuple(int(extent) for extent in recorded["slab"]) or None
    counts = None
    steps = sorted({int(key.split("/")[0]) for key in recorded if "/" in key})
    for step in steps:
        weights, counts = balanced_weights(
            recorded[f"{step}/labels"],
            int(recorded["classes"]),
            mask=recorded[f"{step}/mask"],
            slab=slab,
            clip=tuple(recorded["clip"]),
            counts=counts,
            engine="reference",
        )
        expected = recorded[f"{step}/counts"]
        assert weights.dtype == np.float32
        np.testing.assert_allclose(weights, recorded[f"{step}/weights"], rtol=1e-6, atol=0)
        np.testing.assert_array_equal(counts.numerators, expected[..., 0])
        # DaCapo adds up float masks in float32.
        exact = recorded[f"{step}/mask"].dtype.kind != "f"
        np.testing.assert_allclose(counts.denominators, expected[..., 1], rtol=0 if exact else 1e-7)
        if carried == "list of dicts":
            counts = ClassCounts.from_dicts(counts.to_dicts())
