"""Labels from chunked stores, local or remote: Zarr 2 and 3, OME-Zarr, funlib, COSEM, N5, precomputed.

worldarray knows where each dialect says that an array lies; tensorstore reads it. What tensorstore refuses is left to
zarr-python.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import by_zarr_python
from .addresses import has_aws_credentials, is_address
from .placing import SAME
from .stored import AnsweredError, Box, Stated, StoredArray, first_line, letter, missing_library, trailing

LOOKED_FOR = (
    "OME-Zarr multiscales, the attributes voxel_size, resolution, transform, pixelResolution and dimension_units"
)
BY = {"ome": "OME-Zarr", "cosem": "transform", "funlib": "voxel_size", "n5": "N5", "precomputed": "precomputed"}

# tensorstore has threads, which a fork does not copy: the child of a process that used it waits forever or aborts.
_process: int | None = None


def _enter(place: str) -> None:
    global _process
    if _process not in (None, os.getpid()):
        raise AnsweredError(
            f"{place}: cannot read it in this forked process: tensorstore was used before the fork. Start workers with "
            "the method 'spawn' or 'forkserver' (a DataLoader: multiprocessing_context='spawn'; Dask: its setting "
            "distributed.worker.multiprocessing-method), or open such labels in the workers alone"
        )
    _process = os.getpid()


def open_chunked(place: str, path: str, key: str | None, level: int, given: bool) -> StoredArray:
    """The array that a store, a group or an array means.

    Parameters
    ----------
    place
        As the user spelt it, for messages.
    path
        Local, or an address.
    key
        Path of the array or group below `path`.
    level
        Of a pyramid, 0 for the full resolution.
    given
        The voxel size is, so metadata that contradict each other are no error.
    """
    try:
        import worldarray
    except ImportError:
        raise missing_library(place, "Zarr, N5 and precomputed", "worldarray and zarr-python", "volumes") from None
    _enter(place)
    path = path.removeprefix("precomputed://")
    if path.lower().endswith(".zip") and not is_address(path):
        return _open_zip(worldarray, place, Path(path), key, level)
    if not is_address(path):
        by_zarr_python.check_metadata(Path(path) if key is None else Path(path, key))
    node = _detect(worldarray, place, path, key)
    array, number = _level(worldarray, place, node, level)
    options: dict[str, Any] = {
        "units": None,
        "retries": worldarray.Retry(max_attempts=3, base_delay=0.2),
        "metadata_conflicts": "warn" if given else "error",
    }
    if node.format == "n5":
        node = worldarray.detect(array)
        compression = node.docs["attributes.json"].get("compression")
        if isinstance(compression, dict) and compression.pop("nthreads", None) is not None:
            # z5py's blosc states threads, and tensorstore refuses what it does not know.
            options["_node"] = node
    try:
        volume = _opened(worldarray, array, number, options)
    except Exception as error:
        if is_address(path) or node.format not in ("zarr2", "zarr3") or "disagrees with" in str(error):
            raise
        meta = worldarray.metadata(array, open=False, retries=options["retries"])
        return by_zarr_python.open_array(place, array, meta.chunk_shape, _stated(worldarray, meta), first_line(error))
    meta = volume.meta
    if meta.placed_by is None and not is_address(array) and os.path.realpath(array) != os.path.abspath(array):
        meta = worldarray.open(os.path.realpath(array), level=number, **options).meta  # a link to a level
    unset = meta.format in ("zarr2", "zarr3") and meta.fill_value is None

    def missing(begin: Sequence[int], end: Sequence[int]) -> list[Box]:
        return _missing(volume, begin, end)

    def read(begin: Sequence[int], end: Sequence[int]) -> npt.NDArray[Any]:
        _enter(place)
        if unset and (absent := missing(begin, end)):
            raise FileNotFoundError(f"{place}: the chunk at {absent[0][0]} is not stored, and there is no fill value")
        return np.asarray(volume.read_index(begin, end))

    is_local_zarr = meta.format in ("zarr2", "zarr3") and not is_address(array)
    return StoredArray(
        tuple(meta.shape), np.dtype(meta.dtype), tuple(meta.chunk_shape), _stated(worldarray, meta), read, LOOKED_FOR,
        missing, Path(array) if is_local_zarr else None,
    )  # fmt: skip


def _opened(worldarray: Any, array: str, level: int | None, options: dict[str, Any]) -> Any:
    """worldarray's view of an array, whose OME scale and voxel size attributes agree.

    funlib's attributes are of the spatial axes alone. worldarray takes the others for 1, whatever OME says of a step in
    time.
    """
    try:
        return worldarray.WorldArray(array, level=level, **options)
    except ValueError as error:
        if "disagrees with the array's" not in str(error):
            raise
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            volume = worldarray.WorldArray(array, level=level, **options | {"metadata_conflicts": "warn"})
        attributes = volume.meta.attrs
        stated = attributes.get("voxel_size", attributes.get("resolution"))
        if len(stated) >= len(volume.meta.shape) or not np.allclose(
            stated, volume.meta.voxel_size[-len(stated) :], rtol=SAME, atol=0
        ):
            raise
        return volume


def _open_zip(worldarray: Any, place: str, archive: Path, key: str | None, level: int) -> StoredArray:
    """An array in a zip file: its metadata are unpacked for worldarray, its data are not."""
    with tempfile.TemporaryDirectory(prefix="inner-distance-") as folder:
        by_zarr_python.unpack_metadata(place, archive, Path(folder))
        node = _detect(worldarray, place, folder, key)
        array = _level(worldarray, place, node, level)[0]
        meta = worldarray.metadata(array, open=False)
        inside, stated = os.path.relpath(array, folder), _stated(worldarray, meta)
    inside = "" if inside == "." else Path(inside).as_posix()
    return by_zarr_python.open_array(place, inside, meta.chunk_shape, stated, "a zip file", archive)


def _detect(worldarray: Any, place: str, path: str, key: str | None) -> Any:
    """What lies at a path below a store.

    Raises
    ------
    AnsweredError, FileNotFoundError
        Nothing that can be read.
    """
    whole = path if key is None else worldarray.store.join(path, key)
    if not whole.isascii() and any("\udc80" <= letter <= "\udcff" for letter in whole):  # bytes that are no UTF-8
        raise AnsweredError(f"{place}: cannot read it: its name is not UTF-8; rename it")
    retries = worldarray.Retry(max_attempts=1)  # tensorstore itself tries five times, which takes 3 s where nobody is
    found = worldarray.detect(whole, missing_ok=True, retries=retries)
    on_s3 = whole.startswith("s3://")
    if found is None and on_s3 and has_aws_credentials():
        # A private bucket may answer that there is no such object to who may not list it, so ask with credentials.
        bucket = whole.removeprefix("s3://").split("/")[0]
        worldarray.store._admitted[("s3", bucket)] = 1
        try:
            found = worldarray.detect(whole, missing_ok=True, retries=retries)
        except Exception as error:
            raise AnsweredError(
                f"{place}: nothing there that may be read without credentials, and with them: {first_line(error)}"
            ) from error
        finally:
            if found is None:
                worldarray.store._admitted.pop(("s3", bucket), None)
    if found is not None:
        return found
    named = place if key is None else f"{place} with key {key!r}"
    local = not is_address(path)
    if local and os.path.exists(whole):
        raise AnsweredError(f"{named}: cannot read it: no metadata of Zarr, N5 or precomputed there")
    there = _below(path) if local and key is not None and os.path.isdir(path) else []
    why = f"; it holds {there}" if there else ""
    if on_s3 and not has_aws_credentials():
        why = ", or it is private, and there are no credentials here (AWS_ACCESS_KEY_ID, AWS_PROFILE, ~/.aws)"
    raise FileNotFoundError(f"{named}: no such file or store{why}")


def _level(worldarray: Any, place: str, node: Any, level: int) -> tuple[str, int | None]:
    """Path of the array that a node means, and its level where the path is that of a whole pyramid."""
    if node.format == "precomputed":
        scales = [str(scale.get("key", i)) for i, scale in enumerate(node.docs["info"]["scales"])]
        chosen = scales.index(node.scale_key) if node.scale_key in scales else level
        _check_level(place, chosen, scales)
        return node.path, chosen
    if node.kind == "array":
        if level:
            raise AnsweredError(f"{place}: is an array and no pyramid; expected level=0, not {level}")
        return node.path, None
    # worldarray looks for datasets where they are null.
    has_levels = all(multiscale.get("datasets") for multiscale in node.multiscales)
    levels = worldarray.levels.discover(node) if has_levels else []
    if levels:
        _check_level(place, level, [found.name for found in levels])
        return levels[level].path, None
    names = [] if is_address(node.path) else _below(node.path)
    if len(names) != 1:
        held = f"with the arrays {names}" if names else "that does not list its arrays"
        raise AnsweredError(f"{place}: a group {held}; name one with --key")
    return os.path.join(node.path, names[0]), None


def _check_level(place: str, level: int, names: list[str]) -> None:
    if not 0 <= level < len(names):
        raise AnsweredError(f"{place}: level {level}: expected 0 to {len(names) - 1}, the levels are {names}")


def _below(path: str) -> list[str]:
    """The arrays below a local group, as paths."""
    found = []
    for folder, folders, files in os.walk(path):
        here = Path(folder)
        is_array = ".zarray" in files
        if "zarr.json" in files:
            is_array = '"chunk_grid"' in (here / "zarr.json").read_text(encoding="utf-8")
        if "attributes.json" in files:
            is_array = '"dimensions"' in (here / "attributes.json").read_text(encoding="utf-8")
        if is_array:
            found.append(str(here.relative_to(path)))
            folders.clear()
    return sorted(found)


def _stated(worldarray: Any, meta: Any) -> Stated:
    """What worldarray found, without what it fills in where the store says nothing."""
    ndim, by = len(meta.shape), meta.placed_by
    axes = tuple(letter(name) for name in meta.axes) if meta.axes_named else ("",) * ndim
    sizes: tuple[float | None, ...] = tuple(meta.voxel_size)
    corners = by in ("funlib", "n5", "precomputed")
    places: tuple[float | None, ...] = tuple(meta.corner if corners else meta.translation)
    said = BY.get(by, str(by))
    if by is None or (by == "ome" and set(sizes) == {1.0} and not _has_scale(worldarray, meta.path)):
        return Stated(axes)
    if by == "dimension_units":
        units = meta.attrs["dimension_units"]
        sizes = tuple(size if unit else None for size, unit in zip(sizes, units, strict=True))
        places = (None,) * ndim
    if by == "funlib":
        names = ("voxel_size", "resolution", "scale", "offset")
        own = meta.attrs if any(isinstance(meta.attrs.get(name), list) for name in names) else meta.group_attrs
        said = next((name for name in names[:3] if isinstance(own.get(name), list)), "")
        number = len(own[said]) if said else 0
        sizes = (*(None,) * (ndim - number), *sizes[ndim - number :])
        if not said:  # an offset alone: worldarray takes voxels of 1
            places = trailing(own.get("offset"), ndim)
    return Stated(axes, sizes, tuple(meta.units), places, corners, said)


def _has_scale(worldarray: Any, path: str) -> bool:
    """Whether the multiscale that lists an array transforms it: without, worldarray says 1."""
    store = worldarray.store
    ancestor, relative = store.parent(path), store.basename(path)
    for _ in range(4):
        if store.is_root(ancestor):
            break
        group = worldarray.detect(ancestor, missing_ok=True)
        for multiscale in group.multiscales if group is not None else ():
            for dataset in multiscale.get("datasets") or ():
                if str(dataset.get("path", "")).strip("/") == relative:
                    return bool(dataset.get("coordinateTransformations") or multiscale.get("coordinateTransformations"))
        relative, ancestor = f"{store.basename(ancestor)}/{relative}", store.parent(ancestor)
    return True


def _missing(volume: Any, begin: Sequence[int], end: Sequence[int]) -> list[Box]:
    """Boxes of the chunks (shards) that touch a region and are not stored; none where the format cannot tell."""
    meta, absent = volume.meta, []
    skipped = 1 if meta.format == "precomputed" and len(meta.shape) == 4 else 0
    for index in volume.chunks_covering(begin, end, write=True):
        try:
            key = volume.chunk_key(index[skipped:])
        except NotImplementedError:  # a sharded precomputed store
            return []
        if volume.remote:
            prefix = f"{volume.level_name}/" if meta.format == "precomputed" else ""
            is_stored = volume.ts.kvstore.read(prefix + key).result().state != "missing"
        else:
            is_stored = os.path.exists(os.path.join(volume.level_path, key))
        if not is_stored:
            low = tuple(i * n for i, n in zip(index, volume.write_shape, strict=True))
            high = tuple(min(b + n, s) for b, n, s in zip(low, volume.write_shape, meta.shape, strict=True))
            absent.append((low, high))
    return absent
