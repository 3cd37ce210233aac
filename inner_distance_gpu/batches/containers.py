"""What a batch is made of: entries by key, field, position or path, and the tensors in it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.utils import _pytree as pytree

from ..counts import ClassCounts

Key = str | int | tuple[str | int, ...]


def check_key(name: str, key: Any) -> Key:
    """A string, an integer, or a tuple of them, which is a path."""
    parts = key if isinstance(key, tuple) else (key,)
    if not parts or not all(isinstance(part, (str, int)) and not isinstance(part, bool) for part in parts):
        raise TypeError(f"{name}={key!r}: expected a string or integer key, or a tuple of them, which is a path")
    checked: Key = key
    return checked


def path_of(key: Key) -> tuple[str | int, ...]:
    return key if isinstance(key, tuple) else (key,)


def is_mapping(batch: Any) -> bool:
    """Also what is no `Mapping` but has keys; a TensorDict is one that iterates over its samples.

    A class with fields is none, even with both methods: a tensorclass takes no names in square brackets.
    """
    if isinstance(batch, Mapping):
        return True
    return callable(getattr(batch, "keys", None)) and hasattr(batch, "__getitem__") and _fields(batch) is None


def _fields(batch: Any) -> list[str] | None:
    """The names of what a dataclass or an attrs class holds; None for anything else."""
    if isinstance(batch, type):
        return None
    if dataclasses.is_dataclass(batch):
        return [field.name for field in dataclasses.fields(batch)]
    attributes = getattr(type(batch), "__attrs_attrs__", None)
    return None if attributes is None else [attribute.name for attribute in attributes]


def _names(batch: Any) -> tuple[str, ...]:
    """The names of the positions of a named tuple."""
    return tuple(getattr(batch, "_fields", ())) if isinstance(batch, tuple) else ()


def is_samples(batch: Any) -> bool:
    """Whether a batch is a list or tuple of samples that have keys or fields themselves."""
    if not isinstance(batch, (list, tuple)) or _names(batch):
        return False
    return all(is_mapping(sample) or _fields(sample) is not None or _names(sample) for sample in batch)


def keys(batch: Any) -> list[Any]:
    """The keys, fields or positions of a batch."""
    if is_mapping(batch):
        return list(batch.keys())
    fields = _fields(batch)
    if fields is not None:
        return [name for name in fields if hasattr(batch, name)]  # a field may have no value yet
    if isinstance(batch, Sequence) and not isinstance(batch, (str, bytes)):
        return list(range(len(batch)))
    raise TypeError(
        f"batch is a {type(batch).__name__}: expected a mapping, a dataclass, an attrs class, a tuple or a list"
    )


def entry(batch: Any, key: Key) -> Any:
    """The entry at a key or path; KeyError with the keys there are."""
    for part in path_of(key):
        place = _place(batch, part)
        if place is None:
            raise KeyError(f"{_where(part, key)} is not in the batch; it has {list(_names(batch)) or keys(batch)}")
        batch = getattr(batch, place) if _fields(batch) is not None and not is_mapping(batch) else batch[place]
    return batch


def _place(batch: Any, key: Any) -> Any:
    """`key` as what reads the batch: the position of a name in a named tuple; None where there is no such entry."""
    names = _names(batch)
    if key in names:
        return names.index(key)
    return key if key in keys(batch) else None


def _where(part: Any, key: Key) -> str:
    return repr(part) if path_of(key) == (part,) else f"{part!r} of {key!r}"


def check_places(batch: Any, entries: Sequence[Key]) -> None:
    """KeyError where an entry could not be set, before anything is computed or counted."""
    with_entries(batch, dict.fromkeys(entries), dry=True)


def with_entries(batch: Any, entries: Mapping[Key, Any], dry: bool = False) -> Any:
    """A shallow copy of the batch with these entries; where they are on a path, what is on it is copied, too.

    With `dry` nothing is copied or set, and the batch itself comes back: only the places are checked.
    """
    own: dict[Any, Any] = {path_of(key)[0]: value for key, value in entries.items() if len(path_of(key)) == 1}
    below: dict[Any, dict[Key, Any]] = {}
    for key, value in entries.items():
        first, *rest = path_of(key)
        if rest:
            below.setdefault(first, {})[tuple(rest)] = value
    for first, inner in below.items():
        own[first] = with_entries(entry(batch, first), inner, dry)
    if is_mapping(batch):
        return batch if dry else _with_items(batch, own)
    fields = _fields(batch)
    if fields is not None:
        return _with_fields(batch, fields, own, dry)
    return _with_positions(batch, own)


def _with_items(batch: Any, entries: Mapping[Any, Any]) -> Any:
    # TensorDict: `clone(recurse=False)` is its shallow copy; a copy of a locked one by other means is locked, too.
    shallow = getattr(batch, "clone", None)
    if not hasattr(batch, "__setitem__"):
        changed = {key: batch[key] for key in batch.keys()}  # noqa: SIM118, iterating may give something else
    elif callable(shallow) and hasattr(batch, "batch_size"):
        changed = shallow(recurse=False)
    else:
        changed = copy.copy(batch)
    for key, value in entries.items():
        changed[key] = value
    return changed


def _with_fields(batch: Any, fields: list[str], entries: Mapping[Any, Any], dry: bool) -> Any:
    for key in entries:
        if key not in fields:
            raise KeyError(f"{key!r} is no field of {type(batch).__name__}; it has {fields}")
    if dry:
        return batch
    changed = copy.copy(batch)
    for key, value in entries.items():
        try:
            setattr(changed, key, value)
        except AttributeError:  # a frozen class
            object.__setattr__(changed, key, value)
    return changed


def _with_positions(batch: Any, entries: Mapping[Any, Any]) -> Any:
    values, names = list(batch), _names(batch)
    placed = {names.index(key) if key in names else key: value for key, value in entries.items()}
    for place, key in sorted((int(key) if isinstance(key, int) else -1, key) for key in placed):
        if not 0 <= place <= len(values):
            raise KeyError(f"{key!r} is no place in a batch of {len(values)}; expected 0 to {len(values)}")
        values[place : place + 1] = [placed[key]]
    if isinstance(batch, list):
        return values
    return type(batch)(*values) if names and len(names) == len(values) else tuple(values)


def tensors(batch: Any) -> Iterator[torch.Tensor]:
    """The tensors in tuples, lists, mappings, dataclasses and attrs classes."""
    for leaf in pytree.tree_leaves(batch):
        if isinstance(leaf, torch.Tensor):
            yield leaf
        else:
            for value in _values(leaf).values():
                yield from tensors(value)


def mapped(function: Callable[[torch.Tensor], torch.Tensor], batch: Any) -> Any:
    """The batch with `function` of each of its tensors, of the same kinds."""

    def of_leaf(leaf: Any) -> Any:
        if isinstance(leaf, torch.Tensor):
            return function(leaf)
        values = _values(leaf)
        return with_entries(leaf, {key: mapped(function, value) for key, value in values.items()}) if values else leaf

    return pytree.tree_map(of_leaf, batch)


def _values(leaf: Any) -> dict[Any, Any]:
    """What a container holds that torch does not know as one."""
    if isinstance(leaf, Mapping):
        return {key: leaf[key] for key in leaf.keys()}  # noqa: SIM118, iterating may give something else
    return {name: getattr(leaf, name) for name in _fields(leaf) or () if hasattr(leaf, name)}


def counts_of(transform: Any) -> ClassCounts | None:
    """The class counts of a transform of batches: its attribute `counts`."""
    counts = getattr(transform, "counts", None)
    return counts if isinstance(counts, ClassCounts) else None


def counts_state(transform: Any) -> torch.Tensor | None:
    """Its class counts as they are now, as `ClassCounts.load_state` takes them."""
    counts = counts_of(transform)
    return None if counts is None else counts.state()
