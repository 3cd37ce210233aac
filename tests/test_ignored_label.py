"""Is an `ignore_label` that no voxel can have refused everywhere, with what was probably meant?"""

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, blockwise, engines, inner_distance, operators

RUNS = [name for name in ("cpu", "reference") if engines.available()[name] is None]

REFUSED = [  # type, value, what the message has to say
    ("int64", 2**64 - 1, ["labels of int64", "same bits is -1"]),
    (">i8", 2**64 - 1, [">i8", "same bits is -1"]),
    ("uint8", -1, ["labels of uint8", "0 to 255", "same bits is 255"]),
    ("int8", 255, ["labels of int8", "-128 to 127", "same bits is -1"]),
    ("int8", 255.0, ["labels of int8", "same bits is -1"]),
    ("uint16", 65536, ["labels of uint16", "same bits is 0"]),
    ("uint64", float(2**64 - 1), ["labels of uint64", "above 2⁵³", f"same bits is {2**64 - 1}"]),
    ("int64", float(2**64 - 1), ["labels of int64", "above 2⁵³", "same bits is -1"]),
    ("int64", 2.0**60, ["labels of int64", "above 2⁵³", str(2**60)]),
    ("int32", 0.5, ["0.5", "labels of int32", "whole numbers"]),
    ("int32", np.nan, ["nan", "labels of int32"]),
    ("uint8", np.inf, ["inf", "labels of uint8"]),
    ("float16", 70000, ["70000", "labels of float16", "65504"]),
    ("float32", 1e39, ["1e+39", "labels of float32"]),
]
CALLS = {
    "inner_distance": lambda labels, **k: inner_distance(labels, (1, 1), **k),
    "balanced_weights": lambda labels, **k: balanced_weights(labels, **k),
    "transform": lambda labels, **k: InnerDistanceTransform((1, 1), 1, **k)(labels),
    "target alone": lambda labels, **k: InnerDistanceTransform((1, 1), 1, weights=False, **k)(labels),
}


def refused(said, call):
    with pytest.raises(ValueError, match=r"^ignore_label=") as raised:
        call()
    for words in said:
        assert words in str(raised.value)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(("dtype", "value", "said"), REFUSED)
def test_a_value_that_no_voxel_has(dtype, value, said, call):
    labels = np.zeros((2, 3), dtype)
    for engine in RUNS:
        refused(said, lambda engine=engine: call(labels, ignore_label=value, engine=engine))
    if labels.dtype.isnative:
        refused(said, lambda: call(torch.from_numpy(labels), ignore_label=value))


def test_what_was_accepted_before_does_not_decide():
    """An integer and a float that are equal: one is exact."""
    labels = np.array([[0, 2**60, 1]])
    for value in (2**60, 2.0**60, 2**60, 2.0**60):
        if isinstance(value, int):
            assert inner_distance(labels, (1, 1), ignore_label=value, fill=9, no_boundary="extent")[0, 1] == 9
        else:
            refused(["2⁵³"], lambda value=value: inner_distance(labels, (1, 1), ignore_label=value))


@pytest.mark.parametrize("engine", RUNS)
def test_floats_are_compared_after_rounding(engine):
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        labels = torch.tensor([[0, 0.1, 1, 1]], dtype=dtype)
        result = inner_distance(labels, (1, 1), ignore_label=0.1, fill=9, engine=engine)
        assert result.tolist() == [[0, 9, 0.5, 0.5]], dtype
    refused(["bfloat16"], lambda: inner_distance(labels.bfloat16(), (1, 1), ignore_label=3.4e38, engine=engine))


def test_the_type_decides_when_a_graph_is_made():
    ops, run = torch.ops.inner_distance_gpu, ("auto", None)
    none, clip, paintera = (None,) * 3, (0.05, 0.95), operators.wrapped(2**64 - 1)
    target = ((1.0, 1.0), 1.0, "zero", "extent", 0.0, *paintera)
    with FakeTensorMode():
        fake = torch.empty(4, 5, dtype=torch.int64)
        refused(["-1"], lambda: ops.target(fake, *target, *run))
        refused(["-1"], lambda: ops.target_and_weights(fake, *none, *target, 1, clip, "keep", *run))
        refused(["-1"], lambda: ops.weights(fake, *none, 2, None, clip, *paintera, None, *run))


def test_a_graph_refuses_it_when_it_runs():
    labels = torch.zeros(4, 5, dtype=torch.uint8)
    run = torch.ops.inner_distance_gpu.target
    refused(["same bits is 255"], lambda: run(labels, (1, 1), 1, "zero", "extent", 0, -1, False, "auto", None))


def test_dask_arrays_are_refused_before_anything_is_computed():
    dask = pytest.importorskip("dask.array")
    labels = dask.zeros((4, 6), chunks=3, dtype=np.int64)
    refused(["-1"], lambda: blockwise.inner_distance(labels, (1, 1), scale=1, ignore_label=2**64 - 1))


@pytest.mark.parametrize("options", [(), ("--ids", "1"), ("--binary",)])
def test_the_command_line(call, tmp_path, options):
    np.save(tmp_path / "l.npy", np.eye(4, dtype=np.uint8))
    (tmp_path / "t.npy").write_text("kept")
    given = ("--scale", 5, "--voxel-size", "4,4", "--ignore-label", "-1", "--overwrite", *options)
    code, _, printed = call("run", tmp_path / "l.npy", tmp_path / "t.npy", *given)
    assert code == 2
    assert "same bits is 255" in printed
    assert (tmp_path / "t.npy").read_text() == "kept"


@pytest.mark.parametrize("keywords", [{}, {"binary": True}, {"ids": [1]}], ids=str)
def test_volumes_are_refused_before_anything_is_written(tmp_path, keywords):
    zarr = pytest.importorskip("zarr")
    zarr.open_array(tmp_path / "l.zarr", mode="w", shape=(4, 4), chunks=(4, 4), dtype="i8")[...] = np.eye(4)
    given = {"scale": 5, "ignore_label": 2**64 - 1} | keywords
    refused(["-1"], lambda: blockwise.write(tmp_path / "l.zarr", tmp_path / "t.zarr", (4, 4), **given))
    assert not (tmp_path / "t.zarr").exists()
