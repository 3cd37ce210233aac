"""Calls that take the kernels through all their ways, and random ones; each is checked against engine `cpu` as well."""

from typing import NamedTuple

import numpy as np
import torch

from inner_distance_gpu import InnerDistanceTransform, arrays, balanced_weights, dispatch, inner_distance
from inner_distance_gpu.parameters import Task, WeightParameters

INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
FLOATS = {2: torch.float16, 4: torch.float32, 8: torch.float64}
# Bytes that a block may have, without and with packed squares: 4700 are enough for `pairs`, but not for the scan.
SHARED = {"scratch": (1000, 4700), "shared memory": (48 << 10, 48 << 10)}


class Call(NamedTuple):
    """A transform's arguments, and how its kernels are to be run."""

    labels: torch.Tensor
    mask: torch.Tensor | None
    voxel_size: tuple[float, ...]
    keywords: dict
    engine: str
    stored: object  # 1, 2, 4 bytes of a scan distance, "square", or None: as the engine chooses
    shared_bytes: int
    grid: int | None = 2
    order: int = 0


def run_kernels(call, launcher):
    """One call under the detector; returns what it gave."""
    launcher.grid, launcher.order, launcher.shared_bytes = call.grid, call.order, call.shared_bytes
    packs = call.stored in (None, "square")
    launcher.other_limits = {"packs": packs} if packs else {"packs": False, "scan_bytes": call.stored}
    return _results(call, call.engine)


def run(call, launcher):
    """One call under the detector, then on the CPU: both give the same."""
    found = run_kernels(call, launcher)
    for ours, expected in zip(found, _results(call, "cpu"), strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-6, equal_nan=True)


def _results(call, engine):
    if not call.keywords.get("weights", True):
        keywords = {key: value for key, value in call.keywords.items() if key not in ("weights", "border")}
        return [inner_distance(call.labels, call.voxel_size, engine=engine, **keywords)]
    transform = InnerDistanceTransform(call.voxel_size, engine=engine, **call.keywords)
    return transform(call.labels, call.mask)


