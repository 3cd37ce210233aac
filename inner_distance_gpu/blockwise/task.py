"""What is done to one block, in whatever thread or process: read, compute, write, make durable."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels import Volumes, is_annotated
from ..labels.classes import ClassMap
from ..parameters import TargetParameters
from .grid import Grid, Place, Slices
from .lazy import block_target
from .run_folder import RunFolder, encoded_chunk, make_durable, stored_values
from .source import LabelsSource, Source, chunk_codec, chunk_files

FACTOR = 127  # an int8 target is the float times this, rounded


@dataclass(frozen=True)
class Job:
    """Everything a worker has to know; it travels to the processes of a cluster.

    `parameters` are those of the channels as an engine sees them, the halo is that of the largest scale;
    `ignore_label` is the label in the source.
    `destination` is the array. With `ids` its first axis holds a channel per id, with `classes` the one in front of the
    spatial axes a channel per class. `leaves_out_zeros`: whether a chunk of
    zeros is not stored; asked once, since a worker would import zarr-python for it.
    """

    source: Source | LabelsSource
    destination: Path
    grid: Grid
    parameters: TargetParameters
    engine: str
    dtype: str
    ids: tuple[int, ...] | None
    binary: bool
    ignore_label: int | float | None
    leaves_out_zeros: bool
    classes: ClassMap | None = None

    @property
    def run_folder(self) -> RunFolder:
        """The only way to the chunks of the output, for as long as it belongs to this run."""
        return RunFolder.of(self.destination, self.source.run)

    @property
    def channels(self) -> int:
        return len(self.classes.ids) if self.classes is not None else 1 if self.ids is None else len(self.ids)

    def volumes(self, labels: npt.NDArray[Any]) -> Volumes:
        """The channels of a block or a slice of one volume's labels."""
        ids = None if self.ids is None else list(self.ids)
        classes = None if self.classes is None else self.classes.ids
        return Volumes(labels, labels.ndim, ids, self.binary, self.ignore_label, classes)


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
        parameters = job.parameters.of_channel(channel)
        target = block_target(part.labels, any_site, parameters, job.engine, whole_extent)[place.within]
        counts.append(_class_voxels(part.labels[place.within], job.parameters.ignore_label))
        with naming(job.destination, place):
            written |= _store(job, channel, place, target)
        del target  # before the next channel needs as much
    with naming(job.destination, place):
        make_durable(written, job.destination, job.source.run)
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
    if ignore_label is None and labels.dtype.kind in "biu":  # all are annotated
        foreground = int(np.count_nonzero(labels))
        return [labels.size - foreground, foreground]
    annotated = is_annotated(labels, ignore_label)
    foreground = int(np.count_nonzero(annotated & (labels != 0)))
    return [int(np.count_nonzero(annotated)) - foreground, foreground]


@contextlib.contextmanager
def naming(array: Path, place: Place) -> Iterator[None]:
    """Let an error of the operating system name the block."""
    try:
        yield
    except OSError as error:
        message = f"block {place} of {array} cannot be written: {error.strerror or error}"
        raise OSError(error.errno, message, error.filename) from error


def _store(job: Job, channel: int, place: Place, target: npt.NDArray[np.float32]) -> set[Path]:
    """Write a block into one channel; returns the folders of its chunk files, whose entries are not yet on the disk."""
    region = (*(slice(i, i + 1) for i in place.volume), *place.inner)
    if job.ids is not None:
        region = (slice(channel, channel + 1), *region)
    elif job.classes is not None:
        front = len(place.volume)
        region = (*region[:front], slice(channel, channel + 1), *region[front:])
    values = encoded(target, job.dtype)
    values = values[(None,) * (len(region) - values.ndim)]
    return write_chunks(job.destination, job.run_folder, region, values, job.leaves_out_zeros)


def write_chunks(
    array: Path, run: RunFolder, region: Slices, values: npt.NDArray[Any], leaves_out_zeros: bool
) -> set[Path]:
    """Write whole chunks, each to a file in the folder of the run first; returns the folders that they are in then."""
    name = run.path.name
    codec = chunk_codec(array, name) if leaves_out_zeros else None
    if codec is not None and codec.fill_value != 0:  # what is left out would be read as something else
        codec = None
    files = chunk_files(array, name)
    folders = set()
    for index, there, _ in files.pieces(region):
        chunk = values[there]
        if codec is not None:
            data = codec.encode(stored_values(chunk, files.chunk))
        else:
            data = encoded_chunk(array, name, index, chunk)
        path = files.path(index)
        if data is None:
            run.remove(path)
        else:
            run.put(data, path)
        folders.add(path.parent)
    run.check()
    return folders
