"""Pictures of labels, target and weight beside each other (matplotlib, extra `figures`)."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels import is_annotated
from ..parameters import TargetParameters

LARGEST = 1500  # voxels per axis of a view; of larger ones every second, third, … is drawn
_UNANNOTATED = "0.75"
_MARK = "inner-distance-gpu"  # the text chunk of a PNG that says what it was drawn for


@dataclass(frozen=True)
class Panel:
    """One row of a figure: a volume with its target and weight, each (z, y, x) or (y, x).

    The three are arrays, or anything with `shape` and `ndim` that gives an array when it is sliced. Of a 3D volume
    the three slices through the voxel `at` are drawn; None takes those with the most foreground, not at the border
    where there is a choice, for arrays only.
    """

    title: str
    labels: Any
    target: Any
    weight: Any
    parameters: TargetParameters
    at: tuple[int, ...] | None = None


@dataclass(frozen=True)
class _View:
    """A slice of a volume in the picture: its index, what it shows, and the world units of its voxels and corner."""

    index: tuple[Any, ...]
    name: str
    transposed: bool
    sizes: tuple[float, float]
    corner: tuple[float, float]
    extents: tuple[float, float]


def mark(command: str, output: Path) -> str:
    """What a picture says that a command drew for an output; the same for every spelling of the output's path."""
    return f"{command} {Path(os.path.realpath(output)).as_uri()}"


def mark_of(path: Path) -> str | None:
    """The mark of a picture that is there; None of what is no picture of ours."""
    try:
        from PIL import Image

        with Image.open(path, formats=("PNG",)) as picture:
            found = picture.info.get(_MARK)
    except (ImportError, OSError, ValueError, SyntaxError):  # no Pillow, no file, no PNG
        return None
    return found if isinstance(found, str) else None


def save(path: Path, panels: Sequence[Panel], unit: str = "", made_for: str | None = None) -> None:
    """Draw one row per panel into a PNG: labels, target with its zero level, weight; a scale bar in world units.

    Of a 3D volume three orthogonal slices are shown, to the same scale. `made_for` is kept in the file for `mark_of`.

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
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # of a letter in a name that the font does not have: a box is drawn
        figure.savefig(path, format="png", metadata={} if made_for is None else {_MARK: made_for})


def _literal(text: str) -> str:
    """Text as it is: `$` begins no formula, bytes of a file's name that are no text are written out."""
    return text.encode("utf-8", "backslashreplace").decode().replace("$", r"\$")


def _height(panel: Panel) -> float:
    """Height of a picture of a panel when it is 1 wide."""
    height, width = _size(_views(panel))
    return float(min(max(height / width, 0.25), 2.0))


def _size(views: Sequence[_View]) -> tuple[float, float]:
    height, width = (max(view.corner[axis] + view.extents[axis] for view in views) for axis in (0, 1))
    return height, width


def _at(panel: Panel) -> tuple[int, ...]:
    """The voxel where the slices meet."""
    if panel.at is not None:
        return panel.at
    inside = (panel.labels != 0) & is_annotated(panel.labels, panel.parameters.ignore_label)
    others = [tuple(other for other in range(inside.ndim) if other != axis) for axis in range(inside.ndim)]
    return tuple(_fullest(np.count_nonzero(inside, axis=axes)) for axes in others)


def _fullest(counts: npt.NDArray[Any]) -> int:
    """The slice with the most foreground, in the middle half where there is some: objects at the border are cut."""
    first = len(counts) // 4
    middle = counts[first : len(counts) - first]
    return first + int(np.argmax(middle)) if middle.any() else int(np.argmax(counts))


