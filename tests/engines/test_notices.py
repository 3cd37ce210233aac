"""Are labels and masks that probably mean something else warned of, once, and no others?"""

import re
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
import torch

from inner_distance_gpu import InnerDistanceTransform, LabelWarning, balanced_weights, engines, inner_distance
from inner_distance_gpu.engines import native, notices

RUNS = [name for name in ("cpu", "reference") if engines.available()[name] is None]
SOFT = np.clip((np.arange(24.0)[None] - 8) / 8, 0, 1)  # an edge that was resampled: 7 of 24 are fractions
CALLS = {
    "inner_distance": lambda labels, **k: inner_distance(labels, (4, 4), **k),
    "transform": lambda labels, **k: InnerDistanceTransform((4, 4), 9, **k)(labels),
}


def said(call):
    """The messages of the warnings that `call` gives."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    assert all(one.category is LabelWarning for one in found)
    assert all(one.filename == __file__ for one in found)  # the line that called us
    return [str(one.message) for one in found]


@pytest.mark.parametrize("engine", RUNS)
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f2", ">f4", ">f8"])
def test_fractions_are_said_once(dtype, call, engine):
    (message,) = said(lambda: call(SOFT.astype(dtype), engine=engine))
    assert "7 of 24 voxels (29.2%)" in message
    assert "(1, 24)" in message
    assert said(lambda: call(SOFT.astype(dtype), engine=engine)) == []


@pytest.mark.parametrize("engine", RUNS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_torch_tensors_too(dtype, engine):
    (message,) = said(lambda: inner_distance(torch.from_numpy(SOFT).to(dtype), (4, 4), engine=engine))
    assert "7 of 24" in message


@pytest.mark.parametrize("engine", RUNS)
@pytest.mark.parametrize("seed", range(12))
def test_every_fraction_is_counted(seed, engine):
    """Any size, sign and type; unannotated voxels are none."""
    rng = np.random.default_rng(seed)
    dtype = np.dtype(["f2", "f4", "f8"][seed % 3])
    shape = [(1, 3), (200, 70), (3, 9, 40), (2, 5, 33, 3), (1, 70_000)][seed % 5]
    raw = rng.integers(0, 256, (*shape, dtype.itemsize), np.uint8).view(dtype)[..., 0]  # any bits
    labels = np.where(rng.random(shape) < 0.5, raw, (rng.integers(-9, 9, shape) / 2).astype(dtype))
    ignored = [None, 0.5, 1][int(rng.integers(3))]
    there = ~np.isnan(labels) & (labels != ignored if ignored is not None else True)
    with np.errstate(invalid="ignore"):
        expected = int((there & (np.trunc(labels) != labels)).sum())
    found = said(lambda: inner_distance(labels, (4, 4), ignore_label=ignored, threads=3, engine=engine))
    assert [int(re.search(r"(\d+) of \d+ voxels", one)[1]) for one in found] == [expected] * (expected > 0)


@pytest.mark.parametrize("level", native.module.levels() if native.module else [])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_every_level_counts_alike(level, dtype):
    values = np.array([0, -0.0, 0.5, -0.5, 1, 1.5, 1023.5, 1025, 2047, np.inf, -np.inf, np.nan, 6e-8, 65504], dtype)
    labels = np.resize(values, (3, 57))
    if dtype != "f2":
        large = float(2 ** (23 if dtype == "f4" else 52))
        labels[0, :4] = large - 0.5, large, large + 1, 2 * large - 1
    expected = np.count_nonzero((np.trunc(labels) != labels) & ~np.isnan(labels))
    out, element = np.empty(labels.shape, np.float32), native.element_format(labels.dtype)
    task = native.module.CpuTask(native.module.Task((1, 1), 1, 0, False, 0), level, False)
    assert native.module.targets(task, labels, element, out, 1) == expected > 0


@pytest.mark.parametrize("engine", RUNS)
def test_whole_numbers_say_nothing(engine):
    nan = np.array([[0, 1, np.nan, 30000, -2, np.inf]])
    for labels in (nan, nan.astype("f4"), nan.astype(">f2"), np.arange(9)[None], np.eye(3) > 0):
        for call in CALLS.values():
            assert said(lambda call=call, labels=labels: call(labels, engine=engine)) == []


WEIGHTS = {
    "balanced_weights": lambda labels, mask, **k: balanced_weights(labels, mask=mask, **k),
    "slabs": lambda labels, mask, **k: balanced_weights(labels, mask=mask, slab=(1, 7), **k),
    "transform": lambda labels, mask, **k: InnerDistanceTransform((4, 4), 9, **k)(labels, mask),
}
LABELS = np.zeros((2, 50), np.uint8)
LABELS[:, :10] = 1


@pytest.mark.parametrize("engine", RUNS)
@pytest.mark.parametrize("call", WEIGHTS.values(), ids=WEIGHTS)
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i4", "i8"])
def test_masks_above_one_are_said_once(dtype, call, engine):
    mask = np.full(LABELS.shape, 255, dtype)
    (message,) = said(lambda: call(LABELS, mask, engine=engine))
    assert "values up to 255" in message
    assert "mask > 0" in message
    assert said(lambda: call(LABELS, mask, engine=engine)) == []


@pytest.mark.parametrize("engine", RUNS)
@pytest.mark.parametrize("call", WEIGHTS.values(), ids=WEIGHTS)
def test_other_masks_say_nothing(call, engine):
    for mask in (None, LABELS, LABELS > 0, LABELS * 2.5, LABELS.astype(">i4"), np.ones_like(LABELS)):
        assert said(lambda mask=mask: call(LABELS, mask, engine=engine)) == []
    one = np.ones_like(LABELS)
    one[0, 30] = 2  # a single one is seen
    assert len(said(lambda: call(LABELS, one, engine=engine))) == 1


def test_sheared_voxels_are_said_once():
    turned = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    assert said(lambda: notices.shear(turned, "label")) == []
    sheared = turned @ np.array([[1, 0.6, 0], [0, 0.8, 0], [0, 0, 1]])
    with pytest.warns(LabelWarning, match=r"'label' has a sheared affine.* 53° apart"):
        notices.shear(sheared, "label")
    assert said(lambda: notices.shear(sheared, "label")) == []


@pytest.mark.filterwarnings("error")
def test_where_warnings_are_errors_each_call_is_one():
    transform = InnerDistanceTransform((4, 4), 9)
    for _ in range(2):
        with pytest.raises(LabelWarning):
            transform(SOFT)
        with pytest.raises(LabelWarning):
            transform(LABELS, LABELS * 255)


@pytest.mark.parametrize("engine", RUNS)
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.filterwarnings("error")
def test_a_call_that_raises_counts_nothing(engine, channels):
    """Whatever other calls have counted stays, to the bit."""
    transform = InnerDistanceTransform((4, 4), 9, channels=channels, engine=engine)
    there = np.random.default_rng(0).integers(0, 3, (3, channels, 7, 9), np.uint8)
    mask = np.ones_like(there)
    for labels, given in ((there / 2, None), (there / 2, mask * 0.25), (there, mask * 255), (there > 1, mask * 2)):
        transform(there)
        before = transform.counts.state()
        for _ in range(2):
            with pytest.raises(LabelWarning):
                transform(labels, given)
        assert torch.equal(transform.counts.state(), before)


@pytest.mark.filterwarnings("error")
def test_calls_that_raise_beside_others_that_count():
    transform, sound = InnerDistanceTransform((4, 4), 9, threads=1), np.ones((4, 5), np.uint8)

    def work(broken):
        for _ in range(200):
            if broken:
                with pytest.raises(LabelWarning):
                    transform(SOFT, np.full(SOFT.shape, 3, np.uint8))
            else:
                transform(sound)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert transform.counts.to_dicts() == [{0: (0, 8001.0), 1: (8000, 8001.0)}]


def test_many_threads_say_it_once():
    ready = threading.Barrier(8)

    def work():
        ready.wait()
        for _ in range(20):
            inner_distance(SOFT, (4, 4), threads=1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 1


def test_graphs_are_looked_at_with_validate_alone():
    tensors, mask = torch.from_numpy(LABELS), torch.full(LABELS.shape, 255, dtype=torch.uint8)
    ops, target = torch.ops.inner_distance_gpu, ((4, 4), 9, "zero", "extent", 0, None, False)
    none, run = (None, None), ("auto", None)
    assert said(lambda: ops.target(torch.from_numpy(SOFT), *target, *run)) == []
    assert said(lambda: ops.target_and_weights(tensors, mask, *none, *target, 1, (0.05, 0.95), "keep", *run)) == []
    weights = (tensors, mask, *none, 2, None, (0.05, 0.95), None, False)
    assert said(lambda: ops.weights(*weights, None, *run)) == []
    with pytest.warns(LabelWarning, match="255"):
        ops.weights(*weights, True, *run)


SLOW = """
import sys
import numpy as np
import inner_distance_gpu
from inner_distance_gpu.engines import native
native.module, native._missing = None, ModuleNotFoundError("gone")
labels = np.eye(3)
inner_distance_gpu.inner_distance(labels, (1, 1), engine="reference")
print("so far nothing", file=sys.stderr)
for _ in range(3):
    inner_distance_gpu.inner_distance(labels, (1, 1))
    inner_distance_gpu.InnerDistanceTransform((1, 1), 1)(labels)
    inner_distance_gpu.engines.fastest()
"""


def test_the_slow_engine_is_said_once_and_not_where_it_was_named():
    printed = subprocess.run([sys.executable, "-c", SLOW], capture_output=True, text=True, check=True).stderr
    before, after = printed.split("so far nothing")
    assert before == ""
    assert after.count("EngineWarning: engine='auto' takes 'reference'") == 1
    assert "pip install" in after
