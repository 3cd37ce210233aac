"""The command `volume`: what it says before, during and after; the work is `blockwise.write`."""

from __future__ import annotations

import contextlib
import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from ..storage import files
from ..storage.opening import READABLE
from ..storage.placing import format_sizes
from . import figures
from .options import (
    CLASSES,
    KEY,
    LEVEL,
    LEVELS,
    SCALE,
    SELECT,
    UNIT,
    VOXEL_SIZE,
    choose_engine,
    classes_of,
    level_count,
    number,
    path,
    print_absent,
    scale_of,
    selection,
    whole_numbers,
)
from .terminal import console, errors

if TYPE_CHECKING:
    from .. import blockwise

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended


def volume(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help=f"Labels: {READABLE}.")],
    destination: Annotated[
        Path,
        typer.Argument(
            parser=path, metavar="DESTINATION", help="OME-Zarr to write: a new *.zarr, or a place in a group."
        ),
    ],
    scale: Annotated[str, typer.Option(help=f"{SCALE}.")],
    voxel_size: Annotated[str | None, typer.Option(help=VOXEL_SIZE)] = None,
    ids: Annotated[str | None, typer.Option(help="One binary channel per id: 1,2,7.")] = None,
    binary: Annotated[bool, typer.Option("--binary", help="Take every label ≠ 0 as one and the same object.")] = False,
    classes: Annotated[str | None, typer.Option(help=CLASSES)] = None,
    halo: Annotated[str, typer.Option(help="exact, or the largest error allowed, such as 0.01.")] = "exact",
    background: Annotated[str, typer.Option(help="zero, signed or times_label.")] = "zero",
    no_boundary: Annotated[
        str, typer.Option(help="Distance in a volume without any boundary: extent (half its shortest one) or saturate.")
    ] = "extent",
    ignore_label: Annotated[str | None, typer.Option(help="The label of unannotated voxels.")] = None,
    fill: Annotated[float, typer.Option(help="Target of unannotated voxels.")] = 0.0,
    dtype: Annotated[str, typer.Option(help="float32, or int8: target × 127, rounded.")] = "float32",
    blocks: Annotated[
        str | None, typer.Option(help="Voxels of a block: 256,256,256. Default: chosen by the size of the halo.")
    ] = None,
    chunks: Annotated[str | None, typer.Option(help="Voxels of a chunk: 64,64,64. Default: as the labels.")] = None,
    shards: Annotated[str | None, typer.Option(help="Voxels of a shard, Zarr format 3.")] = None,
    compression: Annotated[str, typer.Option(help="zstd, blosc, gzip, with a level as in zstd:9; or none.")] = "zstd",
    key: Annotated[str | None, typer.Option(help=KEY)] = None,
    level: Annotated[int, typer.Option(help=LEVEL)] = 0,
    select: Annotated[str | None, typer.Option(help=SELECT)] = None,
    missing: Annotated[
        str, typer.Option(help="Chunks of the labels that are not stored: fill (they hold the fill value) or error.")
    ] = "fill",
    engine: Annotated[str, typer.Option(help="auto, cuda, cucim, cpu or reference.")] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="How many blocks are computed at a time. Default: one per CPU.")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask.distributed cluster: tcp://…:8786.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")] = False,
    preview: Annotated[
        Path | None,
        typer.Option(parser=path, metavar="PATH", help="Draw slices of labels, target, weight into this PNG."),
    ] = None,
    at: Annotated[str | None, typer.Option(help="The voxel where the slices of the preview meet: 10,200,200.")] = None,
    unit: Annotated[str, typer.Option(help=UNIT)] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an output of this command.")] = False,
    levels: Annotated[str, typer.Option(help=LEVELS)] = "1",
) -> None:
    """Compute the target of a Zarr volume of any size, block by block; the same command resumes it."""
    from .. import blockwise
    from ..blockwise.levels import shapes_of_levels
    from . import previews

    scales = scale_of(scale)
    if scales is None:
        raise ValueError(
            "--scale none: distances have no largest value, so the halo that a block needs has no end; give a scale, "
            "or use inner-distance-gpu run where the volume fits in memory"
        )
    ignored = None if ignore_label is None else number("ignore-label", ignore_label)
    plan = blockwise.plan(
        source,
        destination,
        None if voxel_size is None else [number("voxel-size", part) for part in voxel_size.split(",")],
        scale=scales,
        halo=halo if halo == "exact" else float(number("halo", halo)),
        background=background,
        no_boundary=no_boundary,
        ignore_label=ignored,
        fill=fill,
        # A cluster's engine is no question of this machine.
        engine=engine if scheduler is not None else choose_engine(engine),
        ids=whole_numbers("ids", ids),
        binary=binary,
        classes=classes_of(classes, ignored),
        dtype=dtype,
        blocks=whole_numbers("blocks", blocks),
        chunks=whole_numbers("chunks", chunks),
        shards=whole_numbers("shards", shards),
        compression=compression,
        key=key,
        level=level,
        select=selection(select),
        unit=unit,
        missing=missing,
    )
    wanted = level_count(levels)
    shapes = shapes_of_levels(plan, wanted)
    where, mark = whole_numbers("at", at), figures.mark("volume", destination)
    if preview is not None:
        files.check_writable(
            preview, (".png",), overwrite or figures.mark_of(preview) == figures.mark("volume", destination)
        )
        previews.check_at(plan, where)
    if plan.notice:
        errors.print(plan.notice)
    spelt = source if key is None else f"{source}, {key}"
    console.print(_described(plan, (spelt, destination), scheduler, workers))
    if len(shapes) > 1:
        console.print(f"levels   {levels_text(shapes)}")
    if dry_run:
        return
    with interruptible(destination), blocks_bar() as bar:
        written = blockwise.run(plan, overwrite, workers, scheduler, show_blocks(bar))
        if len(shapes) > 1:
            made = blockwise.write_levels(
                destination, wanted, workers=workers, scheduler=scheduler, progress=show_blocks(bar, "levels")
            )
    _summarise(written, destination)
    if len(shapes) > 1:
        console.print(summary(made))
    if preview is not None:
        with files.writing(preview) as picture:
            figures.save(picture, previews.panels(written, where), plan.parameters["unit"], mark)
        console.print(f"preview: {preview}")


