"""What a batch may be, besides a dict, a tuple or a list."""

import collections
import dataclasses
from typing import Any

import attrs


class Grouped:
    """Iterates over its samples, as a TensorDict does, and is no `Mapping`."""

    def __init__(self, entries):
        self.entries = dict(entries)

    def keys(self):
        return self.entries.keys()

    def __getitem__(self, key):
        if not isinstance(key, str):
            raise IndexError(key)
        return self.entries[key]

    def __iter__(self):
        return iter(["one sample"])

    def __copy__(self):
        return type(self)(self.entries)


class Growing(Grouped):
    def __setitem__(self, key, value):
        self.entries[key] = value


@dataclasses.dataclass
class Plain:
    labels: Any
    target: Any = None
    weight: Any = None


@dataclasses.dataclass(frozen=True)
class Frozen:
    labels: Any
    target: Any = None
    weight: Any = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slots:
    labels: Any
    target: Any = None
    weight: Any = None


@attrs.define
class Attrs:
    labels: Any
    target: Any = None
    weight: Any = None


@attrs.frozen
class FrozenAttrs:
    labels: Any
    target: Any = None
    weight: Any = None


@dataclasses.dataclass
class Indexed:
    """Has keys, and is indexed along its samples alone, as tensordict's tensorclass."""

    labels: Any
    target: Any = None
    weight: Any = None

    def keys(self):
        return vars(self).keys()

    def __getitem__(self, index):
        if isinstance(index, str):
            raise ValueError(f"{index!r} is no index of samples")
        return self.labels[index]


class Named(collections.namedtuple("Named", "labels target weight", defaults=(None, None))):
    pass


FIELDS = [Plain, Frozen, Slots, Attrs, FrozenAttrs, Indexed, Named]
