"""Labels from files, and targets into files that are either complete or not there."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import __version__
from .parameters import TargetParameters

TIFF_SUFFIXES = (".tif", ".tiff")
READABLE = ".npy, .npz, .tif or .tiff"


def read_labels(path: Path, key: str | None = None) -> npt.NDArray[Any]:
    """Labels from a .npy (memory-mapped), .npz or TIFF file.

    Parameters
    ----------
    path : Path
    key : str or None
        Which array of an .npz; None takes the only one, or the one called "labels".

    Raises
    ------
    OSError
        The file does not exist or cannot be read.
    ValueError
        The file does not hold one label array.
    """
    suffix = path.suffix.lower()
    if suffix not in (".npy", ".npz", *TIFF_SUFFIXES):
        raise ValueError(f"{path}: cannot read {suffix or 'a file without suffix'}; expected {READABLE}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}; expected {READABLE}")
    if key is not None and suffix != ".npz":
        raise ValueError(f"key={key!r} names an array in an .npz file, but labels come from {path}")
    if suffix in TIFF_SUFFIXES:
        return _read_tiff(path)
    try:
        if suffix == ".npy":
            return np.asarray(np.lib.format.open_memmap(path, mode="r"))
        return _read_npz(path, key)
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: not an array that can be read ({error})") from None


def _read_npz(path: Path, key: str | None) -> npt.NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        names = list(archive.files)
        chosen = key if key is not None else names[0] if len(names) == 1 else "labels"
        if chosen not in names:
            raise ValueError(f"no array {chosen!r} among {names}; name one with --key")
        return np.asarray(archive[chosen])


def _read_tiff(path: Path) -> npt.NDArray[Any]:
    try:
        import tifffile
    except ImportError:
        raise ValueError(f"{path}: reading TIFF needs tifffile: pip install 'inner_distance_gpu[volumes]'") from None
    try:
        with tifffile.TiffFile(path) as tiff:
            shapes = [series.shape for series in tiff.series]
            samples = tiff.series[0].keyframe.samplesperpixel
            labels = np.asarray(tiff.asarray())
    except Exception as error:  # tifffile lets struct, index and codec errors of a broken file through
        raise ValueError(f"{path}: not a TIFF file that can be read ({error})") from None
    if len(shapes) > 1:
        raise ValueError(f"{path}: holds {len(shapes)} images of shapes {shapes}; expected one label image")
    if samples > 1:
        raise ValueError(f"{path}: is a colour image of shape {shapes[0]}; expected one label per pixel")
    return labels


def sidecar_of(path: Path) -> Path:
    """Where the description of `path` stands: the same name with .json."""
    return path.with_suffix(".json")


def check_writable(path: Path, suffix: str, overwrite: bool, inputs: tuple[Path, ...] = ()) -> None:
    """Raise unless `path` may be written: right suffix, existing folder, no file that would be lost."""
    if path.suffix.lower() != suffix:
        raise ValueError(f"{path}: expected a name that ends in {suffix}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        raise IsADirectoryError(f"{path}: is a folder; expected a file name")
    if any(path.exists() and other.exists() and path.samefile(other) for other in inputs):
        raise ValueError(f"{path}: is also an input; writing there would destroy it")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path}: exists already; --overwrite replaces it")


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` when the block ends well and vanishes otherwise."""
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files that only their owner can read
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def describe(parameters: TargetParameters, engine: str, source: str, **more: Any) -> dict[str, Any]:
    """What a target was computed from and with, for its sidecar; `more` overrides."""
    described = asdict(parameters) | {"engine": engine, "version": __version__, "source": source} | more
    infinite = {name: str(value) for name, value in described.items() if value != value or value in (inf, -inf)}
    return described | infinite  # JSON has no NaN and no infinity


@contextlib.contextmanager
def writing_target(
    path: Path, shape: tuple[int, ...], description: dict[str, Any]
) -> Iterator[npt.NDArray[np.float32]]:
    """A float32 array on disk to fill: a .npy at `path` with its JSON sidecar, both there at the end or neither."""
    with writing(sidecar_of(path)) as sidecar, writing(path) as temporary:
        target = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        yield target
        target.flush()
        del target
        sidecar.write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
