"""Calls of the binding `_host` with whatever the bytes say: it may refuse, it must not crash."""

import math

import numpy as np
from fuzz.source import DTYPES, SIZES

from inner_distance_gpu.engines import native

REFUSED_BY_BINDING = (ValueError, TypeError, MemoryError, OverflowError)


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
    return array, array.dtype


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
