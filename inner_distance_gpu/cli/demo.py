"""The main job on nuclei that come with the stardist package, read as files."""

from __future__ import annotations

import importlib.util
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .. import __version__
from ..storage import files, open_labels
from ..storage.target import Target
from ..transform import InnerDistanceTransform
from . import figures

PICTURE = "demo.png"
SOURCE = "stardist/data/images/"  # as descriptions name what a target was computed from
WHAT = ("target", "weight")
MARK = "demo"  # of the picture
UNIT = "px"  # the masks carry no physical size; (2, 1, 1) is the anisotropy the 3D image was made with


@dataclass(frozen=True)
class Case:
    """One label image, and how its target is computed."""

    name: str
    title: str
    image: str
    binary: bool
    voxel_size: tuple[float, ...]
    scale: float
    background: str


CASES = (
    Case("nuclei_3d_binary", "3D, nucleus or not", "mask3d.tif", True, (2, 1, 1), 5, "signed"),
    Case("nuclei_3d_instances", "3D, instances", "mask3d.tif", False, (2, 1, 1), 5, "zero"),
    Case("nuclei_2d_instances", "2D, instances", "mask2d.tif", False, (1, 1), 5, "zero"),
)


@dataclass(frozen=True)
class Result:
    """What one case left on disk, and how long target and weight took."""

    case: Case
    shape: tuple[int, ...]
    foreground: float
    seconds: float


def images_folder() -> Path:
    """The folder with stardist's example images; stardist itself is not imported.

    Raises
    ------
    FileNotFoundError
        stardist is not installed; the message says how to get it without its dependencies.
    """
    spec = importlib.util.find_spec("stardist")
    folder = Path(spec.origin).parent / "data" / "images" if spec is not None and spec.origin else Path("stardist")
    missing = [case.image for case in CASES if not (folder / case.image).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: no {', '.join(sorted(set(missing)))}. The demo reads masks from the stardist package: "
            "pip install --no-deps stardist==0.9.2"
        )
    return folder


def run(folder: Path, engine: str) -> Iterator[Result]:
    """Compute every case through the torch transform into `folder`, then draw `PICTURE` there.

    A case leaves `<name>_target.npy` and `<name>_weight.npy`, float32, each with a JSON description.
    Files of an earlier run are replaced.

    Raises
    ------
    FileNotFoundError
        stardist is not installed.
    FileExistsError
        A file that is no earlier run's has a name that would be written; nothing is computed then.
    """
    images = images_folder()
    _check_names(folder)
    folder.mkdir(parents=True, exist_ok=True)
    panels = []
    for case in CASES:
        opened = open_labels(images / case.image)
        labels = opened.read()
        labels = (labels != 0).astype(np.uint8) if case.binary else labels
        transform = InnerDistanceTransform(case.voxel_size, case.scale, background=case.background, engine=engine)
        start = time.perf_counter()
        target, weight = transform(torch.from_numpy(labels))
        seconds = time.perf_counter() - start
        parameters = transform.target_parameters
        source = f"{SOURCE}{case.image}"
        for what, values in zip(WHAT, (target, weight), strict=True):
            more = {"holds": what, "binary": case.binary, "unit": UNIT}
            description = files.describe(parameters, engine, __version__, source, **more)
            made = Target(labels.shape, description)
            with files.writing_target(folder / f"{case.name}_{what}.npy", made) as out:
                out[...] = values.numpy()
        panels.append(figures.Panel(case.title, labels, target.numpy(), weight.numpy(), parameters))
        foreground = float((labels != 0).mean())
        yield Result(case, labels.shape, foreground, seconds)
    with files.writing(folder / PICTURE) as picture:
        figures.save(picture, panels, UNIT, MARK)


def _check_names(folder: Path) -> None:
    """Raise where a name that `run` writes is that of a file which it did not write."""
    arrays = [folder / f"{case.name}_{what}.npy" for case in CASES for what in WHAT]
    foreign = [path for path in arrays if not _is_ours(files.sidecar_of(path), path)]
    if figures.mark_of(folder / PICTURE) != MARK and os.path.lexists(folder / PICTURE):
        foreign.append(folder / PICTURE)
    if foreign:
        raise FileExistsError(f"{foreign[0]}: exists already, and not from an earlier demo; choose another folder")


def _is_ours(description: Path, array: Path) -> bool:
    """Whether both files may be written: neither is there, or they are an earlier run's."""
    if not os.path.lexists(description):
        return not os.path.lexists(array)
    try:
        stored = json.loads(description.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stored, dict) and str(stored.get("source")).startswith(SOURCE) and stored.get("holds") in WHAT
