"""What a target is before it has values: its axes and its place, which are those of the labels that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .opening import Labels
from .placing import SPATIAL

CLASSES, TIME = "c", "t"


@dataclass(frozen=True)
class Target:
    """An array of float32 that is to be written.

    Attributes
    ----------
    description
        What it was computed from and with, for its attributes or the file beside it.
    axes
        One-letter names, all different; the spatial ones are the last.
    voxel_size, unit, translation
        As those of `Labels`.
    classes
        The names along axis `class_axis`; () where there is no axis of classes.
    dialect, affine
        Of the file that the labels came from, as in `Stated`; the affine only where voxel size and unit are the file's.
    """

    shape: tuple[int, ...]
    description: dict[str, Any] = field(default_factory=dict)
    axes: tuple[str, ...] = ()
    voxel_size: tuple[float, ...] = ()
    unit: str = ""
    translation: tuple[float, ...] | None = None
    classes: tuple[str, ...] = ()
    class_axis: int | None = None
    dialect: str = ""
    affine: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def of(
        cls, labels: Labels, description: dict[str, Any], classes: Sequence[str] = (), in_front: bool = True
    ) -> Target:
        """The target of labels, with an axis of classes where there are names of such: in front of all others, or of
        the spatial ones alone.

        Raises
        ------
        ValueError
            The labels have no voxel size.
        """
        sizes = labels.require_voxel_size()
        at = (0 if in_front else len(labels.shape) - len(sizes)) if classes else None
        axes = axes_of(labels.axes, len(sizes), at)
        shape = labels.shape if at is None else (*labels.shape[:at], len(classes), *labels.shape[at:])
        as_stated = bool(labels.stated_by) and labels.stated_by != "given" and not labels.notice
        return cls(
            shape,
            description | {"axes": axes},
            axes,
            sizes,
            labels.unit,
            labels.translation,
            tuple(classes),
            at,
            labels.stated.dialect,
            labels.stated.affine if as_stated else (),
        )

    @property
    def dims(self) -> int:
        return len(self.voxel_size)

    @property
    def leading(self) -> tuple[str, ...]:
        """The names of the axes in front of the spatial ones."""
        return self.axes[: len(self.axes) - self.dims]

    @property
    def spatial(self) -> tuple[str, ...]:
        return self.axes[len(self.axes) - self.dims :]


def axes_of(named: Sequence[str], dims: int, classes: int | None) -> tuple[str, ...]:
    """The names of a target's axes, all different, from those of its labels, of which "" names none.

    `classes` is the place of an axis of classes among those in front; None for no such axis.

    Spatial axes without names are z, y, x. An axis of classes is "c" unless the labels have one of that name. Then an
    axis without a name is, from the last one on, channels, time, and any other letter; beside an axis of classes, which
    nobody would take for the channels of an image, it is neither.
    """
    front, spatial = list(named[: len(named) - dims]), tuple(named[len(named) - dims :])
    if not set(spatial) <= set(SPATIAL) or len(set(spatial)) < dims:
        spatial = SPATIAL[3 - dims :]
    front = [name if name and front.count(name) == 1 and name not in SPATIAL else "" for name in front]
    free = [letter for letter in "bawvutsrqponmlkjihgfedc" if letter not in front]
    if classes is not None:
        front.insert(classes, CLASSES if CLASSES in free else free[0])
        free = [letter for letter in free if letter not in (*front, CLASSES, TIME)]
    else:
        free = [letter for letter in (CLASSES, TIME) if letter in free] + [
            letter for letter in free if letter not in (CLASSES, TIME)
        ]
    for axis in reversed(range(len(front))):
        if not front[axis]:
            front[axis] = free.pop(0)
    return (*front, *spatial)
