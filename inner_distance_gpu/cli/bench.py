"""The command `bench`: engines and other packages on the user's machine, a table and a line for a report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy.typing as npt
import typer
from rich.table import Table

from ..parameters import TargetParameters
from ..storage import Labels
from ..storage.opening import READABLE
from . import comparison as benchmark
from . import verify as verification
from .options import KEY, LEVEL, SELECT, VOXEL_SIZE, labels_of, number, read_box, selection
from .terminal import console, errors

ROUNDS, QUICK_ROUNDS = 10, 3
CROP, QUICK_CROP = 128, 64  # voxels per axis; the reference is slow


def bench(
    labels: Annotated[
        str | None,
        typer.Argument(metavar="[LABELS]", help=f"Labels: {READABLE}. Default: smooth random objects."),
    ] = None,
    voxel_size: Annotated[str | None, typer.Option(help=VOXEL_SIZE)] = None,
    scale: Annotated[
        str | None,
        typer.Option(help="World units. The target is tanh(distance / scale). Default: 6.25 of the smallest voxels."),
    ] = None,
    key: Annotated[str | None, typer.Option(help=KEY)] = None,
    level: Annotated[int, typer.Option(help=LEVEL)] = 0,
    select: Annotated[str | None, typer.Option(help=SELECT)] = None,
    quick: Annotated[bool, typer.Option("--quick", help="64 voxels per axis at most, not 128; fewer rounds.")] = False,
) -> None:
    """Time the engines and other packages on this machine, on a crop of your labels or on random objects."""
    for option, value in (("key", key), ("level", level), ("select", select)):
        if labels is None and value:
            raise ValueError(f"--{option} {value} names a part of a label file, but no file was given")
    opened: Labels | None = None
    sizes: Sequence[float] = [benchmark.VOXEL_SIZE] * 3
    if labels is not None:
        opened, sizes = labels_of(labels, key, voxel_size, level=level, select=selection(select))
    elif voxel_size is not None:
        sizes = [number("voxel-size", part) for part in voxel_size.split(",")]
    if labels is None and len(sizes) != 3:
        raise ValueError(f"--voxel-size {voxel_size}: expected 3 numbers for the volumes that are made without LABELS")
    chosen = benchmark.VOXELS_PER_SCALE * min(sizes) if scale is None else number("scale", scale)
    parameters = TargetParameters.checked(sizes, chosen, "zero", "extent", None, 0.0)
    for name, volume in _volumes(opened, parameters, quick):
        rows = benchmark.measure(volume, parameters.voxel_size, float(chosen), QUICK_ROUNDS if quick else ROUNDS)
        console.print(_table(name, rows, volume.size))
    console.print("Δ: largest difference from the reference. Other packages measure to the centre of the nearest voxel")
    console.print("outside, not to the face before it. To paste into a report:")
    console.print(benchmark.summary(rows, volume, parameters.voxel_size, float(chosen)))


def _volumes(
    labels: Labels | None, parameters: TargetParameters, quick: bool
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    if labels is None:
        yield from benchmark.volumes(quick)
        return
    leading = len(labels.shape) - len(parameters.voxel_size)
    block = verification.crop_of(labels.shape, len(parameters.voxel_size), QUICK_CROP if quick else CROP)
    volume = read_box(labels, (*(slice(0, 1) for _ in range(leading)), *block[leading:]))[(0,) * leading]
    if not verification.count_sites(volume, parameters):
        errors.print("the crop holds no boundary, so times and differences say little")
    where = ", ".join(f"{axis.start}:{axis.stop}" for axis in block[leading:])
    yield f"{Path(labels.where).name}: {labels.dtype} {labels.shape}, crop [{where}]", volume


def _table(name: str, rows: list[benchmark.Row], voxels: int) -> Table:
    table = Table("", "ms", "Mvoxel/s", f"× {rows[0].name}", "quartiles", "Δ", title=name, title_justify="left")
    for row in rows:
        timing = row.timing
        low, _, high = timing.quartiles
        numbers = (f"{timing.best * 1e3:.2f}", f"{voxels / timing.best / 1e6:.1f}", f"{timing.ratio:.3g}")
        kind = "engine " if row.engine else ""
        table.add_row(kind + row.name, *numbers, f"{low:.3g}–{high:.3g}", f"{row.difference:.1e}")
    return table
