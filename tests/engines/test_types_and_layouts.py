"""Is the target the same whatever type, byte order or memory layout the labels come in?"""

import ml_dtypes
import numpy as np
import pytest
import torch

from inner_distance_gpu import balanced_weights, inner_distance

VOXEL = (30, 4.5, 4)
VALUES = np.random.default_rng(0).integers(0, 2, (2, 5, 6, 7)) * np.array([1, 3]).reshape(2, 1, 1, 1)
EXPECTED = inner_distance(VALUES, VOXEL, scale=20, background="signed")

INTEGERS = [f"{order}{kind}{width}" for order in "<>" for kind in "iu" for width in (1, 2, 4, 8)]
FLOATS = [f"{order}f{width}" for order in "<>" for width in (2, 4, 8)]


def target(labels, **keywords):
    return inner_distance(labels, VOXEL, scale=20, background="signed", **keywords)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
def test_numpy_types(dtype):
    labels = VALUES.astype(dtype)
    np.testing.assert_array_equal(target(labels), EXPECTED)
    weights, counts = balanced_weights(labels, 4)
    assert weights.dtype == np.float32
    assert counts.to_dicts() == balanced_weights(VALUES, 4)[1].to_dicts()


def test_numpy_bool():
    expected = target((VALUES != 0).astype(int))
    np.testing.assert_array_equal(target(VALUES != 0), expected)
    assert balanced_weights(VALUES != 0)[1].to_dicts() == balanced_weights((VALUES != 0).astype(int))[1].to_dicts()


@pytest.mark.parametrize("dtype", [*FLOATS, ml_dtypes.bfloat16], ids=str)
def test_infinity_is_a_label_and_nan_is_none(dtype):
    ids = np.resize([0, 2, 2, 2, 1, 1, 3, 3, 4, 2, 0], (3, 4, 40))
    labels = np.select([ids == 2, ids == 3, ids == 4], [np.inf, -np.inf, np.nan], ids).astype(dtype)
    np.testing.assert_array_equal(target(labels, fill=9), target(ids, ignore_label=4, fill=9))


def test_numpy_bfloat16():
    np.testing.assert_array_equal(target(VALUES.astype(ml_dtypes.bfloat16)), EXPECTED)


