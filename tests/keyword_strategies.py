"""For Hypothesis: labels, and a value of every keyword of the public functions that fits them."""

import numpy as np
from class_strategies import class_lists
from hypothesis import strategies as st


@st.composite
def labels_with(draw, dims, dtypes=("?", "u1", "i2", ">i4", "f4", "f8")):
    lead = draw(st.lists(st.integers(1, 3), max_size=2))
    spatial = draw(st.lists(st.integers(1, 8) | st.sampled_from([17, 33]), min_size=dims, max_size=dims))
    while np.prod(lead + spatial) > 2000:
        spatial[spatial.index(max(spatial))] //= 2
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = generator.integers(1, 4, lead + spatial)
    values *= generator.random(values.shape) < draw(st.sampled_from([0.02, 0.5, 0.9, 1.0]))
    labels = values.astype(draw(st.sampled_from(dtypes)))
    if labels.dtype.kind == "f" and draw(st.booleans()):
        labels[values == 3] = np.nan
    return labels


SIZES = st.sampled_from([1.0, 4.0, 3.7, 40.0])
CLIPS = st.sampled_from([(0.05, 0.95), (0.3, 0.6), (1e-6, 1.0)])
THREADS = st.sampled_from([None, 1, 2])
ENGINE = st.none()  # a test names it


def voxel_sizes(labels, dims):
    return st.tuples(*[SIZES] * dims)


def masks(labels, dims):
    lead = labels.ndim - dims
    shapes = [labels.shape, labels.shape[lead:], (1,) * lead + labels.shape[lead:]]
    kinds = st.tuples(st.sampled_from(shapes), st.sampled_from(["?", "u1", "i8", "f4", ">f8"]), st.integers(0, 9))
    drawn = kinds.map(lambda k: (np.random.default_rng(k[2]).random(k[0]) * 3).astype(k[1]))
    return st.none() | drawn


def classes_of(labels, dims):
    """Without any, most often: `out` and `mask` have the shapes that fit."""
    return st.none() | st.none() | class_lists(labels.dtype, None)


def outs(labels, dims):
    return st.sampled_from(
        [None, np.full(labels.shape, 7, np.float32), np.full(labels.shape, 7, np.float32, order="F")]
    )


def slabs(labels, dims):
    return st.none() | st.tuples(*[st.sampled_from([-1, 1, 2, 5])] * labels.ndim)


def channel_counts(labels, dims):
    return st.sampled_from([1, *labels.shape[-dims - 1 : -dims]])


TARGET = {
    "scale": lambda labels, dims: st.sampled_from([None, 0.7, 5.0, 60.0]),
    "background": lambda labels, dims: st.sampled_from(["zero", "signed", "times_label"]),
    "no_boundary": lambda labels, dims: st.sampled_from(["extent", "saturate"]),
    "ignore_label": lambda labels, dims: st.sampled_from([None, 0, 1, 3, 1.0]),
    "fill": lambda labels, dims: st.sampled_from([0.0, -2.5, np.nan]),
    "engine": lambda labels, dims: ENGINE,
    "threads": lambda labels, dims: THREADS,
}
# Per function and keyword: labels, number of spatial axes -> strategy. Labels come first, `counts` by calling twice.
STRATEGIES = {
    "inner_distance": TARGET | {"labels": None, "voxel_size": voxel_sizes, "out": outs, "classes": classes_of},
    "balanced_weights": {
        "labels": None,
        "num_classes": lambda labels, dims: st.sampled_from([1, 2, 3, 4]),
        "mask": lambda labels, dims: masks(labels, min(2, labels.ndim)),
        "slab": slabs,
        "clip": lambda labels, dims: CLIPS,
        "counts": lambda labels, dims: st.none(),
        "ignore_label": lambda labels, dims: st.sampled_from([None, 0, 1, 3, 1.0]),
        "validate": lambda labels, dims: st.sampled_from([None, False, True]),
        "engine": lambda labels, dims: ENGINE,
        "threads": lambda labels, dims: THREADS,
    },
    "InnerDistanceTransform": TARGET
    | {
        "voxel_size": voxel_sizes,
        "channels": channel_counts,
        "classes": classes_of,
        "weights": lambda labels, dims: st.sampled_from([True, True, False]),
        "moving": lambda labels, dims: st.booleans(),
        "clip": lambda labels, dims: CLIPS,
        "border": lambda labels, dims: st.sampled_from(["keep", "mask"]),
    },
    "forward": {
        "labels": None,
        "mask": masks,
        "voxel_size": lambda labels, dims: st.none() | voxel_sizes(labels, dims),
    },
}


def drawn(draw, name, labels, dims):
    strategies = {key: of(labels, dims) for key, of in STRATEGIES[name].items() if of is not None}
    return {key: draw(strategy) for key, strategy in strategies.items()}


@st.composite
def calls(draw, name):
    dims = draw(st.sampled_from([2, 3]))
    labels = draw(labels_with(dims))
    keywords = drawn(draw, name, labels, dims)
    return labels, keywords, (drawn(draw, "forward", labels, dims) if name == "InnerDistanceTransform" else {})
