"""For Hypothesis: lists of classes that fit labels, and the stack of binary volumes that they stand for."""

import numpy as np
from hypothesis import strategies as st

from inner_distance_gpu.labels import as_label

IDS = [-3, -2, -1, 0, 1, 2, 3, 4, 5, 77, 100]  # of labels in cases.py, and some that never occur
UNANNOTATED = 2


@st.composite
def class_lists(draw, dtype, ignore_label):
    """Single ids and unions, overlapping ones, 0 and absent ids among them, in any order; up to 40 classes."""
    possible = [i for i in IDS if as_label(i, np.dtype(dtype)) is not None and i != ignore_label]
    ids = st.sampled_from(possible)
    one = ids | st.lists(ids, min_size=1, max_size=4) | st.just(possible)
    return draw(st.lists(one, min_size=1, max_size=draw(st.sampled_from([1, 3, 3, 9, 40]))))


def stack_of(labels, classes, dims, ignore_label):
    """The binary volumes, made the plain way: 1 in the class, 0 outside, UNANNOTATED where nothing is annotated."""
    values = np.asarray(labels)
    unannotated = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    if ignore_label is not None:
        unannotated |= values == ignore_label
    volumes = []
    for ids in classes:
        inside = np.isin(values.astype(np.float64), np.atleast_1d(np.array(ids, np.float64)))
        volumes.append(np.where(unannotated, UNANNOTATED, inside).astype(np.uint8))
    return np.stack(volumes, axis=values.ndim - dims)
