"""Do the device engines, on a device, return what `reference` does, from and to any kind of array?"""

import numpy as np
import pytest
import torch
from device_calls import MASKS, TORCH, blobs, calls, packed_calls, views
from hypothesis import given, settings
from oracle import assert_target, golden

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, engines, inner_distance

pytestmark = pytest.mark.gpu

ENGINES = ["cuda", "cucim"]


@pytest.fixture(params=ENGINES)
def engine(request):
    """Skipped where a package is missing; a device there is, by the mark."""
    reason = engines.available()[request.param]
    if reason is not None:
        pytest.skip(reason)
    return request.param


@pytest.mark.parametrize("case", golden("inner_distance"))
def test_golden(engine, case):
    recorded = golden("inner_distance")[case]
    labels, voxel_size, scale = recorded["labels"], recorded["voxel_size"].tolist(), float(recorded["scale"])
    device_labels = torch.from_numpy(labels).cuda()
    for key, arguments in {
        "raw": {"background": "times_label"},
        "tanh": {"background": "times_label", "scale": scale},
        "signed_tanh": {"background": "signed", "scale": scale},
    }.items():
        result = inner_distance(device_labels, voxel_size, engine=engine, **arguments)
        times_label = labels if arguments["background"] == "times_label" else None
        assert_target(result.cpu(), recorded[key], times_label, arguments.get("scale"))


@settings(deadline=None, max_examples=300)
@given(call=calls())
@pytest.mark.parametrize("engine", ENGINES)
def test_random_volumes(engine, call):
    if engines.available()[engine] is not None:
        pytest.skip(engines.available()[engine])
    labels, voxel_size, keywords = call
    expected = inner_distance(labels, voxel_size, engine="reference", **keywords)
    result = inner_distance(torch.from_numpy(labels).cuda(), voxel_size, engine=engine, **keywords)
    times_label = labels if keywords["background"] == "times_label" else None
    assert_target(result.cpu(), expected, times_label, keywords["scale"])


@settings(deadline=None, max_examples=300)
@given(call=packed_calls())
def test_packed_squares(call):
    for name in ("cuda", "cpu"):
        if engines.available()[name] is not None:
            pytest.skip(engines.available()[name])
    labels, voxel_size, keywords = call
    result = inner_distance(torch.from_numpy(labels).cuda(), voxel_size, **keywords)
    np.testing.assert_array_equal(result.cpu(), inner_distance(labels, voxel_size, engine="cpu", **keywords))


@pytest.mark.parametrize(("name", "labels"), list(views()))
def test_bytes_that_lie_in_fours_and_others(engine, name, labels):
    expected = inner_distance(labels, (2, 1, 1), scale=4, background="signed", engine="reference")
    there = torch.empty_strided(labels.shape, labels.stride(), dtype=labels.dtype, device="cuda")
    once = tuple(slice(None, 1) if step == 0 else slice(None) for step in labels.stride())
    there[once].copy_(labels[once])  # torch writes to no tensor whose elements share memory
    result = inner_distance(there, (2, 1, 1), scale=4, background="signed", engine=engine)
    assert_target(result.cpu(), expected.numpy(), scale=4)


