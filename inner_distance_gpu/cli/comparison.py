"""How long do the engines take here, on these labels, next to what else is installed? Peers, and one line to report."""

from __future__ import annotations

import functools
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from .. import __version__, engines
from ..api import inner_distance
from .timing import Run, Timing, by_events, side_by_side

VOXEL_SIZE, VOXELS_PER_SCALE = 8.0, 6.25  # of the volumes that are made here
SIZES = (64, 128)


def blobs(n: int, threshold: float, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Gaussian noise smoothed with sigma 6, foreground above `threshold` standard deviations; shape (n, n, n)."""
    from scipy.ndimage import gaussian_filter

    field = gaussian_filter(np.random.default_rng(seed).standard_normal((n, n, n)), 6, mode="wrap")
    return np.asarray(field > threshold * field.std(), np.uint8)


def scipy_plain(labels: npt.NDArray[Any], voxel_size: Sequence[float], scale: float, threads: int) -> Run:
    from scipy.ndimage import distance_transform_edt

    return lambda: np.tanh(distance_transform_edt(labels != 0, sampling=voxel_size) / scale)


def edt_plain(labels: npt.NDArray[Any], voxel_size: Sequence[float], scale: float, threads: int) -> Run:
    from edt import edt

    ids = labels if labels.dtype.kind in "bui" else labels != 0
    return lambda: np.tanh(edt(ids, anisotropy=tuple(voxel_size), parallel=threads) / scale)


def monai_plain(labels: npt.NDArray[Any], voxel_size: Sequence[float], scale: float, threads: int) -> Run:
    from monai.transforms.post.array import DistanceTransformEDT

    transform: Any = DistanceTransformEDT(sampling=list(voxel_size))
    channel = torch.from_numpy((labels != 0).astype(np.float32))[None]  # as its pipelines hold labels
    return lambda: torch.tanh(transform(channel) / scale)[0]


# Other packages as users call them for an inner target. All measure to the centre of the nearest voxel outside.
PEERS = {"SciPy": scipy_plain, "edt": edt_plain, "MONAI": monai_plain}


def largest_difference(result: Any, expected: npt.NDArray[Any]) -> float:
    """The largest |Δ|; infinite for another shape or for what is no number."""
    values = np.asarray(result.cpu() if isinstance(result, torch.Tensor) else result, np.float64)
    if values.shape != expected.shape:
        return np.inf
    difference = np.abs(values - expected)
    return float(np.where(np.isnan(difference) & ~np.isnan(expected), np.inf, difference).max())


@dataclass(frozen=True)
class Row:
    """A line of the table: an engine or a peer on one volume; `timing.base` is the fastest engine's."""

    name: str
    engine: bool
    difference: float
    timing: Timing


def measure(
    labels: npt.NDArray[Any], voxel_size: Sequence[float], scale: float, rounds: int, threads: int | None = None
) -> list[Row]:
    """Time every engine that runs here and every peer that can be imported on one volume, the fastest engine first.

    Parameters
    ----------
    labels : array of shape (z, y, x) or (y, x)
    voxel_size, scale
        World units, in array-axis order.
    rounds : int
        Of what takes 0.1 to 1 s; what is faster gets three times as many, what is slower a third.

    Returns
    -------
    list of Row
        With the largest difference from engine `reference`. Device engines are given labels that lie on the device.
    """
    # Writable, since torch warns of memory that is not, such as a file that is mapped.
    labels = np.require(labels, labels.dtype.newbyteorder("="), ["C", "W"])
    names = [engines.fastest(), *(name for name, reason in engines.available().items() if reason is None)]
    calls: dict[str, Run] = {}
    for name in dict.fromkeys(names):
        here: Any = torch.from_numpy(labels).cuda() if engines.on_device(name) else labels
        calls[name] = functools.partial(inner_distance, here, voxel_size, scale=scale, engine=name, threads=threads)
    clocks = {name: by_events for name in calls if engines.on_device(name)}
    engines_alone = len(calls)
    for name, build in PEERS.items():
        try:
            calls[name] = build(labels, voxel_size, scale, threads or torch.get_num_threads())
        except ImportError:
            continue
    expected = np.asarray(calls["reference"]())
    differences = {name: largest_difference(call(), expected) for name, call in calls.items()}
    timings = side_by_side(calls, names[0], rounds, clocks)
    return [Row(name, i < engines_alone, differences[name], timings[name]) for i, name in enumerate(calls)]


def processor() -> str:
    """The name of the CPU."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def summary(rows: Sequence[Row], labels: npt.NDArray[Any], voxel_size: Sequence[float], scale: float) -> str:
    """One line for a report: version, device, what was computed, and how long the fastest engine took."""
    first, reference = rows[0], next(row for row in rows if row.name == "reference")
    where = torch.cuda.get_device_name() if engines.on_device(first.name) else processor()
    times = "×".join
    return (
        f"inner_distance_gpu {__version__}, {where}, {torch.get_num_threads()} threads, torch {torch.__version__}: "
        f"{times(map(str, labels.shape))} {labels.dtype}, {(labels != 0).mean():.0%} foreground, voxel size "
        f"{times(f'{size:g}' for size in voxel_size)}, scale {scale:g}: engine {first.name} "
        f"{first.timing.best * 1e3:.3g} ms, {labels.size / first.timing.best / 1e6:.0f} Mvoxel/s, "
        f"{reference.timing.ratio:.0f} × reference"
    )


def volumes(quick: bool) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """What is timed without labels of one's own."""
    for n in SIZES[:1] if quick else SIZES:
        yield f"blobs {n}³, 50 % foreground", blobs(n, 0)
