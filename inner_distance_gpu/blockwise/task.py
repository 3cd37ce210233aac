"""What is done to one block, in whatever thread or process: read, compute, write, make durable."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..chunk_files import replace_file
from ..disk import make_durable
from ..labels import Volumes, annotated, has_site
from ..parameters import TargetParameters
from ..zarr_arrays import stores_zeros_as_nothing
from .grid import Grid, Place, Slices
from .lazy import block_target
from .source import Source, chunk_codec, chunk_files, opened

FACTOR = 127  # an int8 target is the float times this, rounded


@dataclass(frozen=True)
class Job:
    """Everything a worker has to know; it travels to the processes of a cluster.

    `parameters` are those of the channels as an engine sees them, `ignore_label` is the label in the source.
    `destination` is the array. With `ids` its first axis holds a channel per id. `resumed`: an earlier run may have
    left chunks of blocks that it did not mark.
    """

    source: Source
    destination: Path
    grid: Grid
    parameters: TargetParameters
    engine: str
    dtype: str
    ids: tuple[int, ...] | None
    binary: bool
    ignore_label: int | float | None
    resumed: bool = False

    @property
    def channels(self) -> int:
        return 1 if self.ids is None else len(self.ids)

    def volumes(self, labels: npt.NDArray[Any]) -> Volumes:
        """The channels of a block or a slice of one volume's labels."""
        ids = None if self.ids is None else list(self.ids)
        return Volumes(labels, labels.ndim, ids, self.binary, self.ignore_label)


def look_for_sites(job: Job, number: int) -> dict[str, Any]:
    """In which channels a block has a site, the faces to the next blocks included."""
    dims = len(job.grid.spatial)
    place = job.grid.place(number, (1,) * dims)
    ignored = job.parameters.ignore_label
    labels = job.source.read(place)
    found = [bool(has_site(part.labels, dims, ignored).all()) for part in job.volumes(labels)]
    return {"block": number, "sites": found}


def write_block(job: Job, with_sites: npt.NDArray[np.bool_], number: int) -> dict[str, Any]:
    """Compute a block and write it, every channel; it is on the disk when this returns.

    `with_sites`, of shape (leading axes…, channels), says which volumes have a site anywhere.

    Returns
    -------
    dict
        For the journal: the block's number, the source chunks that are not stored, and per channel the
        voxels with label = 0 and with label ≠ 0.
    """
    place = job.grid.place(number)
    labels = job.source.read(place)
    whole_extent = min(n * s for n, s in zip(job.grid.spatial, job.parameters.voxel_size, strict=True))
    counts: list[list[int]] = []
    written: set[Path] = set()
    for channel, (part, any_site) in enumerate(zip(job.volumes(labels), with_sites[place.volume], strict=True)):
        target = block_target(part.labels, any_site, job.parameters, job.engine, whole_extent)[place.within]
        counts.append(_class_voxels(part.labels[place.within], job.parameters.ignore_label))
        written |= _store(job, channel, place, target)
        del target  # before the next channel needs as much
    make_durable(written, job.destination)
    return {"block": number, "missing": job.source.count_missing(place), "voxels": counts}


def encoded(target: npt.NDArray[np.float32], dtype: str) -> npt.NDArray[Any]:
    """The numbers that are stored for a target."""
    if dtype == "float32":
        return target
    stored = np.empty(target.shape, np.int8)
    for plane, values in zip(stored, target, strict=True):  # plane by plane: the products need memory too
        plane[...] = np.rint(values * np.float32(FACTOR))
    return stored


def decoded(stored: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """The target that stored numbers mean."""
    return np.asarray(stored, np.float32) / np.float32(FACTOR if stored.dtype == np.int8 else 1)


def _class_voxels(labels: npt.NDArray[Any], ignore_label: int | float | None) -> list[int]:
    known = annotated(labels, ignore_label)
    foreground = int(np.count_nonzero(known & (labels != 0)))
    return [int(np.count_nonzero(known)) - foreground, foreground]


def _store(job: Job, channel: int, place: Place, target: npt.NDArray[np.float32]) -> set[Path]:
    """Write a block into one channel; returns its chunk files."""
    region = (*(slice(i, i + 1) for i in place.volume), *place.inner)
    if job.ids is not None:
        region = (slice(channel, channel + 1), *region)
    files = chunk_files(job.destination, job.source.run)
    paths = {files.path(index) for index in files.touching(region)}
    try:
        for path in paths if job.resumed else ():
            # After a power cut it may be damaged, and Zarr reads what is there of a shard or a chunk at the edge.
            path.unlink(missing_ok=True)
        values = encoded(target, job.dtype)
        _write(job, region, values[(None,) * (len(region) - values.ndim)])
        _remove_unfinished(paths)
    except OSError as error:
        said = f"block {place} of {job.destination} cannot be written: {error.strerror or error}"
        raise OSError(error.errno, said, error.filename) from error
    return paths


def _write(job: Job, region: Slices, values: npt.NDArray[Any]) -> None:
    """Write whole chunks, each to a file beside its place first."""
    codec = chunk_codec(job.destination, job.source.run)
    if codec is None or not stores_zeros_as_nothing():
        opened(job.destination, "r+", job.source.run)[region] = values
        return
    for index in codec.files.touching(region):
        part = codec.files.part(index, region)
        chunk = values[tuple(slice(p.start - a.start, p.stop - a.start) for p, a in zip(part, region, strict=True))]
        if chunk.shape != codec.files.chunk:  # at the end of the array
            chunk = np.pad(chunk, [(0, n - size) for n, size in zip(codec.files.chunk, chunk.shape, strict=True)])
        replace_file(codec.files.path(index), codec.encode(chunk))


def _remove_unfinished(paths: set[Path]) -> None:
    """Remove what a killed process left of chunks: Zarr writes to a file beside each that it renames at the end."""
    for folder in {path.parent for path in paths}:
        with contextlib.suppress(FileNotFoundError):
            for other in folder.iterdir():
                if other.suffix == ".partial" and folder / other.name.split(".")[0] in paths:
                    other.unlink(missing_ok=True)
