"""The program `inner-distance-gpu`: its entry point, and the commands `demo`, `verify` and `info`."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .. import __version__, engines
from ..engines.cuda import report
from ..parameters import TargetParameters
from ..storage.opening import READABLE
from . import demo as nuclei
from . import verify as verification
from .bench import bench
from .levels import levels
from .options import (
    KEY,
    LEVEL,
    SELECT,
    choose_engine,
    labels_of,
    number,
    path,
    progress_bar,
    read_box,
    scale_of,
    selection,
    whole,
)
from .run import run
from .scale import scale
from .terminal import console, errors, print_error, surroundings
from .volume import volume

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(run)
app.command()(volume)
app.command()(levels)
app.command()(bench)
app.command()(scale)


def main() -> None:
    """Entry point: errors without a traceback, exit code 2."""
    with surroundings():
        try:
            app()
        except (ValueError, TypeError, OSError, MemoryError) as error:
            print_error(error, _keywords())
            sys.exit(2)


def _keywords() -> set[str]:
    """The options of all commands, as keywords of Python."""
    commands = getattr(typer.main.get_command(app), "commands", {})
    return {parameter.name for command in commands.values() for parameter in command.params}


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Exact distance-to-boundary targets for training segmentation networks."""


@app.command()
def verify(
    labels: Annotated[str, typer.Argument(metavar="LABELS", help=f"Labels: {READABLE}.")],
    scale: Annotated[str, typer.Option(help="As for run.")],
    voxel_size: Annotated[str | None, typer.Option(help="As for run.")] = None,
    background: Annotated[str, typer.Option(help="zero, signed or times_label.")] = "zero",
    no_boundary: Annotated[str, typer.Option(help="extent or saturate.")] = "extent",
    ignore_label: Annotated[str | None, typer.Option(help="The label of unannotated voxels.")] = None,
    key: Annotated[str | None, typer.Option(help=KEY)] = None,
    level: Annotated[int, typer.Option(help=LEVEL)] = 0,
    select: Annotated[str | None, typer.Option(help=SELECT)] = None,
    crop: Annotated[int, typer.Option(min=1, help="Voxels per spatial axis to compare; the reference is slow.")] = 64,
    at: Annotated[str | None, typer.Option(help="The voxel in the middle of the crop: 10,200,200.")] = None,
) -> None:
    """Compare every engine that runs here with the reference on a crop of your labels; exit code 1 if one is off."""
    opened, sizes = labels_of(labels, key, voxel_size, level=level, select=selection(select))
    parameters = TargetParameters.checked(
        sizes,
        scale_of(scale),
        background,
        no_boundary,
        None if ignore_label is None else number("ignore-label", ignore_label),
        0.0,
    )
    dims = len(parameters.voxel_size)
    centre = None if at is None else [whole("at", part) for part in at.split(",")]
    block = verification.crop_of(opened.shape, dims, crop, centre)
    part = read_box(opened, block)
    sites = verification.count_sites(part, parameters)
    where = ", ".join(f"{axis.start}:{axis.stop}" for axis in block)
    console.print(f"{labels}: {opened.dtype} {opened.shape}, crop [{where}] with {sites} boundary faces")
    if not sites:
        errors.print("the crop holds no boundary, so it says little: choose another with --at")
    table = Table("engine", "target", "distance", "weight", "seconds", "")
    results = []
    for result in verification.compare(part, parameters):
        results.append(result)
        numbers = [f"{value:.1e}" for value in (result.target, result.distance, result.weight)]
        verdict = "FAILED" if result.failure else "within" if result.within else "OFF"
        if len(results) == 1:
            numbers, verdict = [""] * 3, "the measure"
        table.add_row(result.engine, *numbers, f"{result.seconds:.4f}", verdict)
    console.print(table)
    console.print(
        f"largest difference from the reference; within {verification.TOLERANCE:g} of 1, of the distance, of the weight"
    )
    for result in results:
        if result.failure:
            console.print(f"{result.engine}: {result.failure}")
    for what, how in report.self_tests():
        console.print(f"{what}: {how}")
    if len(results) == 1:
        console.print("only the reference runs here, there is nothing to compare: see inner-distance-gpu info")
    if not all(result.within for result in results):
        raise typer.Exit(1)


@app.command()
def info() -> None:
    """Show which engines run here, and why the others do not."""
    table = Table("engine", "runs here", "why not, and what to do")
    for name, reason in engines.available().items():
        table.add_row(name, "yes" if reason is None else "no", reason or "")
    console.print(table)
    console.print(f"auto means {engines.fastest()} on the command line")
    installed = Table("what", "version", show_header=False, box=None)
    installed.add_row("inner_distance_gpu", __version__)
    installed.add_row("Python", f"{platform.python_version()}, {platform.machine()}")
    for name in ("numpy", "scipy"):
        installed.add_row(name, importlib.metadata.version(name))
    for what, how in report.rows():
        installed.add_row(what, how)
    console.print(installed)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option("--out", parser=path, metavar="PATH", help="Folder for targets, weights and demo.png.")
    ] = Path("demo"),
    engine: Annotated[str, typer.Option(help="auto, cuda, cucim, cpu or reference.")] = "auto",
) -> None:
    """Compute targets and weights of nuclei that come with the stardist package, and draw them."""
    chosen = choose_engine(engine)
    table = Table("case", "shape", "foreground", "seconds")
    with progress_bar() as progress:
        cases = nuclei.run(folder, chosen)
        for result in progress.track(cases, total=len(nuclei.CASES), description="nuclei"):
            table.add_row(
                result.case.name,
                " × ".join(map(str, result.shape)),
                f"{result.foreground:.0%}",
                f"{result.seconds:.3f}",
            )
    console.print(table)
    console.print(f"engine {chosen}; targets and weights: {folder}; picture: {folder / nuclei.PICTURE}")
    if chosen != "cuda" and engine == "auto":
        console.print(f"not cuda: {engines.available()['cuda']}")
