"""Answers found the slow way, straight from the definitions, and the recorded answers of DaCapo."""

import itertools
import math
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"


def golden(name):
    """{case: {key: array}} of a golden file."""
    cases = {}
    with np.load(GOLDEN / f"{name}.npz") as archive:
        for key in archive.files:
            case, _, rest = key.partition("/")
            cases.setdefault(case, {})[rest] = archive[key]
    return cases


def is_annotated(value, ignore_label):
    return not (value != value or (ignore_label is not None and value == ignore_label))


def sites(volume, voxel_size, ignore_label=None):
    """World coordinates of the centres of all faces between annotated neighbours that differ."""
    found = []
    for voxel in np.ndindex(volume.shape):
        for axis in range(volume.ndim):
            neighbour = tuple(i + (a == axis) for a, i in enumerate(voxel))
            if neighbour[axis] == volume.shape[axis]:
                continue
            pair = volume[voxel], volume[neighbour]
            if pair[0] != pair[1] and all(is_annotated(value, ignore_label) for value in pair):
                found.append([(i + 0.5 * (a == axis)) * voxel_size[a] for a, i in enumerate(voxel)])
    return found


def distances(volume, voxel_size, no_boundary="extent", ignore_label=None):
    """d(v) by measuring to every site."""
    found = sites(volume, voxel_size, ignore_label)
    result = np.empty(volume.shape)
    for voxel in np.ndindex(volume.shape):
        centre = [i * h for i, h in zip(voxel, voxel_size, strict=True)]
        if found:
            result[voxel] = min(math.dist(centre, site) for site in found)
        elif no_boundary == "extent":
            result[voxel] = min(n * h for n, h in zip(volume.shape, voxel_size, strict=True)) / 2
        else:
            result[voxel] = math.inf
    return result


def target(labels, voxel_size, scale=None, background="zero", no_boundary="extent", ignore_label=None, fill=0.0):
    """Targets voxel by voxel."""
    dims = len(voxel_size)
    result = np.empty(labels.shape)
    for leading in np.ndindex(labels.shape[:-dims]):
        volume = labels[leading]
        d = distances(volume, voxel_size, no_boundary, ignore_label)
        for voxel in np.ndindex(volume.shape):
            value = volume[voxel]
            if not is_annotated(value, ignore_label):
                result[(*leading, *voxel)] = fill
                continue
            signed = d[voxel] if value != 0 else -d[voxel]
            signed = signed if scale is None else math.tanh(signed / scale)
            if background == "zero":
                signed = signed if value != 0 else 0.0
            elif background == "times_label":
                signed = signed * float(value) if value != 0 else 0.0
            result[(*leading, *voxel)] = signed
    return result


def weights(labels, num_classes, mask, slab, clip, counts, ignore_label=None):
    """Weights and counts voxel by voxel. `counts`: per slab, per class [numerator, denominator]; changed in place."""
    extents = [n if extent == -1 else extent for extent, n in zip(slab, labels.shape, strict=True)]
    blocks = list(itertools.product(*(range(0, n, e) for n, e in zip(labels.shape, extents, strict=True))))
    result = np.zeros(labels.shape)
    for slab_counts, start in zip(counts, blocks, strict=True):
        axes = zip(start, extents, labels.shape, strict=True)
        voxels = list(itertools.product(*(range(s, min(s + e, n)) for s, e, n in axes)))
        voxels = [v for v in voxels if is_annotated(labels[v], ignore_label)]
        total = math.fsum(float(mask[v]) for v in voxels)
        for c in range(num_classes):
            slab_counts[c][0] += sum(1 for v in voxels if labels[v] == c and mask[v] != 0)
            slab_counts[c][1] += total
        for v in voxels:
            n, d = slab_counts[int(labels[v])]
            result[v] = float(mask[v]) / (num_classes * min(max(n / d, clip[0]), clip[1]))
    return result


def assert_target(result, expected, labels=None, scale=None):
    """DESIGN's tolerances: 1e-6 of the distance in world units, else 1e-6 (of the label where multiplied by it)."""
    result, expected = np.asarray(result), np.asarray(expected, np.float64)
    assert result.dtype == np.float32
    assert result.shape == expected.shape
    size = np.abs(expected) if scale is None else np.ones(expected.shape)
    if labels is not None:
        size = size * np.maximum(1, np.abs(np.nan_to_num(labels.astype(np.float64)))) if scale is not None else size
    equal = (result == expected) | (np.isnan(result) & np.isnan(expected))
    with np.errstate(invalid="ignore"):
        close = np.abs(result - expected) <= 1e-6 * size
    assert (equal | close).all(), f"largest difference {np.nanmax(np.abs(result - expected))}"
