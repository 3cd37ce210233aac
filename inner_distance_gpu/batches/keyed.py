"""Keyed: a transform bound to the keys of a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..counts import ClassCounts
from . import containers as batches
from .containers import Key

if TYPE_CHECKING:
    from ..transform import InnerDistanceTransform


class Keyed:
    """A transform bound to the keys of a batch. Made by `InnerDistanceTransform.keyed`."""

    voxel_size: Key | None = None  # of one that an earlier version pickled, too

    def __init__(
        self,
        transform: InnerDistanceTransform,
        labels: Key,
        mask: Key | None,
        target: Key,
        weight: Key,
        voxel_size: Key | None = None,
    ) -> None:
        for name, key in {"labels": labels, "target": target, "weight": weight}.items():
            batches.check_key(name, key)
        for name, optional in {"mask": mask, "voxel_size": voxel_size}.items():
            if optional is not None:
                batches.check_key(name, optional)
        if transform.weights and batches.path_of(target) == batches.path_of(weight):
            raise ValueError(f"target={target!r} and weight={weight!r}: expected two different keys")
        self.transform = transform
        self.labels, self.mask, self.target, self.weight = labels, mask, target, weight
        self.voxel_size = voxel_size

    @property
    def counts(self) -> ClassCounts:
        """Those of the transform."""
        return self.transform.counts

    def __call__(self, batch: Any) -> Any:
        """A shallow copy of `batch` with target and weight.

        Raises
        ------
        KeyError
            A key that the batch does not have; the message lists those it has. Nothing was counted then.
        """
        if isinstance(batches.path_of(self.labels)[0], str) and batches.is_samples(batch):
            return type(batch)(self(sample) for sample in batch)
        labels = batches.entry(batch, self.labels)
        mask = None if self.mask is None else batches.entry(batch, self.mask)
        places = [self.target, self.weight] if self.transform.weights else [self.target]
        batches.check_places(batch, places)
        sizes = None if self.voxel_size is None else batches.entry(batch, self.voxel_size)
        result = self.transform(labels, mask, voxel_size=sizes)
        made = result if self.transform.weights else (result,)
        return batches.with_entries(batch, dict(zip(places, made, strict=True)))

    def with_voxel_sizes_of(self, original: Any, moved: Any) -> Any:
        """A batch whose tensors were moved to a device, with the voxel sizes as they were: those are host numbers."""
        if self.voxel_size is None:
            return moved
        if isinstance(batches.path_of(self.labels)[0], str) and batches.is_samples(original):
            pairs = zip(original, moved, strict=True)
            return type(moved)(self.with_voxel_sizes_of(*pair) for pair in pairs)
        return batches.with_entries(moved, {self.voxel_size: batches.entry(original, self.voxel_size)})

    def __repr__(self) -> str:
        keys = f"labels={self.labels!r}, mask={self.mask!r}, target={self.target!r}, weight={self.weight!r}"
        keys += "" if self.voxel_size is None else f", voxel_size={self.voxel_size!r}"
        return f"{self.transform!r}.keyed({keys})"
