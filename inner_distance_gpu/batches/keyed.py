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

    def __init__(
        self, transform: InnerDistanceTransform, labels: Key, mask: Key | None, target: Key, weight: Key
    ) -> None:
        for name, key in {"labels": labels, "mask": mask, "target": target, "weight": weight}.items():
            if not (name == "mask" and key is None):
                batches.check_key(name, key)
        if transform.weights and batches.path_of(target) == batches.path_of(weight):
            raise ValueError(f"target={target!r} and weight={weight!r}: expected two different keys")
        self.transform = transform
        self.labels, self.mask, self.target, self.weight = labels, mask, target, weight

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
        result = self.transform(labels, mask)
        made = result if self.transform.weights else (result,)
        return batches.with_entries(batch, dict(zip(places, made, strict=True)))

    def __repr__(self) -> str:
        keys = f"labels={self.labels!r}, mask={self.mask!r}, target={self.target!r}, weight={self.weight!r}"
        return f"{self.transform!r}.keyed({keys})"