@pytest.mark.parametrize("fraction", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("voxel_size", [(4, 4, 4), (40, 4, 4)])
def test_engines_agree(fraction, voxel_size):
    for name in ("cuda", "cucim"):
        if engines.available()[name] is not None:
            pytest.skip(engines.available()[name])
    labels = torch.from_numpy(blobs((61, 130, 128), fraction=fraction)).cuda()
    for scale in (30, None):
        first, second = (
            inner_distance(labels, voxel_size, scale=scale, background="signed", engine=name) for name in ENGINES
        )
        assert_target(second.cpu(), first.cpu().numpy(), scale=scale)


@pytest.mark.parametrize("dtype", TORCH, ids=str)
def test_types(engine, dtype):
    labels = torch.from_numpy(np.random.default_rng(0).integers(0, 2, (2, 5, 6, 7)) * 3).to(dtype)
    for background in ("signed", "times_label"):
        expected = inner_distance(labels, (30, 4.5, 4), scale=20, background=background, engine="reference")
        result = inner_distance(labels.cuda(), (30, 4.5, 4), scale=20, background=background, engine=engine)
        assert_target(result.cpu(), expected.numpy(), labels.float().numpy(), 20)


@pytest.mark.parametrize("mask_dtype", [None, *MASKS], ids=str)
def test_transform(engine, mask_dtype):
    labels = torch.from_numpy(blobs((2, 3, 33, 65, 70)))
    mask = None if mask_dtype is None else (torch.rand(1, 33, 65, 70) * 3).to(mask_dtype)
    for channels, border in ((3, "mask"), (1, "keep")):
        transforms = {
            name: InnerDistanceTransform((40, 4, 4), 15, channels=channels, border=border, engine=name)
            for name in ("reference", engine)
        }
        for values in (labels, 1 - labels):
            target, weight = transforms["reference"](values, mask)
            same_target, same_weight = transforms[engine](values.cuda(), None if mask is None else mask.cuda())
            assert same_target.device == same_weight.device == values.cuda().device
            assert_target(same_target.cpu(), target.numpy(), scale=15)
            np.testing.assert_allclose(same_weight.cpu(), weight, rtol=1e-6)
        counts, same = (t.counts.to("cpu") for t in transforms.values())
        assert torch.equal(same.numerators, counts.numerators)
        torch.testing.assert_close(same.denominators, counts.denominators, rtol=1e-12, atol=0)


@pytest.mark.parametrize("slab", [None, (2, -1, 5, -1), (1, 1, 4, 1), (-1, 2, 3, 4)])
def test_balanced_weights(engine, slab):
    labels = torch.randint(0, 4, (3, 3, 11, 13))
    mask = torch.rand(1, 11, 13)
    expected, counts = balanced_weights(labels, 4, mask=mask, slab=slab, engine="reference")
    result, same = balanced_weights(labels.cuda(), 4, mask=mask.cuda(), slab=slab, engine=engine)
    np.testing.assert_allclose(result.cpu(), expected, rtol=1e-6)
    assert torch.equal(same.numerators.cpu(), counts.numerators)
    torch.testing.assert_close(same.denominators.cpu(), counts.denominators, rtol=1e-12, atol=0)


def test_layouts_and_out(engine):
    labels = torch.from_numpy(blobs((2, 3, 6, 7, 8))).cuda().permute(1, 0, 4, 2, 3)
    expected = inner_distance(labels.cpu(), (3, 2, 1), engine="reference")
    out = torch.full((3, 2, 16, 6, 14), 99.0, device="cuda")[:, :, ::2, :, ::2]
    assert inner_distance(labels, (3, 2, 1), engine=engine, out=out) is out
    assert_target(out.cpu(), expected.numpy())


def test_cupy_in_and_out(engine):
    cupy = pytest.importorskip("cupy")
    labels = cupy.asarray(blobs((6, 7, 8)))
    out = cupy.empty(labels.shape, cupy.float32)
    result = inner_distance(labels, (3, 2, 1), engine=engine, out=out)
    assert result is out
    assert_target(out.get(), inner_distance(labels.get(), (3, 2, 1), engine="reference"))
    for view in (labels != 0, labels[::-1, :, ::2], labels.astype(cupy.float16), labels.T):
        result = inner_distance(view, (3, 2, 1), engine=engine)
        assert isinstance(result, cupy.ndarray)
        assert_target(result.get(), inner_distance(view.get(), (3, 2, 1), engine="reference"))


def test_host_arrays_go_there_and_come_back(engine):
    labels = blobs((6, 7, 8))
    result = inner_distance(labels, (3, 2, 1), engine=engine)
    assert type(result) is np.ndarray
    assert_target(result, inner_distance(labels, (3, 2, 1), engine="reference"))


def test_device_arrays_choose_cuda():
    if engines.available()["cuda"] is not None:
        pytest.skip(engines.available()["cuda"])
    labels = torch.from_numpy(blobs((6, 7, 8))).cuda()
    assert torch.equal(inner_distance(labels, (1, 1, 1)), inner_distance(labels, (1, 1, 1), engine="cuda"))
    cpu = inner_distance(labels.cpu(), (1, 1, 1), scale=3)
    assert_target(inner_distance(labels, (1, 1, 1), scale=3).cpu(), cpu.numpy(), scale=3)


def test_float_masks_are_summed_alike_every_time(engine):
    labels, mask = torch.zeros(40, 50, 600, device="cuda"), torch.rand(40, 50, 600, device="cuda")
    sums = {float(balanced_weights(labels, mask=mask, engine=engine)[1].denominators[0, 0]) for _ in range(20)}
    assert len(sums) == 1
