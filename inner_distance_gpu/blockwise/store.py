"""The output: a group with one array, created whole, resumed only with the parameters it was begun with."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..storage import disk, zarr_arrays
from ..storage.pyramids import is_level
from .empty_array import ARRAY as ARRAY
from .empty_array import build
from .journal import Journal
from .run_folder import RUNS, end_runs, sweep
from .run_folder import STATE as STATE

if TYPE_CHECKING:
    from .plan import Plan

JOURNAL = "done"  # its file that names the blocks that are done
DEFAULTS = {"classes": None}  # of parameters that an output of an earlier version does not state
ATTEMPTS = 10  # to lock an output that other processes complete or replace at this moment


def complete(plan: Plan, overwrite: bool) -> bool:
    """Whether the output is there already; False where it is to be begun or resumed.

    Raises
    ------
    FileExistsError, IsADirectoryError, ValueError
        Something else is there, or an output with other parameters.
    """
    path = plan.destination
    if not path.exists():
        return False
    stored = _stored(path)
    if stored is None:
        what = "a Zarr group or array" if zarr_arrays.node(path) else "a folder or file"
        raise IsADirectoryError(f"{path}: is {what} that was not begun by this command, and is not replaced")
    if overwrite:
        return False
    # The version that began it is recorded only: what it began, or finished, is gone on with by those after it.
    asked_for = {name: value for name, value in plan.parameters.items() if name != "version"}
    there = DEFAULTS | stored
    differing = {name: value for name, value in asked_for.items() if there.get(name, "") != value}
    if differing:
        state = "a finished" if stored.get("complete") else "an unfinished"
        listed = "\n".join(
            f"  {name}: {stored.get(name)!r} there, {asked!r} asked" for name, asked in differing.items()
        )
        same = ", ".join(f"{name}={value!r}" for name, value in asked_for.items() if name not in differing)
        raise ValueError(
            f"{path}: {state} output with other parameters is there\n{listed}\n  the same: {same}\n"
            "give the same parameters, another destination, or overwrite it"
        )
    return bool(stored.get("complete"))


def begun(plan: Plan) -> bool:
    """Whether an output is there to be resumed."""
    return _stored(plan.destination) is not None


def create(plan: Plan) -> None:
    """An empty output with all its metadata, there as a whole and on the disk; never in the place of another one.

    Raises
    ------
    OSError
        It cannot be created; the message names the output.
    """
    path = plan.destination
    with _built(plan) as (new, _):
        try:
            new.rename(path)
        except OSError:
            if not path.exists():
                raise
            # Another process was first: its output is resumed or refused like any other.
        disk.make_durable({path}, path.parent)


def replace(plan: Plan) -> None:
    """As `create`, in the place of an output of ours that is there and that nobody writes."""
    path = plan.destination
    _check_nothing_added(path)
    with _built(plan) as (new, aside):
        with contextlib.ExitStack() as locked:
            if (path / STATE).is_dir():  # its levels are made, or were when a process was killed
                locked.enter_context(owned(path))
            locked.enter_context(owned(plan.job.destination))
            end_other_runs(plan.job.destination)
            if os.name != "nt":
                disk.put(new, path, aside)
        if os.name == "nt":  # no folder is renamed there while a file in it is open
            disk.put(new, path, aside)
        disk.make_durable({path}, path.parent)


@contextlib.contextmanager
def _built(plan: Plan) -> Iterator[tuple[Path, Path]]:
    """A new output beside its place, and a name for the old one; both are removed in the end."""
    path = plan.destination
    try:
        with disk.folder_beside(path) as (new, old):
            build(new, plan)
            (new / ARRAY / STATE / RUNS).mkdir(parents=True)
            disk.make_durable({file for file in new.rglob("*") if file.is_file()}, new)
            yield new, old
    except OSError as error:
        if error.filename is not None and str(path) in (str(error.filename), str(error.filename2)):
            raise
        raise OSError(error.errno, f"the output cannot be created: {disk.reason(error)}", str(path)) from error


@contextlib.contextmanager
def owned(folder: Path, take: Callable[[dict[str, Any]], None] = lambda record: None) -> Iterator[Journal]:
    """The journal in an array that is there, or in a group whose levels are made: locked.

    `take` is called with each record of a block that is done.

    Raises
    ------
    BlockingIOError
        Another process writes this output.
    """
    state = folder / STATE
    journal = Journal(state / JOURNAL, take)
    for attempt in range(ATTEMPTS):
        try:
            state.mkdir(exist_ok=True)
            opened = journal.open()
            opened.__enter__()
            break
        except FileNotFoundError as error:
            # Another process has just completed or replaced it.
            if attempt == ATTEMPTS - 1 or not folder.is_dir():
                raise OSError(error.errno, f"the output was removed: {error.strerror}", str(folder)) from error
    try:
        yield journal
    except BaseException:
        opened.__exit__(*sys.exc_info())
        raise
    opened.__exit__(None, None, None)
    with contextlib.suppress(OSError):  # NFS keeps a file that was removed until it is closed, and its folder with it
        state.rmdir()


def end_other_runs(array: Path) -> None:
    """End the tasks of all runs before; the array is locked."""
    end_runs(array)
    if not (array / STATE / RUNS).is_dir():  # begun by an earlier version
        sweep(array)
        (array / STATE / RUNS).mkdir()


def finish(plan: Plan, results: dict[str, Any]) -> None:
    """Mark the output complete, with what was found on the way: one rename, which is the moment of completion."""
    array = plan.job.destination
    found = zarr_arrays.node(array)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, "the output was removed", str(array))
    attributes = found.attributes | results | {"complete": True}
    path, stored = array / ".zattrs", attributes
    if found.format == 3:
        path = array / "zarr.json"
        stored = json.loads(path.read_text(encoding="utf-8")) | {"attributes": attributes}
    plan.job.run_folder.put(json.dumps(stored, indent=2).encode(), path)
    disk.make_durable({array}, array)


def remove_state(folder: Path) -> None:
    """Remove the journals of what is complete, by the process that has locked them: their lock goes last."""
    state = folder / STATE
    with contextlib.suppress(OSError):
        for entry in state.iterdir():
            if entry.is_dir():
                shutil.rmtree(entry, ignore_errors=True)
            elif entry.name != JOURNAL:
                entry.unlink(missing_ok=True)
        (state / JOURNAL).unlink(missing_ok=True)
        state.rmdir()


def _check_nothing_added(path: Path) -> None:
    """Raise where the group of an output holds what this command did not write."""
    ours = {ARRAY, "zarr.json"}
    others = (entry for entry in path.iterdir() if entry.name not in ours and not entry.name.startswith("."))
    added = sorted(entry.name for entry in others if not (entry.is_dir() and is_level(entry)))
    if added:
        raise IsADirectoryError(
            f"{path}: holds {', '.join(added)}, which this command did not write; move that away to overwrite the rest"
        )


def results(plan: Plan) -> dict[str, Any]:
    """The attributes of an output that is there."""
    return _stored(plan.destination) or {}


def _stored(path: Path) -> dict[str, Any] | None:
    """The attributes of an output of ours; None for anything else."""
    with contextlib.suppress(ValueError):
        found = zarr_arrays.node(path / ARRAY)
        if found is not None and found.attributes.get("software") == "inner_distance_gpu":
            return found.attributes
    return None


def numbers_to_do(done: npt.NDArray[np.bool_]) -> Iterator[int]:
    """The blocks that are missing, in order."""
    return map(int, np.flatnonzero(~done))
