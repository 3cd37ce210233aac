"""What is timed: label volumes with a voxel size and a scale."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import earlier  # noqa: F401  before anything of the package
import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import distance_transform_edt

from inner_distance_gpu.cli.comparison import blobs


@dataclass(frozen=True)
class Case:
    """`slow`: whether engines that take seconds join in."""

    name: str
    labels: npt.NDArray[np.unsignedinteger]
    voxel_size: tuple[float, float, float]
    scale: float | None
    slow: bool = False


def emptied(n: int, what: str) -> npt.NDArray[np.uint8]:
    """A full volume with a background voxel, line or plane at one end."""
    labels = np.ones((n, n, n), np.uint8)
    labels[{"voxel": (0, 0, 0), "line": (0, 0), "plane": (0,)}[what]] = 0
    return labels


def instances(em: str) -> Iterator[Case]:
    """The labels of an .npz file, which has them as its first array, as voxels of 40 × 32 × 32."""
    with np.load(em) as archive:
        labels = archive[archive.files[0]].astype(np.uint8)
    for scale in (50, 200, None):
        yield Case(f"EM instances, {f'scale {scale}' if scale else 'no scale'}", labels, CELLS, scale)


def cells(
    shape: tuple[int, int, int], voxel_size: tuple[float, float, float], mean: float, seed: int
) -> npt.NDArray[np.uint8]:
    """Voronoi cells whose voxels lie about `mean` of the smallest voxels from the nearest face; no label is 0.

    A stand-in for a dense instance segmentation. The points lie around the volume, too, and a face goes through the
    middle of its first side along x, so that there is one however large the cells are.
    """
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    extent = np.multiply(shape, voxel_size)
    edge = 7.2 * mean * min(voxel_size)  # of the cube that has as much volume as a cell
    around = extent + 2 * edge
    points = rng.random((max(2, round(float(np.prod(around / edge)))), 3)) * around - edge
    _, which = cKDTree(points).query(points[0], 2)
    points += extent * (0.5, 0.5, 0) - (points[0] + points[which[1]]) / 2
    axes = [(np.arange(n) + 0.5) * size for n, size in zip(shape, voxel_size, strict=True)]
    voxels = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    return (1 + cKDTree(points).query(voxels)[1] % 255).astype(np.uint8)


CLASS_IDS = 56  # ids of a class map, beside background


def class_map(n: int, cells: int = 600) -> npt.NDArray[np.uint8]:
    """A cube full of cells that touch, grown around random points; the ids 0 … CLASS_IDS in turn, all as frequent."""
    points = np.random.default_rng(0).permutation(n**3)[:cells]
    empty, ids = np.ones((n, n, n), bool), np.zeros((n, n, n), np.uint8)
    empty.flat[points], ids.flat[points] = False, np.arange(len(points)) % (CLASS_IDS + 1)
    return ids[tuple(distance_transform_edt(empty, return_distances=False, return_indices=True))]


THRESHOLDS = (-2, 0, 2)  # standard deviations: nearly full, half full, nearly empty
CELLS = (40.0, 32.0, 32.0)  # voxel size of sections in electron microscopy, nm


def share(labels: npt.NDArray[np.unsignedinteger]) -> str:
    """The foreground in percent, as names of cases give it."""
    percent = 100 * np.count_nonzero(labels) / labels.size
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"


def speed(sizes: Sequence[int] = (64, 128), slow: Sequence[int] = (64, 128)) -> Iterator[Case]:
    """The volumes of the table; of the size in `slow` the engines that take seconds join in."""
    for n in sizes:
        for threshold in THRESHOLDS:
            labels = blobs(n, threshold)
            bounded = 0 < np.count_nonzero(labels) < labels.size  # the others answer infinity where nothing is near
            yield Case(f"blobs {n}³ {share(labels)}", labels, (8, 8, 8), 50, slow=bounded and n in slow)
            if n == 128:
                yield Case(f"blobs {n}³ {share(labels)} 40×4×4", labels, (40, 4, 4), 50)
                yield Case(f"blobs {n}³ {share(labels)} 5.24×4×4.1", labels, (5.24, 4, 4.1), 50)
        if n == max(sizes):
            shape = (n, n * 3 // 2, n * 3 // 2)
            labels = cells(shape, CELLS, 8, 1)
            for scale in (50, 200):
                yield Case(f"cells {'×'.join(map(str, shape))}, scale {scale}", labels, CELLS, scale)


def half_empty(n: int) -> Case:
    """The volume on which loaders and versions are compared."""
    labels = blobs(n, 0)
    return Case(f"blobs {n}³ {share(labels)}", labels, (8, 8, 8), 50)


def against_size(sizes: Sequence[int]) -> Iterator[Case]:
    """Half-empty cubes of equal voxel size along all axes: some packages know no other."""
    for n in sizes:
        yield dataclasses.replace(half_empty(n), slow=True)


def growth(small: int = 96, large: int = 192) -> Iterator[tuple[str, Case, Case]]:
    """Pairs of a small and a large volume."""
    for threshold in THRESHOLDS:
        volumes = blobs(small, threshold), blobs(large, threshold)
        name = f"blobs {share(volumes[1])}"
        yield name, *(Case(name, labels, (8, 8, 8), 50) for labels in volumes)
    for what in ("voxel", "line", "plane"):
        cases = (Case(what, emptied(n, what), (8, 8, 8), None) for n in (small, large))
        yield f"background {what}, no scale", *cases


@dataclass(frozen=True)
class Recipe:
    """A case for a GPU, whose labels are made when they are wanted."""

    shape: tuple[int, ...]  # (..., spatial)
    foreground: float
    voxel_size: tuple[float, ...]
    scale: float
    small: bool  # part of --quick

    @property
    def name(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{shape} {self.foreground:.0%} {'x'.join(f'{size:g}' for size in self.voxel_size)}"

    def labels(self) -> torch.Tensor:
        """Smooth random objects of the wanted share, on the host."""
        from scipy.ndimage import gaussian_filter

        dims = len(self.voxel_size)
        stack = []
        for volume in range(math.prod(self.shape[:-dims])):
            noise = np.random.default_rng(volume).standard_normal(self.shape[-dims:], dtype=np.float32)
            noise = gaussian_filter(noise, 6)
            stack.append(noise > np.quantile(noise, 1 - self.foreground))
        return torch.from_numpy(np.stack(stack).reshape(self.shape).astype(np.uint8))


def recipes() -> list[Recipe]:
    """The shapes, fractions and voxel sizes; the scale is 12 of the smallest voxels, as users choose it."""
    shapes = [(64,) * 3, (128,) * 3, (256,) * 3, (512,) * 3, (32, 512, 512), (4, 8, 64, 64, 64)]
    found = []
    for shape in shapes:
        for fraction in (0.98, 0.5, 0.02):
            for voxel_size in ((4.0, 4.0, 4.0), (40.0, 4.0, 4.0)):
                found += [Recipe(shape, fraction, voxel_size, 48.0, math.prod(shape) <= 128**3)]
    found += [Recipe((2048, 2048), fraction, (4.0, 4.0), 48.0, True) for fraction in (0.98, 0.5, 0.02)]
    return found
