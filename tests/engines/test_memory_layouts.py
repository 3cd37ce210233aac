"""Do values go where they belong, however the caller's memory is read: negated, misaligned, in another order?"""

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, inner_distance

LABELS = torch.tensor([[0, 0, 1, 1, 2, 2, 2]] * 3, dtype=torch.uint8)


@pytest.fixture(params=["reference", "cpu", "cuda", "cucim"])
def engine(request, on_host):
    on_host(HostLauncher())
    return request.param


@pytest.fixture
def launcher(on_host):
    return on_host(HostLauncher())


def negated(values):
    """Torch reads `values`; memory holds their negative."""
    view = torch.complex(torch.zeros_like(values), -values).conj().imag
    assert view.is_neg()
    assert torch.equal(view, values)
    return view


def test_an_out_that_memory_holds_negated(engine):
    out = negated(torch.full(LABELS.shape, 7.0))
    result = inner_distance(LABELS, (4, 4), scale=5, background="signed", engine=engine, out=out)
    assert result is out
    assert torch.equal(out.clone(), inner_distance(LABELS, (4, 4), scale=5, background="signed", engine=engine))
    assert out.is_neg()


def test_labels_and_a_mask_that_memory_holds_negated(engine):
    labels, mask = LABELS.float(), torch.rand(LABELS.shape)
    expected = InnerDistanceTransform((4, 4), 5, engine=engine)(labels, mask)
    result = InnerDistanceTransform((4, 4), 5, engine=engine)(negated(labels), negated(mask))
    assert all(map(torch.equal, result, expected))


def test_a_negated_out_shares_memory_with_labels():
    memory = torch.complex(torch.zeros(3, 7), torch.ones(3, 7))
    for labels, out in ((memory.conj().imag, memory.imag), (memory.imag, memory.conj().imag)):
        with pytest.raises(ValueError, match="shares memory with the labels"):
            inner_distance(labels, (4, 4), out=out)
    assert (memory.imag == 1).all()
    result = inner_distance(memory.imag, (4, 4), out=memory.real)
    assert result.data_ptr() == memory.data_ptr()


@pytest.mark.parametrize("place", ["labels", "mask", "out"])
def test_tensors_without_memory_are_refused(place):
    zeros = torch._efficientzerotensor(LABELS.shape, dtype=torch.float32)
    call = InnerDistanceTransform((4, 4), 5) if place == "mask" else inner_distance
    arguments = {"labels": LABELS} | ({} if place == "mask" else {"voxel_size": (4, 4)}) | {place: zeros}
    with pytest.raises(TypeError, match=rf"{place}: a zero \(.*\) tensor \(shape \(3, 7\)\) is not accepted"):
        call(**arguments)


@pytest.mark.parametrize("dtype", [torch.int16, torch.float32, torch.int64])
def test_labels_that_begin_between_two_elements(engine, dtype):
    size = dtype.itemsize
    stored = bytearray(1) + bytearray(LABELS.to(dtype).numpy().tobytes())
    labels = torch.frombuffer(stored, dtype=dtype, offset=1).reshape(LABELS.shape)
    assert labels.data_ptr() % size or labels[0, 1:].data_ptr() % size
    for view, same in ((labels, LABELS), (labels[:, ::2], LABELS[:, ::2]), (labels.T, LABELS.T)):
        expected = inner_distance(same.to(dtype), (4, 4), engine=engine)
        assert torch.equal(inner_distance(view, (4, 4), engine=engine), expected)


@pytest.mark.parametrize("library", ["torch", "NumPy"])
def test_kernels_see_aligned_labels_and_masks(launcher, library):
    stored = bytearray(1) + bytearray(LABELS.int().numpy().tobytes())
    if library == "torch":
        labels = torch.frombuffer(stored, dtype=torch.int32, offset=1).reshape(LABELS.shape)
    else:
        labels = np.frombuffer(stored, np.int32, offset=1).reshape(LABELS.shape)
    InnerDistanceTransform((4, 4), 5, engine="cuda")(labels, labels)
    jobs = [record for record in launcher.records if hasattr(record, "scans")]
    assert jobs
    assert all(view.data % 4 == 0 for job in jobs for view in (job.labels, job.mask, job.target))


def columns(values):
    """The same numbers, but those of a class lie together."""
    return torch.tensor(values, dtype=torch.float64).T.contiguous().T


GIVEN = ([[3.0, 5.0], [40.0, 1.0]], [[11.0, 11.0], [60.0, 60.0]])
RUN = (2, [1, -1], [0.05, 0.95], None, False, None)
SLABS = torch.tensor([[0, 1, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1]])


@pytest.mark.parametrize("given", [columns, lambda values: negated(torch.tensor(values, dtype=torch.float64))])
def test_counts_that_lie_in_another_order(engine, given):
    weights = torch.ops.inner_distance_gpu.weights
    numerators, denominators = (torch.tensor(values, dtype=torch.float64) for values in GIVEN)
    expected = weights(SLABS, None, numerators, denominators, *RUN, engine, None)
    result = weights(SLABS, None, *map(given, GIVEN), *RUN, engine, None)
    assert all(map(torch.equal, result, expected))
    both = torch.ops.inner_distance_gpu.target_and_weights
    target = ([4.0, 4.0], 5.0, "zero", "extent", 0.0, None, False, 2, [0.05, 0.95], "keep")
    expected = both(SLABS[:, None], None, numerators, denominators, *target, engine, None)
    result = both(SLABS[:, None], None, *map(given, GIVEN), *target, engine, None)
    assert all(map(torch.equal, result, expected))


def test_moving_counts_that_lie_in_another_order(engine):
    expected, other = (InnerDistanceTransform((4, 4), 5, channels=2, engine=engine) for _ in range(2))
    expected.counts.take(ClassCounts(*GIVEN))
    other.counts.numerators, other.counts.denominators = map(columns, GIVEN)
    for _ in range(2):
        results = [transform(SLABS[:, None].expand(2, 2, 6)) for transform in (expected, other)]
        assert all(map(torch.equal, *results))
    assert other.counts.to_dicts() == expected.counts.to_dicts()


@pytest.mark.no_kernel
@pytest.mark.parametrize(
    ("numerators", "denominators", "error", "message"),
    [
        (torch.zeros(2, 2, dtype=torch.float64), None, ValueError, "denominators=None"),
        (None, torch.zeros(2, 2, dtype=torch.float64), ValueError, "numerators=None"),
        (torch.zeros(2, 2), torch.ones(2, 2), TypeError, "numerators have dtype torch.float32"),
        (torch.zeros(2, 2, dtype=torch.float64), torch.ones(2, 2, dtype=torch.int64), TypeError, "denominators have"),
        (torch.zeros(2, 2).double(), torch.ones(1, 2).double(), ValueError, r"numerators have shape \(2, 2\)"),
        (torch.zeros(2).double(), torch.ones(2).double(), ValueError, r"numerators have shape \(2,\)"),
    ],
)
def test_counts_that_kernels_would_misread_are_refused(engine, numerators, denominators, error, message):
    with pytest.raises(error, match=message):
        torch.ops.inner_distance_gpu.weights(SLABS, None, numerators, denominators, *RUN, engine, None)


def test_numpy_labels_that_begin_between_two_elements(engine):
    stored = np.zeros(LABELS.numel() * 4 + 1, np.uint8)
    labels = stored[1:].view(np.int32).reshape(LABELS.shape)
    labels[...] = LABELS.numpy()
    expected = inner_distance(LABELS.numpy(), (4, 4), engine=engine)
    np.testing.assert_array_equal(inner_distance(labels, (4, 4), engine=engine), expected)
