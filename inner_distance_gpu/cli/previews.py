"""Pictures of volumes on disk: of each only the slices that are drawn are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..labels import is_annotated
from ..parameters import CLIP, TargetParameters
from ..storage import zarr_arrays
from .figures import Panel

if TYPE_CHECKING:
    from ..blockwise import Plan, Written

PREVIEWED = 4  # rows of a preview


@dataclass(frozen=True)
class Lazy:
    """One volume of an array on disk, read where it is sliced; `meaning` is applied to what is read."""

    array: Any
    volume: tuple[int, ...]
    meaning: Any

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.array.shape[len(self.volume) :])

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> npt.NDArray[Any]:
        index = index if isinstance(index, tuple) else (index,)
        return np.asarray(self.meaning(np.asarray(self.array[(*self.volume, *index)])))


def check_at(plan: Plan, at: Sequence[int] | None) -> None:
    """Raise unless `at` is a voxel of the volume."""
    spatial = plan.job.grid.spatial
    if at is not None and (len(at) != len(spatial) or any(not 0 <= i < n for i, n in zip(at, spatial, strict=True))):
        raise ValueError(f"--at {','.join(map(str, at))}: expected a voxel of a volume of shape {spatial}")


def panels(written: Written, at: Sequence[int] | None) -> list[Panel]:
    """Labels, target and weight around a voxel, by default in the middle of the block with the most foreground."""
    from ..blockwise.task import decoded

    job = written.plan.job
    labels, target = job.source.array(), zarr_arrays.open_array(job.destination)
    leading = len(job.grid.leading)
    volume, middle = tuple(written.densest[:leading]), tuple(written.densest[leading:])
    where = middle if at is None else tuple(at)
    drawn = []
    for channel in range(min(job.channels, PREVIEWED)):
        place = volume if job.ids is None else (channel, *volume)
        place = place if job.classes is None else (*volume, channel)

        def split(block: npt.NDArray[Any], channel: int = channel) -> npt.NDArray[Any]:
            return [part.labels for part in job.volumes(block)][channel]

        shown = Lazy(labels, volume, split)
        weight = Lazy(labels, volume, _weighing(written.class_voxels[channel], job.parameters, split))
        title = f"{Path(job.source.name).name}{f' {list(volume)}' if volume else ''}"
        title += "" if job.ids is None else f" id {job.ids[channel]}"
        title += "" if job.classes is None else f" {job.classes.title(channel)}"
        drawn.append(Panel(title, shown, Lazy(target, place, decoded), weight, job.parameters, where))
    return drawn


def _weighing(class_voxels: list[int], parameters: TargetParameters, split: Any) -> Any:
    """The weights that `balanced_weights` would give the whole volume, from its class counts."""
    total = 1 + sum(class_voxels)
    background, foreground = (1 / (2 * min(max(count / total, CLIP[0]), CLIP[1])) for count in class_voxels)

    def weigh(block: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        labels = split(block)
        weight = np.where(labels != 0, np.float32(foreground), np.float32(background))
        weight[~is_annotated(labels, parameters.ignore_label)] = 0
        return weight

    return weigh
