"""Draw two touching objects, and mask and target along a line through both, for the README.

python docs/figures/dip.py [dip.svg]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from inner_distance_gpu import inner_distance

VOXEL_SIZE = (4, 4)
SCALE = 40
ROW = 20  # the line
COLOURS = ("#f2f2f2", "#35978f", "#bf812d")


def labels() -> np.ndarray:
    """Two discs that touch along a face of many voxels."""
    y, x = np.ogrid[:40, :80]
    result = np.zeros((40, 80), np.uint8)
    result[(y - ROW) ** 2 + (x - 25) ** 2 < 16**2] = 1
    result[((y - ROW) ** 2 + (x - 52) ** 2 < 15**2) & (result == 0)] = 2
    return result


def draw_objects(axis: Axes) -> None:
    axis.imshow(labels(), cmap=ListedColormap(COLOURS), interpolation="nearest", aspect="auto")
    axis.axhline(ROW, color="black", linewidth=1, linestyle="--")
    for label, at in ((1, 24), (2, 54)):
        axis.text(at, ROW - 5, f"object {label}", ha="center", color="white", fontsize=10)
    axis.set(xticks=[], yticks=[])
    axis.set_title("two objects that touch, and a line through both", fontsize=10, loc="left")


def draw_line(axis: Axes) -> None:
    target = inner_distance(labels(), VOXEL_SIZE, scale=SCALE)[ROW]
    mask = labels()[ROW] != 0
    x = np.arange(len(target)) + 0.5
    axis.fill_between(x, mask, step="mid", color="0.88", label="mask: one object")
    axis.step(x, target, where="mid", color="#01665e", linewidth=1.6, label="target: two objects")
    dip = int(np.argmin(np.where((x > 30) & (x < 50), target, 1)))
    axis.annotate("the dip", (x[dip], target[dip]), (x[dip], 0.55), ha="center", arrowprops={"arrowstyle": "->"})
    axis.set(xlim=(0, len(target)), ylim=(0, 1.25), xticks=[], yticks=[0, 1])
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9, loc="upper right", ncols=2)
    axis.set_title("along the line", fontsize=10, loc="left")


def draw() -> Figure:
    matplotlib.rcParams["svg.hashsalt"] = "dip"  # the same file from the same numbers
    figure = Figure(figsize=(9.5, 2.7), layout="constrained", dpi=110)
    left, right = figure.subplots(1, 2)
    draw_objects(left)
    draw_line(right)
    return figure


def save(place: Path) -> None:
    draw().savefig(place, bbox_inches="tight", metadata={"Date": None} if place.suffix == ".svg" else None)


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
