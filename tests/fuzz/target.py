"""One fuzz input: bytes -> arrays and keywords -> calls -> the oracle. Shared by `make fuzz` and tests/test_fuzz.py.

The first bytes choose what is called. The public functions run on `cpu` and on `reference`: both have to raise a
ValueError or TypeError, or both have to return the same. The binding `_host` is called with whatever the bytes say:
it may refuse, it must not crash. Any other exception is a finding; so is what a sanitizer reports.
"""

import math
import warnings

import numpy as np
import torch
from fuzz.binding import binding_targets, binding_weights
from fuzz.source import DTYPES, ODD, SIZES, Source

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, inner_distance

REFUSED = (ValueError, TypeError)


def one_input(data):
    """Run one input. Raises for a finding."""
    source = Source(data)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        called = (targets, weights, transforms, binding_targets, binding_weights)
        threaded(source) if source.bytes(1) == b"\xff" else source.choice(called)(source)


def both(call, refusals=REFUSED):
    """What `cpu` and `reference` return, or None where both refuse."""
    found = []
    for engine in ("cpu", "reference"):
        try:
            found.append(call(engine))
        except refusals as error:
            found.append(type(error))
    refused = [isinstance(result, type) for result in found]
    if any(refused):
        assert found[0] is found[1], f"{found}: one engine refuses, the other does not, or otherwise"
        return None
    return found


def assert_equal(result, expected, labels, sizes, scale, background):
    """As tests/oracle.py, but for what float32 cannot say: distances and labels too large or too small for it."""
    if background == "times_label" and scale is None and not 1e-30 < min(sizes) <= max(sizes) < 1e30:
        return
    result, expected = np.asarray(result, np.float64), np.asarray(expected, np.float64)
    size = np.abs(expected) if scale is None else np.ones(expected.shape)
    if background == "times_label" and scale is not None:
        size = np.maximum(1, np.abs(np.nan_to_num(np.asarray(labels).astype(np.float64))))
    same = (result == expected) | (np.isnan(result) & np.isnan(expected))
    same |= np.abs(result - expected) <= 1e-6 * size
    edge = 3.4e38  # where float32 ends, one may be infinite
    same |= (np.sign(result) == np.sign(expected)) & (np.minimum(np.abs(result), np.abs(expected)) > edge)
    if background == "times_label":
        same |= np.isinf(np.asarray(labels, np.float64))
    tiny = 1e-37  # and where its digits end
    same |= np.maximum(np.abs(result), np.abs(expected)) < tiny
    assert same.all(), f"{result[~same][:4]} for {expected[~same][:4]}"


def assert_counts(result, expected, exact):
    assert torch.equal(result.numerators, expected.numerators), (result, expected)
    np.testing.assert_allclose(result.denominators, expected.denominators, rtol=0 if exact else 1e-12)


def keywords_of(source):
    return {
        "background": source.keyword("zero", "signed", "times_label"),
        "no_boundary": source.keyword("extent", "saturate"),
        "ignore_label": source.choice([None, None, 0, 1, 3, 255, 0.5, -1, math.nan]),
        "fill": source.keyword(0.0, -1.0, math.nan, math.inf, source.double()),
        "threads": source.keyword(1, 2, 5, None),
    }


def can_have(labels, ignored):
    """Whether voxels of that type can have this label."""
    if ignored is None or labels.dtype.kind in "bf":
        return True  # 255 at most, which every float type holds
    return ignored == ignored and int(ignored) == ignored and ignored in np.array([ignored]).astype(labels.dtype)


def ignored_by(arrays, ignored):
    """A label to ignore: what was drawn where voxels can have it, 0.5 in any case, which integers refuse, else none."""
    return ignored if ignored == 0.5 or all(can_have(labels, ignored) for labels in arrays) else None


def check_refused(found, arrays, ignored):
    assert found is None or all(can_have(labels, ignored) for labels in arrays), f"{ignored} was not refused"


def voxel_size_of(source):
    sizes = tuple(source.number(SIZES) for _ in range(source.choice([2, 3, 3])))
    return (sizes[0],) * len(sizes) if source.below(2) else sizes


def scale_of(source, sizes):
    relative = source.choice([None, 0.02, 0.5, 3.0, 30.0, 1e4])
    if source.rarely():
        return source.choice([source.double(), *ODD])
    return None if relative is None else relative * min(sizes, default=1.0)


def out_of(source, labels):
    """Several kinds of `out`, some of which have to be refused."""
    kind = source.below(8)
    if kind < 4:
        return None
    if kind == 4:
        return source.laid_out(np.zeros(labels.shape, np.float32))
    if kind == 5:
        return np.zeros(labels.shape, source.choice(["f8", ">f4", "i4"]))
    if kind == 6:
        return labels if labels.dtype == np.float32 else np.zeros((*labels.shape, 1), np.float32)
    return np.asfortranarray(np.zeros(labels.shape, np.float32))


