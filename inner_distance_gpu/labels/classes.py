"""Which ids are in which class, where one map of labels becomes a channel per class."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from . import Classes, Labels, as_label, is_annotated


@dataclass(frozen=True)
class ClassMap:
    """Which ids are in which class; `names` is empty where the classes have none."""

    ids: Classes
    names: tuple[str, ...] = ()

    @classmethod
    def checked(cls, classes: Any, ignore_label: int | float | None = None) -> ClassMap:
        """What `classes=` means: a sequence of ids or collections of ids, or a mapping from names to them.

        Raises
        ------
        TypeError, ValueError
            Anything else, an empty class, or one that holds `ignore_label`.
        """
        if isinstance(classes, cls):
            classes.check_apart_from(ignore_label)
            return classes
        expected = (
            "expected a sequence with an id or a collection of ids for each class, such as [(3, 4), 7], or a mapping "
            'from names to them, such as {"mito": (3, 4), "nucleus": 7}'
        )
        names: tuple[Any, ...] = ()
        given = classes
        if isinstance(classes, Mapping):
            names, given = tuple(classes), classes.values()
            if not all(isinstance(name, str) and name for name in names):
                raise TypeError(f"classes={classes!r}: expected names that are strings, not empty")
        elif isinstance(classes, (str, bytes, Set)) or not isinstance(classes, Iterable):
            raise TypeError(f"classes={classes!r}: {expected}")
        found = tuple(_ids_of(chosen, classes, expected) for chosen in given)
        if not found:
            raise ValueError(f"classes={classes!r} is empty: {expected}")
        result = cls(found, names)
        result.check_apart_from(ignore_label)
        return result

    def check_apart_from(self, ignore_label: int | float | None) -> None:
        for channel, ids in enumerate(self.ids):
            if ignore_label in ids:
                raise ValueError(
                    f"{self.title(channel)} of classes= holds ignore_label={ignore_label!r}: unannotated voxels are in "
                    "no class"
                )

    def shown(self) -> dict[str, tuple[int, ...]] | Classes:
        """As they were given."""
        return dict(zip(self.names, self.ids, strict=True)) if self.names else self.ids

    def described(self) -> list[dict[str, Any]]:
        """For metadata: the classes in order, each with its ids, and its name where it has one."""
        return [
            ({"name": self.names[channel]} if self.names else {}) | {"ids": list(ids)}
            for channel, ids in enumerate(self.ids)
        ]

    def titles(self) -> list[str]:
        return [self.title(channel) for channel in range(len(self.ids))]

    def title(self, channel: int) -> str:
        """A class in words."""
        ids = "+".join(map(str, self.ids[channel]))
        return f"class {self.names[channel]!r} ({ids})" if self.names else f"class {channel} ({ids})"


def _ids_of(chosen: Any, classes: Any, expected: str) -> tuple[int, ...]:
    """The ids of one class, ascending and each once."""
    one = isinstance(chosen, (Integral, str, bytes, Mapping)) or not isinstance(chosen, Iterable)
    ids = [chosen] if one else list(chosen)
    if not ids:
        raise ValueError(f"classes={classes!r} has an empty class: {expected}")
    for value in ids:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral):
            raise TypeError(f"classes={classes!r} holds {value!r}: expected ids that are whole numbers; {expected}")
        if not -(2**63) <= int(value) < 2**64:
            raise ValueError(f"classes={classes!r} holds {value!r}, which no label can be")
    return tuple(sorted({int(value) for value in ids}))


@functools.lru_cache(maxsize=256, typed=True)
def check_class_ids(classes: Classes, dtype: Any, ignored: int | float | None) -> None:
    """Raise ValueError for an id that no label of that NumPy or torch type can have, or that is unannotated."""
    name = str(dtype).removeprefix("torch.")
    kind = np.dtype("float32" if name == "bfloat16" else name)
    unannotated = as_label(ignored, kind)
    for ids in classes:
        for value in ids:
            held = as_label(value, kind)
            # A float type holds few of the large whole numbers: an id that it rounds is another label.
            exact = held is not None and int(held) == value
            if name == "bfloat16":
                exact = exact and int(held.view(np.uint32)) & 0xFFFF == 0
            if not exact:
                raise ValueError(f"classes= holds {value}, which labels of {name} cannot hold{_held_by(kind, name)}")
            if unannotated is not None and held == unannotated:
                raise ValueError(
                    f"classes= holds {value}, which is ignore_label={ignored} in labels of {name}: unannotated voxels "
                    "are in no class"
                )


def _held_by(kind: np.dtype[Any], name: str) -> str:
    if kind.kind in "iu":
        return f": they hold whole numbers from {np.iinfo(kind).min} to {np.iinfo(kind).max}"
    return ": they hold 0 and 1" if kind.kind == "b" else f" exactly: {name} rounds large numbers"


def absent_classes(classes: ClassMap, labels: Labels, ignore_label: int | float | None) -> list[str]:
    """The titles of classes that no annotated voxel is in."""
    present = set(np.unique(labels[is_annotated(labels, ignore_label)]).tolist())
    return [classes.title(channel) for channel, ids in enumerate(classes.ids) if present.isdisjoint(ids)]
