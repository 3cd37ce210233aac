"""Random volumes with everything that the public contract allows, for engines that are compared with one another."""

import numpy as np
from hypothesis import strategies as st

DTYPES = ["?", "u1", "i1", "<u2", ">u2", "<i2", "<u4", ">i4", "<i8", ">u8", "<f2", "<f4", ">f4", "<f8", ">f8"]
SIZES = [1.0, 2.0, 4.0, 8.0, 40.0, 4.1, 5.24, 0.3, 1e-9, 7e6]
UNANNOTATED = 3


def smooth(rng, shape):
    """Blobs without SciPy: noise, averaged along every axis."""
    field = rng.standard_normal(shape)
    for axis in range(len(shape)):
        width = int(rng.integers(1, 6))
        field = sum(np.roll(field, i, axis) for i in range(width)) / width
    return field / (field.std() + 1e-9)


def labels_of(rng, shape, dtype, kind):
    """`kind` 0: blobs, 1: instances, 2: noise, 3: full but for one voxel, 4: full."""
    if kind == 0:
        labels = (smooth(rng, shape) > rng.uniform(-2.5, 2.5)).astype(np.int64)
    elif kind == 1:
        labels = np.clip(np.round(smooth(rng, shape) * rng.uniform(0.2, 2)), -3, 5).astype(np.int64)
    elif kind == 2:
        labels = rng.integers(0, int(rng.integers(2, 5)), shape) * (rng.random(shape) < rng.uniform())
    else:
        labels = np.full(shape, 2)
        if kind == 3:
            labels.flat[rng.integers(labels.size)] = 0
    if np.dtype(dtype).kind in "ub":
        labels = np.abs(labels)
    return labels.astype(dtype)


def laid_out(rng, values):
    """The same values in another memory layout."""
    choice = int(rng.integers(5))
    if choice == 0:
        return np.asfortranarray(values)
    if choice == 1:
        return np.flip(np.flip(values).copy())
    if choice == 2:
        big = np.zeros([2 * n for n in values.shape], values.dtype)
        part = big[(slice(1, None, 2),) * values.ndim]
        part[...] = values
        return part
    if choice == 3:
        raw = np.zeros(values.nbytes + 1, np.uint8)[1:]
        shifted = raw.view(values.dtype).reshape(values.shape)
        shifted[...] = values
        shifted.flags.writeable = False
        return shifted
    return values


def case_of(seed, shape, dtype, kind, sizes, scale, background, no_boundary, ignore, fill):
    rng = np.random.default_rng(seed)
    dims = len(sizes)
    labels = labels_of(rng, shape, dtype, kind)
    if ignore == "nan" and labels.dtype.kind == "f":
        labels[rng.random(shape) < rng.choice([0.02, 0.5])] = np.nan
    keywords = {
        "voxel_size": sizes,
        "scale": None if scale is None else scale * min(sizes) * max(shape[-dims:]),
        "background": background,
        "no_boundary": no_boundary,
        "ignore_label": UNANNOTATED if ignore == "label" else None,
        "fill": fill,
    }
    return laid_out(rng, labels), keywords


@st.composite
def cases(draw):
    """(labels, keywords of `inner_distance`)."""
    dims = draw(st.sampled_from([2, 3]))
    longest = draw(st.sampled_from([3, 9, 20])) if dims == 3 else draw(st.sampled_from([5, 30, 300]))
    shape = draw(st.sampled_from([(), (), (2,), (2, 1)])) + draw(st.tuples(*[st.integers(1, longest)] * dims))
    return case_of(
        draw(st.integers(0, 2**32)),
        shape,
        draw(st.sampled_from(DTYPES)),
        draw(st.integers(0, 4)),
        draw(st.tuples(*[st.sampled_from(SIZES[: draw(st.sampled_from([1, 5, 7, 8]))])] * dims))
        if draw(st.booleans())
        else (draw(st.sampled_from(SIZES)),) * dims,
        draw(st.sampled_from([None, 0.02, 0.1, 0.5, 3.0, 1e3])),
        draw(st.sampled_from(["zero", "signed", "times_label"])),
        draw(st.sampled_from(["extent", "saturate"])),
        draw(st.sampled_from(["", "", "nan", "label"])),
        draw(st.sampled_from([0.0, -1.0, np.nan, np.inf])),
    )