TORCH = [torch.uint8, torch.uint16, torch.uint32, torch.uint64, torch.int8, torch.int16, torch.int32, torch.int64]
TORCH += [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@pytest.mark.parametrize("dtype", TORCH, ids=str)
def test_torch_types(dtype):
    labels = torch.from_numpy(VALUES).to(dtype)
    result = target(labels)
    assert isinstance(result, torch.Tensor)
    assert result.dtype == torch.float32
    assert result.device == labels.device
    np.testing.assert_array_equal(result, EXPECTED)
    weights, counts = balanced_weights(labels, 4)
    assert isinstance(weights, torch.Tensor)
    assert counts.to_dicts() == balanced_weights(VALUES, 4)[1].to_dicts()


def test_torch_bool():
    expected = target((VALUES != 0).astype(int))
    np.testing.assert_array_equal(target(torch.from_numpy(VALUES != 0)), expected)


def test_values_that_a_narrower_type_would_confuse():
    wide = np.array([[2**53, 2**53 + 1, 2**64 - 1, 2**64 - 2]], np.uint64)
    np.testing.assert_array_equal(inner_distance(wide, (1, 1)), [[0.5, 0.5, 0.5, 0.5]])
    np.testing.assert_array_equal(inner_distance(torch.from_numpy(wide), (1, 1)), [[0.5, 0.5, 0.5, 0.5]])
    near = np.array([[256, 257, 1e-4, 1.01e-4]], np.float64)
    np.testing.assert_array_equal(inner_distance(near, (1, 1)), [[0.5, 0.5, 0.5, 0.5]])


def test_negative_labels_are_foreground_and_minus_zero_is_not():
    labels = np.array([[0.0, -0.0, -3.0, -3.0]])
    np.testing.assert_array_equal(inner_distance(labels, (2, 2), background="signed"), [[-3, -1, 1, 3]])
    np.testing.assert_array_equal(inner_distance(labels, (2, 2), background="times_label"), [[0, 0, -3, -9]])


def layouts(values):
    yield "Fortran", np.asfortranarray(values)
    yield "transposed", np.ascontiguousarray(values.transpose(3, 1, 0, 2)).transpose(2, 1, 3, 0)
    yield "negative strides", values[..., ::-1, ::-1].copy()[..., ::-1, ::-1]
    big = np.zeros([2 * n for n in values.shape], values.dtype)
    big[::2, 1::2, ::2, 1::2] = values
    yield "every other voxel", big[::2, 1::2, ::2, 1::2]
    read_only = values.copy()
    read_only.flags.writeable = False
    yield "read-only", read_only
    raw = np.zeros(values.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(values.tobytes(), np.uint8)
    yield "unaligned", raw[1:].view(values.dtype).reshape(values.shape)
    yield "broadcast", np.broadcast_to(values[0], values.shape)


@pytest.mark.parametrize("labels", [pytest.param(labels, id=name) for name, labels in layouts(VALUES)])
def test_numpy_layouts(labels):
    before = labels.copy()
    expected = target(before)
    np.testing.assert_array_equal(target(labels), expected)
    np.testing.assert_array_equal(labels, before)
    weights, counts = balanced_weights(labels, 4, slab=(1, -1, -1, -1))
    same_weights, same_counts = balanced_weights(before, 4, slab=(1, -1, -1, -1))
    np.testing.assert_array_equal(weights, same_weights)
    assert counts.to_dicts() == same_counts.to_dicts()


def test_torch_layouts():
    labels = torch.from_numpy(VALUES)
    for other in (
        labels.permute(3, 0, 2, 1).contiguous().permute(1, 3, 2, 0),
        labels.contiguous(memory_format=torch.channels_last),
        labels[:1].expand(2, -1, -1, -1),
        labels.float().requires_grad_(),
        torch.nn.Parameter(labels.float()),
        torch.complex(torch.zeros(labels.shape), -labels.float()).conj().imag,
    ):
        result = target(other)
        assert not result.requires_grad
        np.testing.assert_array_equal(result, target(other.detach().resolve_neg().clone().numpy()))
    assert torch.complex(torch.zeros(2), torch.ones(2)).conj().imag.is_neg()


@pytest.mark.parametrize("kind", ["numpy", "torch"])
def test_out_is_filled_and_returned(kind):
    for out in (
        np.empty(VALUES.shape, np.float32),
        np.empty(VALUES.shape[::-1], np.float32).transpose(),
        np.empty([2 * n for n in VALUES.shape], np.float32)[::2, ::2, ::2, ::2],
    ):
        labels = VALUES if kind == "numpy" else torch.from_numpy(VALUES)
        given = out if kind == "numpy" else torch.from_numpy(out)
        out[...] = 99
        assert target(labels, out=given) is given
        np.testing.assert_array_equal(out, EXPECTED)
    if kind == "numpy":
        flipped = np.empty(VALUES.shape, np.float32)[..., ::-1]
        np.testing.assert_array_equal(target(VALUES, out=flipped), EXPECTED)


def test_out_between_the_labels():
    both = np.zeros((5, 6, 14), np.float32)
    both[..., ::2] = VALUES[0]
    result = target(both[..., ::2], out=both[..., 1::2])
    np.testing.assert_array_equal(result, EXPECTED[0])
    np.testing.assert_array_equal(both[..., ::2], VALUES[0])


class Foreign:
    """An array of a library that nobody here knows."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **keywords):
        return self.array.__dlpack__(**keywords)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy], ids=["NumPy inside", "torch inside"])
def test_foreign_dlpack_comes_back_as_numpy(make):
    result = target(Foreign(make(VALUES)))
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, EXPECTED)


def test_foreign_dlpack_that_cannot_be_read():
    with pytest.raises(TypeError, match=r"Foreign could not be read through DLPack .*expected bool"):
        target(Foreign(torch.zeros(2, 2, 2, dtype=torch.bfloat16)))


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4"])
def test_minus_zero_is_zero(dtype):
    """As a label, as the label to ignore, and as a class."""
    labels = np.array([[0.0, -0.0, 1, 1]], dtype)
    for ignored in (-0.0, 0.0):
        result = inner_distance(labels, (1, 1), ignore_label=ignored, fill=9, no_boundary="saturate", scale=1)
        np.testing.assert_array_equal(result, [[9, 9, 1, 1]])
    assert balanced_weights(labels)[1].numerators.tolist() == [[2, 2]]


def test_ignore_label_meets_the_label_type():
    labels = np.array([[0, 1, 255, 1]])
    expected = inner_distance(labels, (1, 1), ignore_label=255, fill=9)
    np.testing.assert_array_equal(expected, [[0, 0.5, 9, 2.5]])
    for dtype in ("uint8", "int16", ">u4", "float16", "float64"):
        np.testing.assert_array_equal(inner_distance(labels.astype(dtype), (1, 1), ignore_label=255, fill=9), expected)
        np.testing.assert_array_equal(
            inner_distance(labels.astype(dtype), (1, 1), ignore_label=255.0, fill=9), expected
        )
    for ignored in (2, 255, 0.5, np.nan):  # bool labels are compared with any number
        assert inner_distance(labels == 1, (1, 1), ignore_label=ignored).max() == 0.5
    np.testing.assert_array_equal(inner_distance(labels == 1, (1, 1), ignore_label=1.0, fill=9)[0, 1::2], [9, 9])
    infinite = np.array([[0, np.inf, 1, 1]], np.float16)
    np.testing.assert_array_equal(inner_distance(infinite, (1, 1), ignore_label=np.inf, fill=9), [[0, 9, 0.5, 0.5]])
    third = np.array([[0, 0.1, 1]], np.float32)
    np.testing.assert_array_equal(inner_distance(third, (1, 1), ignore_label=0.1, fill=9), [[0, 9, 0.5]])
