"""Draw what the command `scale` suggests for the demo's nuclei, for choosing-scale.md: targets at half, once and twice.

python docs/figures/suggested_scale.py [suggested_scale.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure

from inner_distance_gpu import inner_distance, open_labels
from inner_distance_gpu.cli.demo import images_folder
from inner_distance_gpu.cli.scale import half_widths, suggested_scale

CASES = {"mask2d.tif": (1, 1), "mask3d.tif": (2, 1, 1)}  # image of the demo -> voxel size
FACTORS = {"half of it": 0.5, "suggested": 1, "twice as much": 2}
SHOWN = 120  # voxels along each side of a picture


def case(image: str) -> tuple[np.ndarray, tuple[float, ...]]:
    """The instances of an image of the demo, and their voxel size."""
    opened = open_labels(images_folder() / image)
    return opened.read(), CASES[image]


def view(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Part of the plane, or of that plane of a volume which has most nuclei."""
    fullest = () if labels.ndim == 2 else (int(np.argmax(np.count_nonzero(labels, axis=(1, 2)))),)
    return values[(*fullest, slice(SHOWN), slice(SHOWN))]


def picture(labels: np.ndarray) -> np.ndarray:
    """A colour per label, background black."""
    hue = labels * 0.618034 % 1
    return np.asarray(hsv_to_rgb(np.stack([hue, np.full(hue.shape, 0.5), labels > 0], axis=-1)))


def draw_case(axes: list[Axes], labels: np.ndarray, sizes: tuple[float, ...]) -> Any:
    (widths,) = half_widths(labels, sizes).values()
    suggested = suggested_scale(widths, sizes)
    axes[0].imshow(picture(view(labels, labels)), interpolation="nearest")
    low, middle, high = np.quantile(widths, (0.1, 0.5, 0.9))
    axes[0].set_title(
        f"{labels.ndim}D, {widths.size} nuclei, half-widths\n{low:.3g}, {middle:.3g}, {high:.3g}",
        fontsize=9,
        loc="left",
    )
    for axis, (name, factor) in zip(axes[1:], FACTORS.items(), strict=True):
        scale = suggested * factor
        target = view(inner_distance(labels, sizes, scale=scale), labels)
        image = axis.imshow(target, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
        in_middle = ", ".join(f"{np.tanh(width / scale):.2f}" for width in (low, middle, high))
        axis.set_title(f"scale {scale:.2g}, {name}:\n{in_middle} in the middle", fontsize=9, loc="left")
    return image


def draw() -> Figure:
    matplotlib.rcParams["svg.hashsalt"] = "suggested scale"  # the same file from the same numbers
    figure = Figure(figsize=(11, 5.6), layout="constrained", dpi=110)
    grid = figure.subplots(len(CASES), 1 + len(FACTORS))
    for row, name in zip(grid, CASES, strict=True):
        image = draw_case(list(row), *case(name))
    for axis in grid.ravel():
        axis.set(xticks=[], yticks=[])
    figure.colorbar(image, ax=grid, shrink=0.5, pad=0.02)
    return figure


def save(place: Path) -> None:
    draw().savefig(place, bbox_inches="tight", metadata={"Date": None} if place.suffix == ".svg" else None)


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
