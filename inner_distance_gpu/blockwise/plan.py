"""What a write would do: every argument checked, the blocks laid out, nothing touched."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__, arrays, dispatch, engines
from ..labels import UNANNOTATED
from ..labels.classes import ClassMap
from ..parameters import TargetParameters, Task, check_choice
from ..storage import Labels, disk, ome, open_labels, zarr_arrays
from ..storage.addresses import is_address
from ..storage.chunk_files import ChunkFiles
from ..storage.target import Target
from .checks import check_apart, check_classes, check_dtype, check_extents, check_ids, check_multiple, check_shape
from .empty_array import ARRAY, check_compression
from .grid import Grid, default_block, halo_of, needs_sites
from .source import LabelsSource, Source
from .task import FACTOR, Job

SCRATCH = 7  # B per voxel that the engines use beside labels and target, at most (benchmarks/volume.py measures it)
LARGEST_CHUNK = 2**24  # voxels of a source's chunk that the output takes over


@dataclass(frozen=True)
class Plan:
    """What `write` would do.

    `chunks` and `shards` are those of the output, `block` whole numbers of them; `parameters` decide the bytes
    of the output and become its attributes.
    """

    job: Job
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    compression: str
    format: int
    source_shape: tuple[int, ...]
    source_dtype: str
    placement: ome.Placement
    parameters: dict[str, Any]
    classes: tuple[str, ...] = ()  # the names along `class_axis`, of an output with ids or classes
    class_axis: int | None = None
    notice: str = ""  # where the labels state something else than was given

    @property
    def destination(self) -> Path:
        """The OME-Zarr group that is written."""
        return self.job.destination.parent

    @property
    def block(self) -> tuple[int, ...]:
        return self.job.grid.block

    @property
    def blocks(self) -> int:
        return len(self.job.grid)

    @property
    def halo(self) -> tuple[int, ...]:
        return self.job.grid.halo

    @property
    def overhead(self) -> float:
        """Voxels computed, halos included, per voxel of the volume."""
        return self.job.grid.overhead

    @property
    def memory(self) -> int:
        """Bytes that a worker thread needs: labels, target and scratch of its largest block with halo."""
        split = self.job.ids is not None or self.job.binary or self.job.classes is not None
        return self.job.grid.largest * (np.dtype(self.source_dtype).itemsize + split + 4 + SCRATCH)

    @property
    def output(self) -> int:
        """Bytes of the output before compression."""
        return math.prod(self.shape) * np.dtype(self.job.dtype).itemsize

    @property
    def needs_sites(self) -> bool:
        """Whether it matters if a volume has any site."""
        return needs_sites(self.job.parameters, self.job.grid.spatial)


def plan(
    source: str | Path,
    destination: str | Path,
    voxel_size: Any = None,
    *,
    scale: Any,
    halo: str | float = "exact",
    background: str = "zero",
    no_boundary: str = "extent",
    ignore_label: int | float | None = None,
    fill: float = 0.0,
    engine: str = "auto",
    ids: Iterable[int] | None = None,
    binary: bool = False,
    classes: Any = None,
    dtype: str = "float32",
    blocks: Any = None,
    chunks: Any = None,
    shards: Any = None,
    compression: str = "zstd",
    key: str | None = None,
    level: int = 0,
    select: Mapping[str, int] = {},
    unit: str = "",
    missing: str = "fill",
) -> Plan:
    """What `write` would do with these arguments; they are described there. Nothing is written.

    Raises
    ------
    TypeError, ValueError, OSError
        As `write`.
    """
    # Local Zarr is read chunk by chunk by code of our own, which costs less per block.
    local = None if is_address(str(source)) else Path(str(source))
    array = zarr_arrays.locate(local, key) if local is not None and zarr_arrays.is_zarr(local) else None
    if array is not None:
        zarr_arrays.open_array(array.path)  # names the file of metadata that are broken
    labels = open_labels(source, key, level=level, select=select, voxel_size=voxel_size, unit=unit)
    if array is not None and labels.folder is not None:
        array = zarr_arrays.node(labels.folder)  # of this level
    path = array.path.resolve() if array is not None else None if local is None else local.resolve()
    target = disk.local_path(destination).resolve()
    if path is not None:
        check_apart(path, target)
    zarr_arrays.check_place(target)
    sizes, unit = labels.require_voxel_size(), labels.unit
    if scale is None:
        raise ValueError("scale=None: distances without tanh have no finite halo, so no block can be computed alone")
    wanted, class_map = check_ids(ids, binary), check_classes(classes, ids, binary, ignore_label)
    channels = wanted if class_map is None else class_map.ids
    scales = None if channels is None else len(channels)
    asked = TargetParameters.checked(sizes, scale, background, no_boundary, ignore_label, fill, scales)
    check_dtype(dtype, asked)
    dims = len(asked.voxel_size)
    shape = labels.shape
    check_shape(str(path or source), shape, dims)
    task = Task(asked, classes=None if class_map is None else class_map.ids)
    dispatch.for_labels(task, arrays.accept(np.empty((0,) * len(shape), labels.dtype), f"{path or source}"))
    reach = halo_of(asked, halo)
    leading = task.shape_of((() if wanted is None else (len(wanted),)) + shape)[:-dims]
    # Code of our own reads arrays as they are stored.
    direct = array if labels.order == tuple(range(len(labels.stored_axes))) else None
    chunk = check_extents("chunks", chunks, dims) or _default_chunks(direct, shape[-dims:])
    shard = check_extents("shards", shards, dims)
    check_multiple("shards", shard, "chunks", chunk)
    block = check_extents("blocks", blocks, dims) or default_block(shape[-dims:], shard or chunk, reach)
    check_multiple("blocks", block, "shards" if shard else "chunks", shard or chunk)
    relative = zarr_arrays.node(target.parent) or array
    format = relative.format if relative is not None else 3 if shard else 2
    if shard and format == 2 and relative is not None:
        raise ValueError(f"shards={shard}: Zarr format 2 has none; {target} takes the format of {relative.path}")
    split = wanted is not None or binary or class_map is not None
    job = Job(
        _source(direct, labels, check_choice("missing", missing, ("fill", "error"))),
        target / ARRAY,
        Grid(shape[:-dims], shape[-dims:], block, reach),
        replace(asked, ignore_label=UNANNOTATED) if split else asked,
        _engine(engine),
        dtype,
        wanted,
        binary,
        asked.ignore_label,
        zarr_arrays.stores_zeros_as_nothing(),
        class_map,
    )
    ones = (1,) * len(leading)
    dtype_stored = labels.stored_dtype.str
    described = asked.described() | {
        "ids": wanted,
        "binary": binary,
        "classes": None if class_map is None else class_map.described(),
        "halo": halo if isinstance(halo, str) else float(halo),
        "halo_voxels": reach,
        "dtype": dtype,
        "factor": FACTOR if dtype == "int8" else 1,
        "engine": job.engine,
        "software": "inner_distance_gpu",
        "version": __version__,
        "source": str(path or source),
        "source_shape": shape,
        "source_dtype": dtype_stored,
        "unit": unit,
        "blocks": block,
        "chunks": (*ones, *chunk),
        "shards": (*ones, *shard) if shard else None,
        "compression": check_compression(compression),
    }
    # An array in a local Zarr store has a path of its own; any other is named by what was asked for.
    described |= {"key": key} if array is None and key is not None else {}
    described |= ({"level": level} if level else {}) | ({"select": dict(select)} if select else {})
    output = Target.of(labels, {}, _names(wanted, class_map), wanted is not None)
    return Plan(
        job,
        (*leading, *shape[-dims:]),
        (*ones, *chunk),
        (*ones, *shard) if shard else None,
        compression,
        format,
        shape,
        dtype_stored,
        ome.placed(output, ome.stated(labels)),
        json.loads(json.dumps({name: _plain(value) for name, value in described.items()})),
        output.classes,
        output.class_axis,
        labels.notice,
    )


def _names(ids: tuple[int, ...] | None, class_map: ClassMap | None) -> list[str]:
    """Of the axis of ids or of classes; empty where there is neither."""
    return class_map.titles() if class_map is not None else [f"id {chosen}" for chosen in ids or ()]


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _source(array: zarr_arrays.Node | None, labels: Labels, missing: str) -> Source | LabelsSource:
    run = uuid.uuid4().hex
    return LabelsSource(labels, missing, run) if array is None else Source(array.path.resolve(), missing, run)


def _default_chunks(array: zarr_arrays.Node | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Those of a local Zarr array, unless they are too large to be looked at one by one."""
    source = ChunkFiles.of(array.path.resolve()).inner[-len(shape) :] if array is not None else ()
    if source and math.prod(source) <= LARGEST_CHUNK:
        return source
    return tuple(min(n, zarr_arrays.CHUNK[len(shape)]) for n in shape)


def _engine(engine: str) -> str:
    """The engine's name; "auto" is the fastest host engine, as for any host array."""
    name = engines.check_name(engine)
    return engines.choose("auto", True, (1, 1))[0] if name == "auto" else name
