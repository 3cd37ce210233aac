"""The output: a group with one array, created whole, resumed only with the parameters it was begun with."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .. import disk, ome, zarr_arrays
from ..disk import make_durable
from .journal import Journal

if TYPE_CHECKING:
    from .plan import Plan

ARRAY = "0"  # the array's name in its group
STATE = ".unfinished"  # the folder with the journals, in the array's folder: gone when the output is complete
JOURNAL = "done"  # its file that names the blocks that are done
COMPRESSIONS = ("none", "zstd", "gzip", "blosc")
LEVELS = {"zstd": (1, 22), "gzip": (1, 9), "blosc": (1, 9)}
DEFAULT_LEVEL = {"zstd": 3, "gzip": 5, "blosc": 2}


def check_compression(compression: str) -> str:
    """`compression` with its level, such as "zstd:3"."""
    expected = f"expected one of {', '.join(COMPRESSIONS)}, with a level where wanted, such as 'zstd:9'"
    if not isinstance(compression, str):
        raise TypeError(f"compression={compression!r}: {expected}")
    name, colon, level = compression.partition(":")
    if name not in COMPRESSIONS or (colon and (name == "none" or not level.isdecimal())):
        raise ValueError(f"compression={compression!r}: {expected}")
    if name == "none":
        return name
    chosen, (low, high) = int(level) if colon else DEFAULT_LEVEL[name], LEVELS[name]
    if not low <= chosen <= high:
        raise ValueError(f"compression={compression!r}: expected a level between {low} and {high}")
    return f"{name}:{chosen}"


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
    differing = {name: value for name, value in plan.parameters.items() if stored.get(name, "") != value}
    if differing:
        state = "a finished" if stored.get("complete") else "an unfinished"
        listed = "\n".join(
            f"  {name}: {stored.get(name)!r} there, {asked!r} asked" for name, asked in differing.items()
        )
        same = ", ".join(f"{name}={value!r}" for name, value in plan.parameters.items() if name not in differing)
        raise ValueError(
            f"{path}: {state} output with other parameters is there\n{listed}\n  the same: {same}\n"
            "give the same parameters, another destination, or overwrite it"
        )
    return bool(stored.get("complete"))


def begun(plan: Plan) -> bool:
    """Whether an output is there to be resumed."""
    return _stored(plan.destination) is not None


def create(plan: Plan) -> None:
    """An empty output with all its metadata, there as a whole and on the disk, in the place of one that is there."""
    path = plan.destination
    work = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    try:
        new, old = work / "new", work / "old"
        _build(new, plan)
        (new / ARRAY / STATE).mkdir()
        make_durable({file for file in new.rglob("*") if file.is_file()}, new)
        with _not_in_use(path):
            disk.put(new, path, old)
        make_durable({path}, path.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def _not_in_use(path: Path) -> Iterator[None]:
    """Raise where another process is writing the output that is to be replaced."""
    state = path / ARRAY / STATE
    with Journal(state / JOURNAL).open() if state.exists() else contextlib.nullcontext():
        yield


def finish(plan: Plan, results: dict[str, Any]) -> None:
    """Mark the output complete, with what was found on the way; then the journals go."""
    array = plan.job.destination
    zarr_arrays.open_array(array, "r+").attrs.update(results | {"complete": True})
    make_durable({array / name for name in ("zarr.json", ".zattrs")}, array)
    remove_state(plan)


def remove_state(plan: Plan) -> None:
    shutil.rmtree(plan.job.destination / STATE, ignore_errors=True)


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


def _build(path: Path, plan: Plan) -> None:
    zarr = zarr_arrays.library(path, plan.format)
    old = zarr_arrays.is_2(zarr)
    group = zarr.open_group(str(path), mode="w", **({} if old else {"zarr_format": plan.format}))
    if plan.placement is not None:
        group.attrs.update(ome.attributes(plan.placement, plan.destination.stem, ARRAY, plan.format))
    wanted: dict[str, Any] = {
        "shape": plan.shape,
        "chunks": plan.chunks,
        "dtype": np.dtype(plan.job.dtype).newbyteorder("<"),
        "fill_value": 0,
    }
    compressor = _compressor(plan)
    if old:
        array = zarr.open_array(str(path / ARRAY), mode="w", compressor=compressor, dimension_separator="/", **wanted)
    else:
        separated = {"name": "v2" if plan.format == 2 else "default", "separator": "/"}
        names = [axis["name"] for axis in plan.placement.axes] if plan.placement and plan.format == 3 else None
        array = zarr.create_array(
            str(path / ARRAY),
            shards=plan.shards,
            compressors=compressor,
            zarr_format=plan.format,
            chunk_key_encoding=separated,
            dimension_names=names,
            **wanted,
        )
    array.attrs.update(plan.parameters | {"complete": False})


def _compressor(plan: Plan) -> Any:
    """Byte shuffling helps floats; the level decides nothing about the values."""
    name, _, level = check_compression(plan.compression).partition(":")
    if name == "none":
        return None
    if plan.format == 2:
        import numcodecs

        if name == "blosc":
            return numcodecs.Blosc("zstd", int(level), numcodecs.Blosc.SHUFFLE)
        return (numcodecs.Zstd if name == "zstd" else numcodecs.GZip)(int(level))
    from zarr import codecs

    if name == "blosc":
        return codecs.BloscCodec(cname="zstd", clevel=int(level), shuffle="shuffle")
    return (codecs.ZstdCodec if name == "zstd" else codecs.GzipCodec)(level=int(level))


def numbers_to_do(done: npt.NDArray[np.bool_]) -> Iterator[int]:
    """The blocks that are missing, in order."""
    return map(int, np.flatnonzero(~done))
