"""One fuzz input: bytes -> arrays and keywords -> calls -> the oracle. Shared by `make fuzz` and tests/test_fuzz.py.

The first bytes choose what is called. The public functions run on `cpu` and on `reference`: both have to raise a
ValueError or TypeError, or both have to return the same. The binding `_host` is called with whatever the bytes say:
it may refuse, it must not crash. Any other exception is a finding; so is what a sanitizer reports.
"""

import math
import struct
import warnings

import numpy as np
import torch

from inner_distance_gpu import ClassCounts, InnerDistanceTransform, balanced_weights, inner_distance
from inner_distance_gpu.engines import cpu, native

REFUSED = (ValueError, TypeError)
REFUSED_BY_BINDING = (ValueError, TypeError, MemoryError, OverflowError)
DTYPES = ["?", "u1", "i1", "<u2", ">u2", "<i2", ">i2", "<u4", ">i4", "<i8", ">u8"]
DTYPES += ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"]
SIZES = [1.0, 2.0, 4.0, 40.0, 0.5, 3.3, 5.24, 0.1, 1e-9, 7e6]
ODD = [None, "x", 0, -1, True, math.nan, math.inf, -math.inf, (), 2**70, 10**400, b"u", 1j]
MOST = 3000  # voxels that `reference` is asked for