def labelled(shape, dtype, generator, fraction=0.5):
    """Cuboids of a few labels on background."""
    labels = np.zeros(shape, np.int64)
    while (labels > 0).mean() < fraction:
        begin = [generator.integers(n) for n in shape]
        box = tuple(slice(b, b + 1 + generator.integers(max(1, n // 3))) for b, n in zip(begin, shape, strict=True))
        labels[box] = generator.integers(1, 4)
    return torch.from_numpy(labels).to(dtype)


def every_way():
    """For each width of labels and of scan distances a call on each way through scan, plane and pairs."""
    generator = np.random.default_rng(0)
    for width in INTEGERS:
        for stored in (1, 2, 4, "square"):
            packed = stored == "square"
            ways = [
                ({"background": "zero"}, None, "shared memory", 9, False),
                ({"background": "zero", "weights": False, "ignore_label": 3}, None, "shared memory", 5, False),
                ({"background": "zero", "weights": False}, None, "scratch", 9, False),
                ({"background": "zero", "ignore_label": 0}, torch.float64, "scratch", 3, True),
                ({"background": "signed"}, None, "shared memory", 3, True),
                ({"background": "signed", "ignore_label": 3}, torch.float32, "scratch", 9, False),
                ({"background": "times_label", "border": "mask"}, torch.uint8, "shared memory", 9, False),
                ({"background": "times_label", "border": "mask"}, torch.float16, "scratch", 9, False),
            ]
            for keywords, mask, where, rows, empty in ways:
                shape = (2, 35, rows, 36)
                labels = labelled(shape, INTEGERS[width], generator)
                if empty:
                    labels[1] = 1  # one volume with a site beside one without
                masks = None if mask is None else torch.from_numpy(generator.integers(0, 2, shape)).to(mask)
                keywords = {"scale": 3, "channels": 1} | keywords
                if keywords.get("weights") is False:
                    del keywords["channels"]
                # A block has one task, and nothing of an earlier one in its memory, or several.
                grid = None if rows < 9 else 2
                yield Call(labels, masks, (1, 1, 1), keywords, "cuda", stored, SHARED[where][packed], grid)


def every_way_doubled():
    """For each width of labels the kernels of engine `cucim`."""
    generator = np.random.default_rng(1)
    masks = {1: torch.bool, 2: torch.float16, 4: torch.int32, 8: torch.float64}
    for width, dtype in INTEGERS.items():
        for keywords, masked, empty in [
            ({"background": "signed", "ignore_label": 3}, True, False),
            ({"background": "times_label", "border": "mask"}, True, True),
            ({"background": "zero", "weights": False}, False, False),
        ]:
            labels = labelled((2, 5, 9, 18), dtype, generator)
            if empty:
                labels[1] = 1
            mask = torch.from_numpy(generator.integers(0, 2, labels.shape)).to(masks[width]) if masked else None
            yield Call(labels, mask, (4, 2, 1), {"scale": 3} | keywords, "cucim", None, 48 << 10, grid=1)


def every_way_of_classes():
    """For each width of scan distances the bits of classes on each way through the scan, and each width of labels."""
    generator = np.random.default_rng(3)
    few, many = [1, (1, 2)], [(1, 2), 2, (1,)] * 12
    ways = [
        ({"background": "zero", "classes": few}, None, "shared memory", 9),
        ({"background": "zero", "classes": many, "weights": False, "ignore_label": 3}, None, "shared memory", 5),
        ({"background": "signed", "classes": few, "ignore_label": 3}, torch.float32, "scratch", 9),
        ({"background": "times_label", "classes": many, "border": "mask"}, torch.uint8, "scratch", 5),
    ]
    for i, stored in enumerate((1, 2, 4, "square")):
        for j, (keywords, mask, where, rows) in enumerate(ways):
            shape = (1, 35, rows, 36)
            labels = labelled(shape, INTEGERS[(1, 2, 4, 8)[(i + j) % 4]], generator)
            masks = None if mask is None else torch.from_numpy(generator.integers(0, 2, shape)).to(mask)
            yield Call(
                labels, masks, (1, 1, 1), {"scale": 3} | keywords, "cuda", stored, SHARED[where][stored == "square"]
            )
    for width, dtype in INTEGERS.items():
        labels = labelled((2, 5, 9, 18), dtype, generator)
        mask = torch.from_numpy(generator.integers(0, 2, labels.shape)).bool() if width < 4 else None
        keywords = {"scale": 3, "background": "signed", "ignore_label": 3, "classes": few}
        yield Call(labels, mask, (4, 2, 1), keywords, "cucim", None, 48 << 10, grid=1)


def weights_of_classes(launcher):
    """Weights alone."""
    generator = np.random.default_rng(4)
    launcher.grid, launcher.order, launcher.shared_bytes = 2, 0, 48 << 10
    classes = ((1,), (1, 2))
    weighing = WeightParameters(2, True, (2, 1, 9, 30, 32), (0.05, 0.95), 3, 3)
    for mask in (None, np.float32):
        labels = labelled((2, 9, 30, 32), torch.int32, generator)
        given = None if mask is None else torch.from_numpy(generator.random((2, 1, 9, 30, 32)).astype(mask))
        found, expected = (
            dispatch.run(
                arrays.accept(labels, "labels"), Task(weighing=weighing, classes=classes), given, engine=name, threads=1
            )
            for name in ("cuda", "reference")
        )
        torch.testing.assert_close(found[1], expected[1])
        torch.testing.assert_close(found[2].numerators, expected[2].numerators)


def weights(launcher):
    """Weights alone, in slabs: each width of labels with masks of each kind."""
    generator = np.random.default_rng(2)
    launcher.grid, launcher.order, launcher.shared_bytes = 2, 0, 48 << 10
    slabs = [None, (8, 30, -1), (5, 7, 11)]
    for number, dtype in enumerate([*INTEGERS.values(), *FLOATS.values(), torch.bfloat16]):
        labels = labelled((21, 30, 32), dtype, generator)
        for mask in [None, [torch.uint8, torch.float16, torch.int32, torch.float64, torch.bfloat16][number % 5]]:
            given = None if mask is None else torch.from_numpy(generator.integers(0, 2, labels.shape)).to(mask)
            keywords = {"num_classes": 4, "mask": given, "slab": slabs[number % 3], "ignore_label": 2}
            found, counts = balanced_weights(labels, engine="cuda", **keywords)
            expected, known = balanced_weights(labels, engine="cpu", **keywords)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(counts.numerators, known.numerators)


def random_call(generator):
    """Any shape, type, layout and parameters that are not too large."""

    def one_of(*choices):
        return choices[generator.integers(len(choices))]

    dims = one_of(2, 3, 3)
    leading = [int(generator.integers(1, 4)) for _ in range(generator.integers(0, 3))]
    shape = [*leading, *(int(one_of(generator.integers(2, 9), generator.integers(30, 70))) for _ in range(dims))]
    while np.prod(shape) > 8000:
        shape[shape.index(max(shape))] //= 2
    dtype = one_of(torch.bool, *INTEGERS.values(), *FLOATS.values(), torch.bfloat16)
    labels = _laid_out(labelled(shape, dtype, generator, one_of(0.0, 0.02, 0.5, 0.9)), generator)
    mask = None
    if generator.random() < 0.5:
        kind = one_of(torch.bool, torch.uint8, torch.int32, torch.float16, torch.float32, torch.float64)
        mask = _laid_out(torch.from_numpy(generator.integers(0, 2, shape)).to(kind), generator)
    keywords = {
        "scale": one_of(0.7, 3, 20, 60, None),
        "background": one_of("zero", "signed", "times_label"),
        "no_boundary": one_of("extent", "saturate"),
        "ignore_label": one_of(None, 0, 1) if dtype != torch.bool else None,
        "weights": one_of(True, True, False),
    }
    if generator.random() < 0.3:
        classes = one_of([2, 3], [(2, 3), 2], [2, (2, 3), 3] * 12) if dtype != torch.bool else [1]
        keywords["classes"] = classes
    if keywords["weights"]:
        keywords["border"] = one_of("keep", "mask")
    if keywords["scale"] is None and keywords["no_boundary"] == "saturate":
        keywords["no_boundary"] = "extent"  # infinities do not compare
    voxel_size = tuple(one_of(1, 2, 3.7, 4, 40) for _ in range(dims))
    shared, grid, order = one_of(1000, 4700, 48 << 10), one_of(1, 2, 3, None), int(generator.integers(3))
    return Call(
        labels, mask, voxel_size, keywords, one_of("cuda", "cuda", "cucim"), one_of(None, 1, 2, 4), shared, grid, order
    )


def _laid_out(tensor, generator):
    """The same values with other steps: every second voxel of a larger array, or axes turned round."""
    if generator.random() < 0.3:
        larger = torch.zeros([*tensor.shape[:-1], 2 * tensor.shape[-1] + 1], dtype=tensor.dtype)
        larger[..., 1::2] = tensor
        return larger[..., 1::2]
    if generator.random() < 0.4:
        return tensor.transpose(-1, -2).contiguous().transpose(-1, -2)
    return tensor
