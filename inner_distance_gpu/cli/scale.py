"""The command `scale`: how wide the objects of each class or id are, and which scale that suggests."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer
from rich.table import Table

from .. import inner_distance
from ..labels import check_ignored, is_annotated
from ..labels.classes import ClassMap, absent_classes, check_class_ids
from ..storage.opening import READABLE
from .options import CLASSES, KEY, VOXEL_SIZE, choose_engine, classes_of, labels_of, number, print_absent
from .terminal import console, errors

QUANTILES = (0.1, 0.5, 0.9)
# Half-widths in scales: an object of the median width has tanh(1.5) = 0.905 in its middle.
SCALES_PER_HALF_WIDTH = 1.5
SCALES_OF_FLAT = 3  # half-widths beyond which the middle of an object is flat: tanh(3) = 0.995
FEW_IDS = 16  # more are instances, which share one row

Widths = npt.NDArray[np.float64]


def scale(
    labels: Annotated[str, typer.Argument(metavar="LABELS", help=f"Labels: {READABLE}.")],
    voxel_size: Annotated[str | None, typer.Option(help=VOXEL_SIZE)] = None,
    classes: Annotated[str | None, typer.Option(help=CLASSES)] = None,
    ignore_label: Annotated[str | None, typer.Option(help="The label of unannotated voxels.")] = None,
    key: Annotated[str | None, typer.Option(help=KEY)] = None,
    engine: Annotated[str, typer.Option(help="auto, cuda, cucim, cpu or reference.")] = "auto",
) -> None:
    """Print the half-widths of objects, per class or id, and a scale for each."""
    ignored = None if ignore_label is None else number("ignore-label", ignore_label)
    class_map = classes_of(classes, ignored)
    opened, sizes = labels_of(labels, key, voxel_size)
    array = opened.read()
    if ignored is not None:
        check_ignored(ignored, array.dtype)
    if class_map is not None:
        check_class_ids(class_map.ids, array.dtype, ignored)
        print_absent(absent_classes(class_map, array, ignored))
    found = half_widths(array, sizes, class_map, ignored, choose_engine(engine))
    unit = f" [{opened.unit}]" if opened.unit else ""
    table = Table("", "objects", *(f"{quantile:.0%}{unit}" for quantile in QUANTILES), f"scale{unit}", "flat")
    suggested = []
    for title, widths in found.items():
        if not widths.size:
            table.add_row(title, "0", *("" for _ in QUANTILES), "", "")
            continue
        suggested.append(suggested_scale(widths, sizes))
        shown = (f"{width:.4g}" for width in np.quantile(widths, QUANTILES))
        flat = np.count_nonzero(widths > SCALES_OF_FLAT * suggested[-1])
        table.add_row(title, str(widths.size), *shown, _shown(suggested[-1]), str(flat))
    console.print(f"{labels}: {array.dtype} {array.shape}, voxel size {', '.join(f'{size:g}' for size in sizes)}{unit}")
    console.print("Half-widths: the largest distance to the boundary in each object.")
    console.print(table)
    if not suggested:
        errors.print("no object has a boundary, so nothing is suggested")
        return
    console.print(f"Suggested: {_option(suggested, [] if class_map is not None else list(found), len(found))}")
    console.print(
        "An object of the median half-width has 0.9 in its middle then; no scale is below the largest voxel size."
    )
    console.print(
        f"Flat: objects of a half-width above {SCALES_OF_FLAT} scales. In their middle the target is above 0.995."
    )


def half_widths(
    labels: npt.NDArray[Any],
    voxel_size: tuple[float, ...],
    classes: ClassMap | None = None,
    ignore_label: float | None = None,
    engine: str = "auto",
) -> dict[str, Widths]:
    """The largest distance to the boundary inside each object, in world units.

    Parameters
    ----------
    labels : array of shape (..., z, y, x) or (..., y, x)
        Volumes in the leading axes stand alone.
    voxel_size : 2 or 3 positive numbers
        World units.
    classes : ClassMap or None
        One entry per class, whose objects are its connected parts (voxels that share a face). None: one entry per id if
        there are at most 16, objects as above; otherwise one for all, and each id is an object.
    ignore_label : number or None
    engine : str

    Returns
    -------
    dict
        Title -> half-widths, ascending. Objects of a volume without any boundary have none.
    """
    dims = len(voxel_size)
    present = np.unique(labels[is_annotated(labels, ignore_label) & (labels != 0)])
    chosen: list[tuple[int, ...]] | None = None
    if classes is not None:
        titles, chosen = [classes.title(channel) for channel in range(len(classes.ids))], list(classes.ids)
    elif present.size > FEW_IDS:
        titles = [f"{present.size} ids"]
    else:
        titles, chosen = [f"id {value}" for value in present], [(value,) for value in present]
    found: dict[str, list[Widths]] = {title: [] for title in titles}
    for volume in labels.reshape(-1, *labels.shape[labels.ndim - dims :]):
        # Instances keep the boundary between one another; a class is one binary volume.
        keywords: dict[str, Any] = {} if classes is None else {"classes": classes}
        distance = inner_distance(
            volume, voxel_size, no_boundary="saturate", ignore_label=ignore_label, engine=engine, **keywords
        )
        for channel, title in enumerate(titles):
            of_channel = distance if classes is None else distance[channel]
            objects = volume if chosen is None else _parts(np.isin(volume, chosen[channel]))
            found[title].append(_largest(of_channel, objects))
    return {title: np.sort(np.concatenate(widths)) for title, widths in found.items()}


def suggested_scale(widths: Widths, voxel_size: tuple[float, ...]) -> float:
    """The median half-width over 1.5, but no less than the largest voxel size: docs/choosing-scale.md says why."""
    return max(float(np.median(widths)) / SCALES_PER_HALF_WIDTH, *voxel_size)


def _option(scales: list[float], titles: list[str], count: int) -> str:
    """Scales as `run` and `volume` take them; numbers alone where some of `count` rows have none."""
    if len(scales) < count:
        return ", ".join(map(_shown, scales))
    ids = f" --ids {','.join(title.removeprefix('id ') for title in titles)}" if len(titles) > 1 else ""
    return f"--scale {','.join(map(_shown, scales))}{ids}"


def _shown(value: float) -> str:
    """Two digits, without an exponent."""
    return f"{float(f'{value:.2g}'):.10g}"


def _parts(inside: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    from scipy import ndimage

    return np.asarray(ndimage.label(inside)[0])


def _largest(distance: npt.NDArray[np.float32], objects: npt.NDArray[Any]) -> Widths:
    """The largest distance in each object; those of a volume without a boundary are left out."""
    from scipy import ndimage

    ids = np.unique(objects[objects != 0])
    if not ids.size:
        return np.empty(0)
    widths = np.asarray(ndimage.maximum(distance, objects, ids), np.float64)
    return widths[np.isfinite(widths) & (widths > 0)]
