"""Pictures of labels, target and weight beside each other (matplotlib, extra `figures`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .labels import annotated
from .parameters import TargetParameters

_UNANNOTATED = "0.75"


@dataclass(frozen=True)
class Panel:
    """One row of a figure: a volume with its target and weight, each (z, y, x) or (y, x)."""

    title: str
    labels: npt.NDArray[Any]
    target: npt.NDArray[Any]
    weight: npt.NDArray[Any]
    parameters: TargetParameters


def save(path: Path, panels: Sequence[Panel], unit: str = "") -> None:
    """Draw one row per panel into a PNG: labels, target with its zero level, weight; a scale bar in world units.

    Of a 3D volume the z slice with the most foreground is shown.

    Raises
    ------
    ValueError
        matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ValueError(f"{path}: pictures need matplotlib: pip install 'inner_distance_gpu[figures]'") from None
    heights = [_height(panel) for panel in panels]
    figure = Figure(figsize=(11.5, sum(3.3 * h + 0.45 for h in heights)), layout="constrained", dpi=130)
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(panels), 3, squeeze=False, gridspec_kw={"height_ratios": heights})
    for row, panel in zip(axes, panels, strict=True):
        _draw(row, panel, unit)
    figure.savefig(path, format="png")


def _height(panel: Panel) -> float:
    """Height of a picture of the last two axes when it is 1 wide."""
    height, width = (
        n * size for n, size in zip(panel.labels.shape[-2:], panel.parameters.voxel_size[-2:], strict=True)
    )
    return float(min(max(height / width, 0.25), 2.0))


def _draw(row: Any, panel: Panel, unit: str) -> None:
    labels, target, weight, where = panel.labels, panel.target, panel.weight, ""
    if labels.ndim == 3:
        known = annotated(labels, panel.parameters.ignore_label)
        z = int(np.argmax(np.count_nonzero((labels != 0) & known, axis=(1, 2))))
        labels, target, weight, where = labels[z], target[z], weight[z], f", slice {z + 1} of {len(panel.labels)}"
    known = annotated(labels, panel.parameters.ignore_label)
    height, width = (n * size for n, size in zip(labels.shape, panel.parameters.voxel_size[-2:], strict=True))
    place: dict[str, Any] = {"extent": (0, width, height, 0), "interpolation": "nearest"}

    row[0].imshow(_colours(labels, known), **place)
    row[0].set_title(f"{panel.title}{where}", fontsize=9, loc="left")
    shown = np.ma.masked_array(target, ~(known & np.isfinite(target)))
    signed = shown.count() > 0 and shown.min() < 0
    limit = float(np.abs(shown).max()) if shown.count() else 1.0
    colours, low = ("RdBu_r", -limit) if signed else ("magma", 0.0)
    for axis, values, name, colour, bounds in (
        (row[1], shown, "target, line at its zero level", colours, (low, limit or 1)),
        (row[2], np.ma.masked_array(weight, ~known), "weight", "viridis", (0, None)),
    ):
        axis.set_facecolor(_UNANNOTATED)
        image = axis.imshow(values, cmap=colour, vmin=bounds[0], vmax=bounds[1], **place)
        axis.figure.colorbar(image, ax=axis, shrink=0.9, pad=0.02).ax.tick_params(labelsize=7)
        axis.set_title(name, fontsize=9, loc="left")
    _zero_level(row[1], labels, known, panel.parameters.voxel_size, "black" if signed else "cyan")
    for axis in row:
        axis.set_xticks([])
        axis.set_yticks([])
    _scale_bar(row[0], width, height, unit)


def _zero_level(
    axis: Any, labels: npt.NDArray[Any], known: npt.NDArray[np.bool_], voxel_size: tuple[float, ...], colour: str
) -> None:
    """Where the signed distance changes sign: halfway between voxels with label ≠ 0 and label = 0."""
    inside = np.ma.masked_array((labels != 0).astype(float), ~known)
    if min(inside.shape) > 1 and inside.count() and inside.min() < inside.max():
        y, x = ((np.arange(n) + 0.5) * size for n, size in zip(labels.shape, voxel_size[-2:], strict=True))
        axis.contour(x, y, inside, levels=[0.5], colors=colour, linewidths=0.8)


def _colours(labels: npt.NDArray[Any], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """RGB: background black, one label white, several labels in hues far apart, unannotated grey."""
    from matplotlib.colors import hsv_to_rgb, to_rgb

    ids, rank = np.unique(np.where(known, labels, np.zeros((), labels.dtype)), return_inverse=True)
    golden = 0.618033988749895
    order = np.arange(len(ids))
    palette = hsv_to_rgb(np.stack([(order * golden) % 1, 0.45 + 0.3 * (order % 2), np.ones(len(ids))], axis=-1))
    if np.count_nonzero(ids) == 1:
        palette[:] = 1.0
    palette[ids == 0] = 0.0
    picture = palette[rank.reshape(labels.shape)]
    picture[~known] = to_rgb(_UNANNOTATED)
    return np.asarray(picture)


def _scale_bar(axis: Any, width: float, height: float, unit: str) -> None:
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    length = _round_length(width / 4)
    bar = AnchoredSizeBar(
        axis.transData, length, f"{length:g} {unit}".rstrip(), "lower right", pad=0.3, size_vertical=height / 80
    )
    bar.patch.set_alpha(0.8)
    bar.patch.set_linewidth(0)
    axis.add_artist(bar)


def _round_length(length: float) -> float:
    """The largest of 1, 2, 5 × 10ⁿ that is no longer than `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return power * max(step for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))
