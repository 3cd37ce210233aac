"""What is timed: label volumes with a voxel size and a scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Case:
    """`slow`: whether engines that take seconds join in."""

    name: str
    labels: npt.NDArray[np.unsignedinteger]
    voxel_size: tuple[float, float, float]
    scale: float | None
    slow: bool = False


def blobs(n: int, threshold: float, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Gaussian noise smoothed with sigma 6, foreground above `threshold` standard deviations."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).standard_normal((n, n, n)), 6, mode="wrap")
    return (field > threshold * field.std()).astype(np.uint8)


def emptied(n: int, what: str) -> npt.NDArray[np.uint8]:
    """A full volume with a background voxel, line or plane at one end."""
    labels = np.ones((n, n, n), np.uint8)
    labels[{"voxel": (0, 0, 0), "line": (0, 0), "plane": (0,)}[what]] = 0
    return labels


def speed(em: str | None) -> Iterator[Case]:
    for n in (64, 128):
        for threshold, share in ((-2, "98"), (0, "50"), (2, "2")):
            labels = blobs(n, threshold)
            yield Case(f"blobs {n}³ {share} %", labels, (8, 8, 8), 50, slow=True)
            if n == 128:
                yield Case(f"blobs {n}³ {share} % 40×4×4", labels, (40, 4, 4), 50)
                yield Case(f"blobs {n}³ {share} % 5.24×4×4.1", labels, (5.24, 4, 4.1), 50)
    if em is not None:
        with np.load(em) as archive:
            instances = archive[archive.files[0]].astype(np.uint8)
        for scale in (50, 200):
            yield Case(f"EM instances, scale {scale}", instances, (40, 32, 32), scale)


def growth() -> Iterator[tuple[str, Case, Case]]:
    """Pairs of a volume of 96³ and one of 192³."""
    for threshold, share in ((-2, "98"), (0, "50"), (2, "2")):
        cases = (Case(f"blobs {share} %", blobs(n, threshold), (8, 8, 8), 50) for n in (96, 192))
        yield f"blobs {share} %", *cases
    for what in ("voxel", "line", "plane"):
        cases = (Case(what, emptied(n, what), (8, 8, 8), None) for n in (96, 192))
        yield f"background {what}, no scale", *cases