def _views(panel: Panel) -> list[_View]:
    """One view of a 2D volume; of a 3D volume yx, to its right yz, below it zx, all to the same scale."""
    sizes, shape = panel.parameters.voxel_size, tuple(panel.labels.shape)
    extents = [n * size for n, size in zip(shape, sizes, strict=True)]
    steps = [-(-n // LARGEST) for n in shape]
    cut = [slice(None, None, step) for step in steps]
    shown = [size * step for size, step in zip(sizes, steps, strict=True)]
    if len(shape) == 2:
        return [_View((cut[0], cut[1]), "", False, (shown[0], shown[1]), (0, 0), (extents[0], extents[1]))]
    (z, y, x), gap = _at(panel), 0.03 * max(extents)
    depth, height, width = extents
    return [
        _View((z, cut[1], cut[2]), "yx", False, (shown[1], shown[2]), (0, 0), (height, width)),
        _View((cut[0], y, cut[2]), "zx", False, (shown[0], shown[2]), (height + gap, 0), (depth, width)),
        _View((cut[0], cut[1], x), "yz", True, (shown[1], shown[0]), (0, width + gap), (height, depth)),
    ]


def _draw(row: Any, panel: Panel, unit: str) -> None:
    views, parameters = _views(panel), panel.parameters

    def cut(values: Any, view: _View) -> npt.NDArray[Any]:
        plane = np.asarray(values[view.index])
        return plane.T if view.transposed else plane

    labels = [cut(panel.labels, view) for view in views]
    annotated = [is_annotated(plane, parameters.ignore_label) for plane in labels]
    targets = [cut(panel.target, view) for view in views]
    targets = [np.ma.masked_array(t, ~(k & np.isfinite(t))) for t, k in zip(targets, annotated, strict=True)]
    weights = [np.ma.masked_array(cut(panel.weight, v), ~k) for v, k in zip(views, annotated, strict=True)]
    values = np.concatenate([np.ma.compressed(plane) for plane in targets])
    signed = bool((values < 0).any())
    limit = float(np.abs(values).max(initial=0.0)) or 1.0
    heaviest = max((float(plane.max()) for plane in weights if plane.count()), default=1.0)

    pictures = _pictures(labels, annotated)
    for view, picture in zip(views, pictures, strict=True):
        row[0].imshow(picture, **_place(view))
    where = "" if len(views) == 1 else f", slices at {', '.join(map(str, _at(panel)))} of {tuple(panel.labels.shape)}"
    row[0].set_title(_literal(f"{panel.title}{where}"), fontsize=9 if len(views) == 1 else 8, loc="left")
    for axis, planes, name, colours, low, high in (
        (row[1], targets, "target, line at its zero level", "RdBu_r" if signed else "magma", -limit * signed, limit),
        (row[2], weights, "weight", "viridis", 0.0, heaviest),
    ):
        for view, plane in zip(views, planes, strict=True):
            image = axis.imshow(plane, cmap=_with_grey(colours), vmin=low, vmax=high or 1, **_place(view))
        axis.figure.colorbar(image, ax=axis, shrink=0.9, pad=0.02).ax.tick_params(labelsize=7)
        axis.set_title(name, fontsize=9, loc="left")
    for view, plane, where_annotated in zip(views, labels, annotated, strict=True):
        _zero_level(row[1], plane, where_annotated, view, "black" if signed else "cyan")
    height, width = _size(views)
    for axis in row:
        axis.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
        if len(views) > 1:
            axis.axis("off")
    if len(views) > 1:
        _cross(row[0], panel, views)
    _scale_bar(row[0], width, height, unit)


def _place(view: _View) -> dict[str, Any]:
    (top, left), (height, width) = view.corner, view.extents
    return {"extent": (left, left + width, top + height, top), "interpolation": "nearest"}


def _with_grey(name: str) -> Any:
    """A colour map that shows masked voxels in grey."""
    import matplotlib

    return matplotlib.colormaps[name].with_extremes(bad=_UNANNOTATED)


def _cross(axis: Any, panel: Panel, views: Sequence[_View]) -> None:
    """Name the axes of each view, and show where the other two cut it."""
    sizes = panel.parameters.voxel_size
    centre = {name: (i + 0.5) * size for name, i, size in zip("zyx", _at(panel), sizes, strict=True)}
    line: dict[str, Any] = {"colors": "tab:red", "linewidth": 0.6, "alpha": 0.7}
    for view in views:
        (top, left), (height, width) = view.corner, view.extents
        axis.hlines(top + centre[view.name[0]], left, left + width, **line)
        axis.vlines(left + centre[view.name[1]], top, top + height, **line)
        axis.annotate(
            f"{view.name[0]}↓ {view.name[1]}→",
            (left, top),
            (2, -2),
            textcoords="offset points",
            fontsize=6,
            va="top",
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1},
        )


def _zero_level(
    axis: Any, labels: npt.NDArray[Any], annotated: npt.NDArray[np.bool_], view: _View, colour: str
) -> None:
    """Where the signed distance changes sign: halfway between voxels with label ≠ 0 and label = 0."""
    inside = np.ma.masked_array((labels != 0).astype(float), ~annotated)
    if min(inside.shape) > 1 and inside.count() and inside.min() < inside.max():
        y, x = (
            corner + (np.arange(n) + 0.5) * size
            for n, size, corner in zip(labels.shape, view.sizes, view.corner, strict=True)
        )
        axis.contour(x, y, inside, levels=[0.5], colors=colour, linewidths=0.8)


def _pictures(
    labels: Sequence[npt.NDArray[Any]], annotated: Sequence[npt.NDArray[np.bool_]]
) -> list[npt.NDArray[np.float64]]:
    """The views coloured alike: a label has the same colour in all of them."""
    line = np.concatenate([plane.ravel() for plane in labels])
    coloured = _colours(line, np.concatenate([plane.ravel() for plane in annotated]))
    ends = np.cumsum([plane.size for plane in labels])[:-1]
    return [part.reshape(*plane.shape, 3) for part, plane in zip(np.split(coloured, ends), labels, strict=True)]


def _colours(labels: npt.NDArray[Any], annotated: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """RGB: background black, one label white, several labels in hues far apart, unannotated grey."""
    from matplotlib.colors import hsv_to_rgb, to_rgb

    ids, rank = np.unique(np.where(annotated, labels, np.zeros((), labels.dtype)), return_inverse=True)
    golden = 0.618033988749895
    order = np.arange(len(ids))
    palette = hsv_to_rgb(np.stack([(order * golden) % 1, 0.45 + 0.3 * (order % 2), np.ones(len(ids))], axis=-1))
    if np.count_nonzero(ids) == 1:
        palette[:] = 1.0
    palette[ids == 0] = 0.0
    picture = palette[rank.reshape(labels.shape)]
    picture[~annotated] = to_rgb(_UNANNOTATED)
    return np.asarray(picture)


def _scale_bar(axis: Any, width: float, height: float, unit: str) -> None:
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

    length = _round_length(width / 4)
    bar = AnchoredSizeBar(
        axis.transData,
        length,
        _literal(f"{length:g} {unit}".rstrip()),
        "lower right",
        pad=0.3,
        size_vertical=height / 80,
    )
    bar.patch.set_alpha(0.8)
    bar.patch.set_linewidth(0)
    axis.add_artist(bar)


def _round_length(length: float) -> float:
    """The largest of 1, 2, 5 × 10ⁿ that is no longer than `length`."""
    power = 10.0 ** math.floor(math.log10(length))
    return power * max(step for step in (1, 2, 5) if step * power <= length * (1 + 1e-9))
