"""The command `run`: the target of labels that fit into memory, and its weights, as files or OME-Zarr."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import typer

from .. import __version__, dispatch
from ..api import balanced_weights
from ..labels import UNANNOTATED, Volumes, check_ids, check_ignored
from ..labels.classes import absent_classes, check_class_ids
from ..parameters import TargetParameters, Task, check_threads
from ..storage import files
from ..storage.opening import READABLE
from ..storage.placing import format_sizes
from ..storage.target import Target
from . import figures
from .options import (
    CLASSES,
    KEY,
    LEVEL,
    SCALE,
    SELECT,
    UNIT,
    VOXEL_SIZE,
    choose_engine,
    classes_of,
    labels_of,
    local_inputs,
    number,
    path,
    print_absent,
    progress_bar,
    scale_of,
    selection,
    whole,
)
from .terminal import console

PREVIEWED = 4  # rows of a preview


def run(
    labels: Annotated[str, typer.Argument(metavar="LABELS", help=f"Labels: {READABLE}.")],
    out: Annotated[
        Path,
        typer.Argument(
            parser=path,
            metavar="OUT",
            help="Target to write: .npy, TIFF, HDF5 or NIfTI, described in a .json beside it, or OME-Zarr.",
        ),
    ],
    scale: Annotated[str, typer.Option(help=f"{SCALE}; none leaves distances.")],
    voxel_size: Annotated[str | None, typer.Option(help=VOXEL_SIZE)] = None,
    background: Annotated[str, typer.Option(help="zero, signed or times_label.")] = "zero",
    no_boundary: Annotated[
        str, typer.Option(help="Distance in a volume without any boundary: extent (half its shortest one) or saturate.")
    ] = "extent",
    ids: Annotated[str | None, typer.Option(help="One binary channel per id: 1,2,7.")] = None,
    binary: Annotated[bool, typer.Option("--binary", help="Take every label ≠ 0 as one and the same object.")] = False,
    classes: Annotated[str | None, typer.Option(help=CLASSES)] = None,
    ignore_label: Annotated[str | None, typer.Option(help="The label of unannotated voxels.")] = None,
    fill: Annotated[float, typer.Option(help="Target of unannotated voxels.")] = 0.0,
    key: Annotated[str | None, typer.Option(help=KEY)] = None,
    level: Annotated[int, typer.Option(help=LEVEL)] = 0,
    select: Annotated[str | None, typer.Option(help=SELECT)] = None,
    weight: Annotated[
        Path | None,
        typer.Option(
            parser=path, metavar="FILE", help="Also write the class-balanced weights, in any of OUT's formats."
        ),
    ] = None,
    engine: Annotated[str, typer.Option(help="auto, cuda, cucim, cpu or reference.")] = "auto",
    preview: Annotated[
        Path | None, typer.Option(parser=path, metavar="PATH", help="Draw labels, target and weight into this PNG.")
    ] = None,
    unit: Annotated[str, typer.Option(help=UNIT)] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")] = False,
) -> None:
    """Compute the target of a label file."""
    ignored = None if ignore_label is None else number("ignore-label", ignore_label)
    class_map = classes_of(classes, ignored)
    options = {f"--ids {ids}": ids is not None, "--binary": binary, f"--classes {classes}": class_map is not None}
    given = [option for option, taken in options.items() if taken]
    if len(given) > 1:
        raise ValueError(f"{' and '.join(given)} were both given: expected one of them")
    opened, sizes = labels_of(labels, key, voxel_size, unit, level, selection(select))
    inputs = local_inputs(labels)
    wanted = None if ids is None else [whole("ids", part) for part in ids.split(",")]
    channels = wanted if class_map is None else class_map.ids
    of_voxels = UNANNOTATED if given else ignored
    parameters = TargetParameters.checked(
        sizes, scale_of(scale), background, no_boundary, of_voxels, fill, None if channels is None else len(channels)
    )
    engine = choose_engine(engine)
    files.check_target(out, overwrite, inputs, key)
    if weight is not None:
        files.check_target(weight, overwrite, inputs, key)
        files.check_apart(out, weight)
    mark = figures.mark("run", out)
    if preview is not None:
        files.check_writable(preview, (".png",), overwrite or figures.mark_of(preview) == mark, inputs)
    array = opened.read()
    if ignored is not None:
        check_ignored(ignored, array.dtype)
    if wanted is not None:
        check_ids(wanted, array, ignored)
    if class_map is not None:
        check_class_ids(class_map.ids, array.dtype, ignored)
        print_absent(absent_classes(class_map, array, ignored))
    names = [f"id {chosen}" for chosen in wanted or ()] if class_map is None else class_map.titles()
    of_classes = None if class_map is None else class_map.ids
    parts = Volumes(array, len(parameters.voxel_size), wanted, binary, ignored, of_classes, names)
    stated = f"voxel size {format_sizes(sizes, opened.unit)}"
    console.print(f"{labels}: {array.dtype} {array.shape}, {stated}; engine {engine}")
    described = files.describe(
        parameters,
        engine,
        __version__,
        labels,
        key=key,
        level=level,
        select=selection(select),
        ids=wanted,
        binary=binary,
        classes=None if class_map is None else class_map.described(),
        ignore_label=ignored,
        unit=opened.unit,
        translation=opened.translation,
    )
    holds = ("target",) if weight is None else ("target", "weight")
    places = (out,) if weight is None else (out, weight)
    outputs = [
        (place, Target.of(opened, described | {"holds": what}, names, wanted is not None))
        for place, what in zip(places, holds, strict=True)
    ]
    panels: list[figures.Panel] = []
    with files.writing_targets(outputs, opened) as opened_outputs, progress_bar() as progress:
        shown = [part.index for _, part in zip(range(PREVIEWED), parts, strict=False)] if preview is not None else []
        weights = _weights(parts, engine, opened_outputs[1] if weight is not None else None, shown)
        for part in progress.track(parts, total=len(parts), description="targets"):
            channel = 0 if parts.channel_axis is None else part.index[parts.channel_axis]
            target = _target(part.labels, parameters.of_channel(channel), engine)
            opened_outputs[0][part.index] = target
            if len(panels) < len(shown):
                title = f"{Path(labels).name} {part.title}".strip()
                panels.append(figures.Panel(title, part.labels, target, weights[part.index], parameters))
        if preview is not None:
            with files.writing(preview) as picture:
                figures.save(picture, panels, opened.unit, mark)
    for (place, target), what in zip(outputs, holds, strict=True):
        description = "its attributes" if files.is_zarr(place) else files.sidecar_of(place)
        console.print(f"{what} float32 {target.shape}: {place}\ndescription: {description}")
    if preview is not None:
        more = f" (the first {PREVIEWED} of {len(parts)} volumes)" if len(parts) > PREVIEWED else ""
        console.print(f"preview: {preview}{more}")


def _target(labels: npt.NDArray[Any], parameters: TargetParameters, engine: str) -> Any:
    accepted = dispatch.accept_volumes(labels, parameters.voxel_size)
    return dispatch.run(accepted, Task(parameters), engine=engine, threads=check_threads(None))[0]


def _weights(
    parts: Volumes, engine: str, output: Any, shown: Sequence[tuple[int, ...]]
) -> dict[tuple[int, ...], npt.NDArray[Any]]:
    """Write the weights of all volumes; those of the volumes that are `shown`, by their index.

    Every channel is one slab over all its volumes, whose counts start at 0 of 1.
    """
    kept: dict[tuple[int, ...], npt.NDArray[Any]] = {}
    if output is None and not shown:
        return kept
    at = parts.channel_axis
    for channel, labels in enumerate(parts.channels()):
        values, _ = balanced_weights(labels, ignore_label=UNANNOTATED, engine=engine)
        if output is not None and at is None:
            output[...] = values
        elif output is not None and at is not None:
            for place in np.ndindex(values.shape[:at]):
                output[(*place, channel)] = values[place]
        for volume in shown:
            if at is None:
                kept[volume] = values[volume]
            elif volume[at] == channel:
                kept[volume] = values[(*volume[:at], *volume[at + 1 :])]
    return kept
