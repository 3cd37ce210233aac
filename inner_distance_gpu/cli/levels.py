"""The command `levels`: a pyramid for viewers, of a target that is there; the work is `blockwise.write_levels`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import LEVELS, level_count, path
from .terminal import console
from .volume import blocks_bar, interruptible, levels_text, show_blocks, summary


def levels(
    image: Annotated[
        Path,
        typer.Argument(
            parser=path,
            metavar="STORE",
            help="OME-Zarr image, as the command volume writes it. Label images are refused.",
        ),
    ],
    levels: Annotated[str, typer.Option(help=LEVELS)] = "auto",
    workers: Annotated[
        int | None, typer.Option(help="How many blocks are computed at a time. Default: one per CPU.")
    ] = None,
    scheduler: Annotated[str | None, typer.Option(help="Address of a dask.distributed cluster: tcp://…:8786.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and do nothing.")] = False,
) -> None:
    """Average a target into a pyramid of resolutions, block by block; the same command resumes it."""
    from .. import blockwise
    from ..storage.pyramids import plan_levels

    wanted = level_count(levels)
    planned = plan_levels(image, wanted)
    console.print(f"levels   {levels_text(planned.shapes)}; {planned.there} there")
    if dry_run:
        return
    with interruptible(image), blocks_bar() as bar:
        progress = show_blocks(bar, "levels")
        made = blockwise.write_levels(image, wanted, workers=workers, scheduler=scheduler, progress=progress)
    console.print(summary(made))