class Source:
    """Reads a byte string from its start; behind its end all bytes are 0."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        part = self.data[self.at : self.at + count]
        self.at += count
        return part + bytes(count - len(part))

    def below(self, n):
        return self.bytes(1)[0] % n

    def choice(self, options):
        return options[self.below(len(options))]

    def rarely(self):
        return self.bytes(1)[0] >= 250

    def integer(self):
        return struct.unpack("<q", self.bytes(8))[0]

    def double(self):
        return struct.unpack("<d", self.bytes(8))[0]

    def number(self, usual):
        """One of the usual ones, or any double."""
        return self.double() if self.rarely() else self.choice(usual)

    def keyword(self, *usual):
        """One of the usual values, or something odd."""
        return self.choice(ODD) if self.rarely() else self.choice(usual)

    def shape(self, dims):
        spatial = [1 + self.below(8) for _ in range(dims)]
        if self.below(4) == 0:
            spatial[self.below(dims)] = 1 + self.choice([self.below(80), self.below(250)])
        lead = [1 + self.below(3) for _ in range(self.choice([0, 0, 0, 1, 2]))]
        if self.rarely():
            lead.append(0)
        while math.prod(lead + spatial) > MOST:
            spatial[spatial.index(max(spatial))] //= 2
        return (*lead, *spatial)

    def values(self, shape, dtype):
        """Labels or mask: any bits, small numbers from the input, or random ones."""
        count, dtype = math.prod(shape), np.dtype(dtype)
        mode = self.below(6)
        if mode == 0:
            raw = (self.bytes(min(count * dtype.itemsize, 64)) * count)[: count * dtype.itemsize]
            return np.frombuffer(raw, dtype if dtype.kind != "b" else "u1").astype(dtype).reshape(shape).copy()
        if mode in (1, 2):
            few = np.frombuffer(self.bytes(min(count, 64)), np.uint8) % (2 if mode == 1 else 5)
            small = np.resize(few, count)
        elif mode == 3:
            small = np.full(count, 1 + self.below(3))
            small[self.integer() % count if count else slice(0)] = 0
        else:
            generator = np.random.default_rng(self.below(256))
            small = generator.integers(0, 4, count) * (generator.random(count) < self.below(256) / 255)
        values = small.astype(dtype).reshape(shape)
        if dtype.kind == "f" and self.below(4) == 0:
            values[values == 3] = np.nan
        if dtype.kind in "if" and self.below(4) == 0:
            values = (-values.astype(dtype.newbyteorder("="))).astype(dtype)
        return values

    def laid_out(self, values):
        """The same values, in another memory layout."""
        layout = self.below(7)
        if layout == 0:
            return np.asfortranarray(values)
        if layout == 1:
            return np.flip(np.flip(values).copy())
        if layout == 2:
            big = np.zeros([2 * n + 1 for n in values.shape], values.dtype)
            part = big[tuple(slice(1, 1 + 2 * n, 2) for n in values.shape)]
            part[...] = values
            return part
        if layout == 3:
            raw = np.zeros(values.nbytes + 1, np.uint8)[1:].view(values.dtype).reshape(values.shape)
            raw[...] = values
            raw.flags.writeable = False
            return raw
        if layout == 4 and values.ndim:
            return np.broadcast_to(values[:1], values.shape)
        return values

    def array(self, shape, dtypes=DTYPES):
        return self.laid_out(self.values(shape, self.choice(dtypes)))


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


def plans_of(source):
    """A plan on every SIMD level, and the number of axes."""
    sizes = [source.number(SIZES) for _ in range(source.choice([2, 3, 3]))]
    if source.rarely():
        sizes = [source.double() for _ in range(source.below(6))]
    numbers = (
        sizes,
        source.number([0.0, 1.0, 5.0, 300.0]),
        source.choice([0, 1, 2, source.integer() >> 32]),
        bool(source.below(2)),
        source.number([0.0, math.nan]),
    )
    level, always_float = source.choice(["auto", "auto", *native.module.levels(), "none"]), bool(source.below(2))
    task = native.module.Task(*numbers)
    native.module.CpuTask(task, level, always_float)
    return [native.module.CpuTask(task, name, always_float) for name in native.module.levels()], len(sizes)


def format_of(source, dtype):
    kind = source.choice([dtype.kind, dtype.kind, dtype.kind, *"buif", "V", ""])
    width = source.choice([dtype.itemsize, dtype.itemsize, dtype.itemsize, 1, 2, 3, 4, 8])
    ignored = source.choice([0, 1, 3, source.integer() & (2**64 - 1)])
    return native.module.ElementFormat(kind, width, bool(source.below(2)), bool(source.below(2)), ignored)


def bits_of(source, shape):
    """Memory for a label or mask argument of the binding, and its type."""
    array = source.array(shape, [*DTYPES, "S3", "c16", "V5"] if source.rarely() else DTYPES)
    return (array if array.dtype.kind in "SVc" else cpu._bits(array)), array.dtype


def memory(source, shape, dtype):
    """Memory to be written: usually what the binding asks for."""
    if not source.rarely():
        return np.zeros(shape, dtype)
    wrong = source.below(7)
    if wrong == 0:
        return np.zeros([max(0, n - 1) for n in shape], dtype)
    if wrong == 1:
        return np.zeros(shape, source.choice(["f8", "f2", "u1", "c16"]))
    if wrong == 2:
        return np.zeros((*shape, 2), dtype)[..., 0]
    if wrong == 3:
        return np.asfortranarray(np.zeros(shape, dtype))
    if wrong == 4:
        return bytes(math.prod(shape) * np.dtype(dtype).itemsize)
    return source.choice([None, 3, np.zeros((), dtype), np.zeros(0, dtype), memoryview(b"")])


def binding_targets(source):
    """`_host.targets` and `_host.targets_and_weights`, with arguments that need not fit."""
    try:
        plans, dims = plans_of(source)
        shape = source.shape(max(1, dims))
        if source.rarely():
            shape = shape[1:]
        labels, dtype = bits_of(source, shape)
        element_format, out = format_of(source, dtype), memory(source, shape, "f4")
        threads = source.choice([1, 1, 2, source.integer() >> 32])
        if source.below(2):
            for plan in plans:
                native.module.targets(plan, labels, element_format, out, threads)
                if plan is plans[0]:
                    first = out.tobytes()
            assert out.tobytes() == first, "the bits depend on the SIMD level"
            return
        mask, mask_type = (None, np.dtype("u1")) if source.below(2) else bits_of(source, shape)
        slabs = shape[-dims - 1] if len(shape) > dims and source.below(2) else 1
        native.module.targets_and_weights(
            plans[source.below(len(plans))],
            labels,
            element_format,
            out,
            mask if not source.rarely() else labels.ravel(),
            format_of(source, mask_type),
            memory(source, shape, "f4"),
            memory(source, (slabs, 2), "f8"),
            memory(source, (slabs, 2), "f8"),
            (source.number([0.05]), source.number([0.95])),
            bool(source.below(2)),
            threads,
        )
    except REFUSED_BY_BINDING:
        return


def binding_weights(source):
    """`_host.class_weights`, with arguments that need not fit."""
    try:
        shape = source.shape(source.choice([1, 2, 3]))
        labels, dtype = bits_of(source, shape)
        mask, mask_type = bits_of(source, shape)
        slab = [source.choice([n, 1, 2, 3]) for n in shape]
        slabs = math.prod(-(-n // extent) for n, extent in zip(shape, slab, strict=True)) if all(slab) else 1
        if source.rarely():
            slab = [source.integer() for _ in range(len(shape))]
        classes = source.choice([1, 2, 3])
        native.module.class_weights(
            labels,
            format_of(source, dtype),
            mask,
            format_of(source, mask_type),
            memory(source, shape, "f4"),
            memory(source, (slabs, classes), "f8"),
            memory(source, (slabs, classes), "f8"),
            classes if not source.rarely() else source.integer() >> 32,
            bool(source.below(2)),
            slab,
            (source.number([0.05]), source.number([0.95])),
            source.choice([1, 1, 2, source.integer() >> 32]),
        )
    except REFUSED_BY_BINDING:
        return
