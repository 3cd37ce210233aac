"""Draw what `scale` does for choosing-scale.md: the tanh, and one target at three scales.

python docs/figures/scale.py [scale.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from inner_distance_gpu import inner_distance

VOXEL_SIZE = (4, 4)
HALF_WIDTH = 60  # of the larger object, world units
SCALES = {HALF_WIDTH / 8: "#8c510a", HALF_WIDTH / 1.5: "#01665e", HALF_WIDTH * 4: "#7b3294"}


def labels() -> np.ndarray:
    """Two touching discs and a small one, 240 × 320 world units."""
    y, x = np.meshgrid(np.arange(60) + 0.5, np.arange(80) + 0.5, indexing="ij")
    discs = [(1, 32, 24, 15), (2, 32, 50, 13), (3, 12, 70, 5)]  # label, centre, radius in voxels
    result = np.zeros(y.shape, np.uint8)
    for label, at_y, at_x, radius in discs:
        result[((y - at_y) ** 2 + (x - at_x) ** 2 < radius**2) & (result == 0)] = label
    return result


def draw_curves(axis: Axes) -> None:
    distance = np.linspace(0, 2 * HALF_WIDTH, 400)
    for scale, colour in SCALES.items():
        axis.plot(distance, np.tanh(distance / scale), color=colour, label=f"scale {scale:g}")
    axis.axvline(HALF_WIDTH, color="0.5", linewidth=1, linestyle=":")
    axis.text(HALF_WIDTH + 2, 0.03, "centre of the\nlarge disc", fontsize=8, color="0.35")
    axis.set(xlim=(0, 2 * HALF_WIDTH), ylim=(0, 1.03), xlabel="distance to the boundary, world units", ylabel="target")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1.0, 0.12))
    axis.set_title("tanh(d / scale)", fontsize=10, loc="left")


def draw_target(axis: Axes, scale: float) -> Any:
    target = inner_distance(labels(), VOXEL_SIZE, scale=scale)
    image = axis.imshow(target, cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xticks=[], yticks=[])
    axis.set_title(f"scale {scale:g}: at most {target.max():.3f}", fontsize=10, loc="left", color=SCALES[scale])
    return image


def draw() -> Figure:
    matplotlib.rcParams["svg.hashsalt"] = "scale"  # the same file from the same numbers
    figure = Figure(figsize=(10, 6), layout="constrained", dpi=110)
    axes = figure.subplot_mosaic([["curves", "0"], ["1", "2"]])
    draw_curves(axes["curves"])
    for place, scale in enumerate(SCALES):
        image = draw_target(axes[str(place)], scale)
    figure.colorbar(image, ax=list(axes.values()), shrink=0.5, pad=0.02)
    return figure


def save(place: Path) -> None:
    draw().savefig(place, bbox_inches="tight", metadata={"Date": None} if place.suffix == ".svg" else None)


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
