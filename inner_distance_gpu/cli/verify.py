"""Does every engine that runs here give the reference's answer on these labels?"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import engines
from ..engines.reference import sites_on_doubled_grid
from ..labels import is_annotated
from ..parameters import TargetParameters
from ..transform import InnerDistanceTransform

TOLERANCE = 1e-6  # of 1 (of the label with "times_label"), of the distance in world units, of the weight
VOLUMES = 2  # along each leading axis


@dataclass(frozen=True)
class Deviation:
    """How far an engine is from the reference at most; `failure` instead where it raised.

    Attributes
    ----------
    target
        |Δ| of the normalised target, divided by |label| where "times_label" takes it beyond 1.
    distance
        |Δ| / d of the distance in world units.
    weight
        |Δ| / weight.
    seconds
        Of target and weight together, once and without a warm-up.
    """

    engine: str
    target: float
    distance: float
    weight: float
    seconds: float
    failure: str = ""

    @property
    def within(self) -> bool:
        return not self.failure and max(self.target, self.distance, self.weight) <= TOLERANCE


def crop_of(shape: tuple[int, ...], dims: int, extent: int, centre: Sequence[int] | None = None) -> tuple[slice, ...]:
    """A block of at most `extent` voxels along each spatial axis, and the first volumes of the leading axes.

    Raises
    ------
    ValueError
        A centre that is no voxel of the labels.
    """
    grid = shape[len(shape) - dims :]
    middle = tuple(n // 2 for n in grid) if centre is None else tuple(centre)
    if len(middle) != dims or not all(0 <= at < n for at, n in zip(middle, grid, strict=True)):
        raise ValueError(f"centre {list(middle)}: expected a voxel of labels with shape {shape}")
    starts = [max(0, min(at - extent // 2, n - extent)) for at, n in zip(middle, grid, strict=True)]
    spatial = [slice(start, min(start + extent, n)) for start, n in zip(starts, grid, strict=True)]
    return (*(slice(0, min(n, VOLUMES)) for n in shape[: len(shape) - dims]), *spatial)


def count_sites(labels: npt.NDArray[Any], parameters: TargetParameters) -> int:
    """How many boundary faces there are: without any, a comparison says little."""
    annotated = is_annotated(labels, parameters.ignore_label)
    leading = labels.shape[: labels.ndim - len(parameters.voxel_size)]
    return sum(int(sites_on_doubled_grid(labels[at], annotated[at]).sum()) for at in np.ndindex(leading))


def compare(labels: npt.NDArray[Any], parameters: TargetParameters) -> Iterator[Deviation]:
    """Every engine that runs here against the reference, the reference first.

    Parameters
    ----------
    labels : array of shape (..., z, y, x) or (..., y, x)
        Small: the reference is slow.
    parameters : TargetParameters
        With `scale=None` the target is the distance.
    """
    expected, seconds = _results("reference", labels, parameters)
    yield Deviation("reference", 0.0, 0.0, 0.0, seconds)
    for engine in [name for name, reason in engines.available().items() if reason is None and name != "reference"]:
        try:
            results, seconds = _results(engine, labels, parameters)
        except Exception as error:  # any: a broken engine is what this is for
            yield Deviation(engine, np.inf, np.inf, np.inf, 0.0, f"{type(error).__name__}: {error}")
            continue
        target, distance, weight = _deviations(results, expected, labels, parameters)
        yield Deviation(engine, target, distance, weight, seconds)


def _results(engine: str, labels: npt.NDArray[Any], p: TargetParameters) -> tuple[tuple[npt.NDArray[Any], ...], float]:
    """Target, distance and weight, and the seconds for the first and the last."""
    build = partial(
        InnerDistanceTransform,
        p.voxel_size,
        no_boundary=p.no_boundary,
        ignore_label=p.ignore_label,
        fill=p.fill,
        moving=False,
        engine=engine,
    )
    transform = build(p.scale, background=p.background)
    start = time.perf_counter()
    target, weight = transform(labels)
    seconds = time.perf_counter() - start
    distance = build(None, background="signed", weights=False)(labels)
    return (target, distance, weight), seconds


def _deviations(
    results: Any, expected: Any, labels: npt.NDArray[Any], p: TargetParameters
) -> tuple[float, float, float]:
    size = np.ones(labels.shape)
    if p.scale is None:
        size = np.abs(expected[0].astype(np.float64))
    elif p.background == "times_label":
        size = np.maximum(1, np.abs(np.nan_to_num(labels.astype(np.float64))))
    sizes = (size, *(np.abs(values.astype(np.float64)) for values in expected[1:]))
    target, distance, weight = (_largest(*three) for three in zip(results, expected, sizes, strict=True))
    return target, distance, weight


def _largest(result: npt.NDArray[Any], expected: npt.NDArray[Any], size: npt.NDArray[Any]) -> float:
    """The largest |Δ| / size; infinite where one is NaN or infinite and the other is not."""
    if result.shape != expected.shape or result.dtype != expected.dtype:
        return np.inf
    differ = ~((result == expected) | (np.isnan(result) & np.isnan(expected)))
    if not differ.any():
        return 0.0
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        delta = np.abs(result[differ].astype(np.float64) - expected[differ]) / size[differ]
    return float(np.where(np.isnan(delta), np.inf, delta).max())