def _described(plan: blockwise.Plan, places: tuple[str, Path], scheduler: str | None, workers: int | None) -> str:
    """What a run will do, in numbers; `places` are labels and target as they were spelt."""
    from dask.system import CPU_COUNT

    threads = CPU_COUNT if workers is None else workers
    memory = f"{_bytes(plan.memory)} per worker thread"
    if scheduler is None:
        memory += f", {_bytes(plan.memory * threads)} for {threads}"
    rows = (
        ("labels", f"{places[0]}: {np.dtype(plan.source_dtype)} {shape_text(plan.source_shape)}"),
        ("voxels", format_sizes(plan.job.parameters.voxel_size, plan.parameters["unit"])),
        ("target", f"{places[1]}: {plan.job.dtype} {shape_text(plan.shape)}, Zarr format {plan.format}"),
        ("engine", plan.job.engine + ("" if scheduler is None else f" on {scheduler}")),
        ("blocks", f"{plan.blocks} of {shape_text(plan.block)} voxels, chunks {shape_text(plan.chunks)}"),
        ("halo", f"{shape_text(plan.halo)} voxels on each side"),
        ("overhead", f"{plan.overhead:.2f} voxels computed per voxel of the volume"),
        ("memory", memory),
        ("output", f"{_bytes(plan.output)} before compression ({plan.parameters['compression']})"),
    )
    return "\n".join(f"{name:<9}{value}" for name, value in rows)


def _summarise(written: blockwise.Written, destination: Path) -> None:
    plan = written.plan
    if not written.computed:
        console.print(f"{destination}: complete already, with the same parameters; nothing to do")
        return
    rate = written.voxels / written.seconds / 1e6
    before = f", {written.resumed} were done before" if written.resumed else ""
    console.print(
        f"{destination}: complete. {written.computed} blocks in {written.seconds:.1f} s, {rate:.1f} Mvoxel/s{before}"
    )
    if written.missing_chunks:
        console.print(
            f"{written.missing_chunks} chunks of the labels are not stored and counted as their fill value; "
            "--missing error refuses them"
        )
    if plan.job.classes is not None:
        found = enumerate(written.class_voxels)
        print_absent([plan.job.classes.title(channel) for channel, (_, inside) in found if not inside])
    absent = [i for i, (_, inside) in zip(plan.job.ids or (), written.class_voxels, strict=False) if not inside]
    if absent:
        errors.print(f"ids {absent} do not occur in the labels: their channels are background")


@contextlib.contextmanager
def interruptible(destination: Path) -> Iterator[None]:
    """Ctrl-C: say what happens, let the blocks that were begun be finished, say how to go on, exit 130."""

    def stop(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        errors.print("\nstopping: the blocks that were begun are finished first; Ctrl-C again drops them")
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    except KeyboardInterrupt:
        errors.print(f"{destination}: not complete. The same command goes on where this one stopped")
        raise typer.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, before)


def show_blocks(bar: Bar, what: str = "blocks") -> Callable[[blockwise.Progress], None]:
    """What moves a row of a bar."""
    shown = bar.add_task(what, total=None, rate="")

    def progress(now: blockwise.Progress) -> None:
        elapsed = next(task.elapsed for task in bar.tasks if task.id == shown) or 0
        rate = f"{now.voxels / max(elapsed, 1e-9) / 1e6:.1f} Mvoxel/s" if now.computed else ""
        bar.update(shown, total=now.blocks, completed=now.done, rate=rate)

    return progress


def levels_text(shapes: tuple[tuple[int, ...], ...]) -> str:
    """The shapes of all levels, in one line."""
    return f"{len(shapes)}: {', '.join(shape_text(shape) for shape in shapes)}"


def summary(made: blockwise.Levels) -> str:
    """What was done to the levels of an image, in one line."""
    if not made.computed:
        return f"{made.store}: {len(made.shapes)} levels, which were there already"
    rate = made.voxels / max(made.seconds, 1e-9) / 1e6
    before = f", {made.resumed} were done before" if made.resumed else ""
    return (
        f"{made.store}: {len(made.shapes)} levels. {made.computed} blocks in {made.seconds:.1f} s, "
        f"{rate:.1f} Mvoxel/s{before}"
    )


def blocks_bar() -> Bar:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Bar(*columns, console=errors, transient=True, disable=not errors.is_terminal)


def shape_text(extents: tuple[int, ...]) -> str:
    return " × ".join(map(str, extents))


def _bytes(count: int) -> str:
    power = min(int(math.log(max(count, 1), 1000)), 5)
    return f"{count / 1000**power:.3g} {('B', 'kB', 'MB', 'GB', 'TB', 'PB')[power]}"
