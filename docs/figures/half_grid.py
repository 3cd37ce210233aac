"""Draw the half grid of how-it-works.md: where sites can be, one worked distance, and the pass that finds it.

python docs/figures/half_grid.py [half_grid.svg]
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

LABELS = np.array(
    [
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 1, 1, 1, 1, 2, 2, 2, 2, 0],
        [1, 1, 1, 1, 1, 2, 2, 2, 2, 0],
        [1, 1, 1, 1, 1, 1, 1, 1, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
        [1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    ]
)
SIZE_Y, SIZE_X = VOXEL_SIZE = (6, 4)
VOXEL = (4, 3)  # the worked one
SITE = (2.5, 5)  # its nearest site, in voxels
Y_FACE, X_FACE, LINE, FAINT = "#0b6fa4", "#c8501e", "#222222", "0.72"
LEGEND: Any = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, 0.01),
    "frameon": False,
    "fontsize": 9,
    "handletextpad": 0.1,
}
COLOURS = {0: "#ffffff", 1: "#e3e8d6", 2: "#e9dcec"}


def sites() -> tuple[np.ndarray, np.ndarray]:
    """The (y, x) of the sites on y-faces and on x-faces, in voxels."""
    on_y, on_x = np.argwhere(np.diff(LABELS, axis=0)), np.argwhere(np.diff(LABELS, axis=1))
    return on_y + np.array([0.5, 0]), on_x + np.array([0, 0.5])


def samples() -> tuple[np.ndarray, np.ndarray]:
    """C(x) and D(x + ½) on the row of the worked voxel: squared distance along y to the nearest face of its column."""
    row, nx = VOXEL[0], LABELS.shape[1]
    found = []
    for family, columns in zip(sites(), (np.arange(nx), np.arange(nx - 1) + 0.5), strict=True):
        along = [np.abs(family[family[:, 1] == x, 0] - row) * SIZE_Y for x in columns]
        found.append(np.array([steps.min() ** 2 if steps.size else np.inf for steps in along]))
    return found[0], found[1]


def draw_labels(axis: Axes) -> None:
    ny, nx = LABELS.shape
    for (y, x), label in np.ndenumerate(LABELS):
        place = ((x - 0.5) * SIZE_X, (y - 0.5) * SIZE_Y)
        cell: Any = matplotlib.patches.Rectangle(place, SIZE_X, SIZE_Y, facecolor=COLOURS[label], edgecolor="0.85")
        axis.add_patch(cell)
    axis.set(xlim=(-0.62 * SIZE_X, (nx - 0.38) * SIZE_X), ylim=((ny - 0.38) * SIZE_Y, -0.62 * SIZE_Y), aspect="equal")
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def points(axis: Axes, places: np.ndarray, **style: Any) -> None:
    axis.plot(places[:, 1] * SIZE_X, places[:, 0] * SIZE_Y, linestyle="none", **style)


def draw_doubled(axis: Axes) -> None:
    """Every point that the doubled grid holds."""
    draw_labels(axis)
    ny, nx = LABELS.shape
    grid = np.argwhere(np.ones((2 * ny - 1, 2 * nx - 1))) / 2
    half_y, half_x = (grid[:, 0] % 1 > 0), (grid[:, 1] % 1 > 0)
    points(axis, grid[~half_y & ~half_x], marker=".", color=LINE, markersize=4, label="voxel")
    points(axis, grid[half_y != half_x], marker=".", color=FAINT, markersize=4, label="face")
    points(axis, grid[half_y & half_x], marker="x", color=FAINT, markersize=4, label="never a site")
    points(axis, np.concatenate(sites()), marker="s", color="0.35", markersize=4.5, label="site")
    axis.legend(**LEGEND, ncols=4)
    count = (2 * ny - 1) * (2 * nx - 1)
    axis.set_title(f"doubled grid: {count} points for {ny * nx} answers", fontsize=10, loc="left")


def draw_half(axis: Axes) -> None:
    """The two families, and one distance."""
    draw_labels(axis)
    points(axis, np.argwhere(np.ones(LABELS.shape)), marker=".", color=LINE, markersize=4)
    on_y, on_x = sites()
    points(axis, on_y, marker="s", color=Y_FACE, markersize=6.5, label="y-faces: rows y + ½, columns x")
    points(axis, on_x, marker="D", color=X_FACE, markersize=6, label="x-faces: rows y, columns x + ½")
    (y, x), (to_y, to_x) = VOXEL, SITE
    axis.plot([x * SIZE_X] * 2 + [to_x * SIZE_X], [y * SIZE_Y] + [to_y * SIZE_Y] * 2, ":", color=LINE, linewidth=1)
    arrow = {"arrowstyle": "-|>", "color": LINE, "linewidth": 1.6, "shrinkA": 0, "shrinkB": 4}
    axis.annotate("", (to_x * SIZE_X, to_y * SIZE_Y), (x * SIZE_X, y * SIZE_Y), arrowprops=arrow)
    axis.plot(x * SIZE_X, y * SIZE_Y, "o", color=LINE, markersize=7)
    d = inner_distance(LABELS, VOXEL_SIZE)[VOXEL]
    down, right = (y - to_y) * SIZE_Y, (to_x - x) * SIZE_X
    note: Any = {"fontsize": 9, "bbox": {"facecolor": COLOURS[1], "edgecolor": "none", "pad": 0.8}}
    axis.text(x * SIZE_X - 0.8, (y + to_y) / 2 * SIZE_Y, f"1½ · {SIZE_Y} = {down:g}", ha="right", va="center", **note)
    axis.text(
        (x + to_x) / 2 * SIZE_X, to_y * SIZE_Y - 1.1, f"2 · {SIZE_X} = {right:g}", ha="center", va="bottom", **note
    )
    axis.text(x * SIZE_X, (y + 0.75) * SIZE_Y, f"d = √({down:g}² + {right:g}²) = {d:.2f}", ha="center", **note)
    axis.legend(**LEGEND, ncols=2)
    axis.set_title(f"half grid: {len(on_y)} + {len(on_x)} sites, on faces only", fontsize=10, loc="left")


def draw_row(axis: Axes) -> None:
    """The last pass: what each sample of the row offers to the worked voxel."""
    x0 = VOXEL[1]
    own, between = samples()
    best = inner_distance(LABELS, VOXEL_SIZE)[VOXEL] ** 2
    for values, start, colour, name in ((own, 0.0, Y_FACE, "C(x)"), (between, 0.5, X_FACE, "D(x + ½)")):
        x = np.arange(len(values)) + start
        known = np.isfinite(values)
        way = ((x - x0) * SIZE_X) ** 2
        place = x[known] * SIZE_X
        axis.bar(place, values[known], width=1.1, color=colour, label=f"{name}: squared way along y")
        axis.bar(place, way[known], width=1.1, bottom=values[known], color=colour, alpha=0.3)
    axis.bar([0], [0], color="0.8", label="squared way along x to voxel 3")
    axis.axhline(best, color=LINE, linewidth=1, linestyle="--")
    axis.text(SITE[1] * SIZE_X, best + 8, "81 + 64", fontsize=9, va="bottom", ha="center")
    axis.text((LABELS.shape[1] + 0.2) * SIZE_X, best + 8, f"d² = {best:.0f}", fontsize=9, va="bottom", ha="right")
    axis.set(xlim=(-0.62 * SIZE_X, (LABELS.shape[1] + 0.2) * SIZE_X), ylim=(0, 620))
    axis.set_ylabel("squared distance, world units²", fontsize=9)
    axis.set_xticks(np.arange(LABELS.shape[1]) * SIZE_X, [str(x) for x in range(LABELS.shape[1])], fontsize=9)
    axis.set_xlabel("x, voxels", fontsize=9)
    axis.tick_params(axis="y", labelsize=9)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0.49, 1.06))
    axis.set_title(f"row y = {VOXEL[0]}, the last pass: what each sample offers to voxel {x0}", fontsize=10, loc="left")


def draw() -> Figure:
    matplotlib.rcParams["svg.hashsalt"] = "half_grid"  # the same file from the same numbers
    figure = Figure(figsize=(10, 8.6), layout="constrained", dpi=110)
    axes = figure.subplot_mosaic([["doubled", "half"], ["row", "row"]], height_ratios=[1.6, 1])
    draw_doubled(axes["doubled"])
    draw_half(axes["half"])
    draw_row(axes["row"])
    return figure


def save(place: Path) -> None:
    draw().savefig(place, bbox_inches="tight", metadata={"Date": None} if place.suffix == ".svg" else None)


if __name__ == "__main__":
    save(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".svg"))