def targets(source):
    """`inner_distance`, from NumPy or torch, with and without `out`."""
    sizes = voxel_size_of(source)
    scale, keywords = scale_of(source, sizes), keywords_of(source)
    labels = source.array(source.shape(len(sizes)))
    if source.rarely():
        labels = labels.reshape(-1)
    keywords["ignore_label"] = ignored_by([labels], keywords["ignore_label"])
    before, tensor, out = labels.copy(), source.below(4) == 0, out_of(source, labels)
    taken = labels
    if tensor and labels.dtype.isnative and all(step >= 0 and step % labels.itemsize == 0 for step in labels.strides):
        taken, out = torch.from_numpy(labels if labels.flags.writeable else labels.copy()), None

    def call(engine):
        result = inner_distance(taken, sizes, scale=scale, engine=engine, out=out, **keywords)
        assert out is None or result is out
        return np.array(result, copy=True)

    found = both(call)
    check_refused(found, [labels], keywords["ignore_label"])
    assert np.array_equal(labels, before, equal_nan=labels.dtype.kind == "f")
    if found:
        assert_equal(*found, labels, sizes, scale, keywords["background"])


def mask_of(source, shape):
    kind = source.below(4)
    if kind == 0:
        return None
    lead = source.below(3)
    return source.array(shape if kind < 3 else (1,) * (lead > 0) + shape[lead:])


def weights(source):
    """`balanced_weights`, twice, with moving counts."""
    shape = source.shape(source.choice([1, 2, 3]))
    classes = source.keyword(1, 2, 3, 5)
    keywords = {
        "mask": mask_of(source, shape),
        "slab": source.choice([None, tuple(source.choice([-1, 1, 2, 3, 100, 0]) for _ in shape)]),
        "clip": source.choice([(0.05, 0.95), (0.2, 0.6), (1e-9, 1.0), (source.double(), source.double())]),
        "ignore_label": source.choice([None, None, 0, 1, 3, 255, 0.5, math.nan]),
        "validate": source.keyword(None, False, False, True),
        "threads": source.keyword(1, 2, None),
    }
    steps = [source.array(shape) for _ in range(2)]
    keywords["ignore_label"] = ignored_by(steps, keywords["ignore_label"])

    def call(engine):
        counts, results = None, []
        for labels in steps:
            result, counts = balanced_weights(labels, classes, counts=counts, engine=engine, **keywords)
            assert isinstance(counts, ClassCounts)
            results.append(result)
        return results, counts

    found, mask = both(call), keywords["mask"]
    check_refused(found, steps, keywords["ignore_label"])
    if found and (mask is None or (np.isfinite(mask) & (mask >= 0)).all()):  # others with validate=False: no promise
        assert_weights(found, exact=mask is None or mask.dtype.kind != "f")


def assert_weights(found, exact):
    (results, counts), (expected, same) = found
    if not torch.isfinite(same.denominators).all():
        return  # masks whose sum is no double
    assert_counts(counts, same, exact)
    for result, other in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, other, rtol=1e-6, atol=1e-37)


def transforms(source):
    """`InnerDistanceTransform`, twice: the fused call."""
    sizes = tuple(source.number(SIZES[:8]) for _ in range(source.choice([2, 3, 3])))
    scale, keywords = scale_of(source, sizes), keywords_of(source)
    shape = source.shape(len(sizes))
    channels = shape[-len(sizes) - 1] if len(shape) > len(sizes) and source.below(2) else 1
    keywords |= {
        "channels": source.keyword(channels, channels, channels, 2),
        "border": source.keyword("keep", "mask"),
        "clip": source.choice([(0.05, 0.95), (0.2, 0.6)]),
        "weights": source.keyword(True, True, True, False),
        "moving": source.keyword(True, False),
    }
    mask, steps = mask_of(source, shape), [source.array(shape) for _ in range(2)]
    keywords["ignore_label"] = ignored_by(steps, keywords["ignore_label"])

    def call(engine):
        transform = InnerDistanceTransform(sizes, scale, engine=engine, **keywords)
        results = [transform(labels, mask) for labels in steps]
        results = results if transform.weights else [(target, target) for target in results]
        return [target for target, _ in results], ([weight for _, weight in results], transform.counts)

    found = both(call)
    check_refused(found, steps, keywords["ignore_label"])
    if found:
        for result, expected, labels in zip(found[0][0], found[1][0], steps, strict=True):
            assert_equal(result, expected, labels, sizes, scale, keywords["background"])
        exact = mask is None or mask.dtype.kind != "f"
        if keywords["weights"]:
            assert_weights([found[0][1], found[1][1]], exact)


def threaded(source):
    """Volumes large enough for threads of their own: the same bits on one."""
    shape = source.choice([(33, 35, 37), (2, 180, 190), (3, 24, 25, 33), (1, 1, 40_000)])
    sizes, labels = (source.number(SIZES),) * 3, source.values(shape, source.choice(DTYPES))
    background, border = source.choice(["zero", "signed"]), source.choice(["keep", "mask"])
    mask = source.choice([None, (labels == labels) * np.float32(0.3)])
    scale = source.choice([None, 3.0, 50.0, 1e4])

    def call(threads):
        transform = InnerDistanceTransform(
            sizes, scale, background=background, border=border, threads=threads, engine="cpu"
        )
        weight, counts = balanced_weights(labels != 0, 2, mask=mask, slab=(2,) * len(shape), threads=threads)
        return [*transform(labels, mask), transform.counts.state(), weight, counts.state()]

    try:
        alone, together = call(1), call(2 + source.below(7))
    except REFUSED:
        return  # a voxel size or a scale that is none
    assert all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(alone, together, strict=True))
