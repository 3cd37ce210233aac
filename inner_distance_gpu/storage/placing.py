"""Which axes are spatial, and whose voxel size, unit and place count: the caller's or the file's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from . import units
from .stored import Stated, StoredArray

SPATIAL = ("z", "y", "x")
GIVE = "give voxel_size=(40, 4, 4) and unit='nm' or the like"
SAME = 1e-6  # relative: formats keep sizes in float32, or as pixels per unit


def layout(place: str, stored: StoredArray, select: Mapping[str, int]) -> tuple[dict[int, int], list[int]]:
    """Which stored axes are dropped at which index, and the order of the others: the spatial ones last."""
    letters = stored.stated.axes
    pinned: dict[int, int] = {}
    for name, index in select.items():
        if name not in letters or not name:
            raise ValueError(f"{place}: select={dict(select)}: no axis {name!r} among its axes {spell(letters)}")
        axis = letters.index(name)
        if not 0 <= index < stored.shape[axis]:
            raise ValueError(f"{place}: select={dict(select)}: expected 0 to {stored.shape[axis] - 1} for {name!r}")
        pinned[axis] = index
    kept = [axis for axis in range(len(letters)) if axis not in pinned]
    spatial = [axis for axis in kept if letters[axis] in SPATIAL]
    # Without letters nothing is moved.
    order = [axis for axis in kept if axis not in spatial] + spatial
    return pinned, order


def spell(letters: Sequence[str]) -> str:
    return "(" + ", ".join(letter or "?" for letter in letters) + ")"


def count_spatial(
    place: str,
    shape: Sequence[int],
    letters: Sequence[str],
    sizes: Sequence[float | None],
    given: tuple[float, ...] | None,
) -> int:
    """How many of the last axes are spatial. All sequences are of the axes in their new order.

    Raises
    ------
    ValueError
        The voxel size has a number for an axis that is not spatial.
    """
    named = sum(letter in SPATIAL for letter in letters)
    if given is None:
        stated = 0
        for size in reversed(sizes):
            if size is None:
                break
            stated += 1
        return named or min(stated, 3)
    dims = len(given)
    ahead = [letter for letter in letters[max(len(letters) - dims, 0) : len(letters) - named] if letter]
    if dims > len(letters):
        raise ValueError(f"{place}: labels have shape {tuple(shape)}: voxel_size={given} asks for {dims} spatial axes")
    if ahead:
        raise ValueError(
            f"{place}: voxel_size={given} has {dims} numbers, and its axes are {spell(letters)}: expected one number "
            f"for each of the {named or len(letters)} spatial axes; other axes hold independent volumes"
        )
    return dims


@dataclass(frozen=True)
class Placing:
    """What counts, per spatial axis."""

    sizes: tuple[float, ...] | None
    unit: str
    translation: tuple[float, ...] | None
    by: str
    notice: str

    @classmethod
    def of(
        cls,
        place: str,
        stated: Stated,
        spatial: Sequence[int],
        ahead: str | None,
        given: tuple[float, ...] | None,
        unit: str,
    ) -> Placing:
        """What the caller gives counts, then what the file states.

        Parameters
        ----------
        spatial
            The stored axes.
        ahead
            Name of the axis in front of them; "" for one that the file does not name and that may be spatial, None
            where there is none.
        given, unit
            Of the caller.

        Raises
        ------
        ValueError
            A unit that is unknown, or a stated voxel size that cannot be one.
        """
        try:
            wanted = units.short(unit)
        except ValueError as error:
            raise ValueError(f"unit={unit!r}: {str(error).split(': ', 1)[1]}") from None
        own, sizes, places = _in_one_unit(place, stated, spatial, given is not None)
        if sizes is not None and ahead == "" and given is None and any(letter in SPATIAL for letter in stated.axes):
            sizes = None  # The axis in front is z, perhaps, of which the file states no size.
        final = wanted or own

        def converted(value: float) -> float:
            return units.convert(value, own, final) if own and own != final else value

        in_final = None if sizes is None else tuple(converted(size) for size in sizes)
        counts = given or in_final
        overruled = given is not None and in_final is not None and not _same(given, in_final)
        translation = None
        # A voxel size that overrules the file's says that what the file states is wrong, its place included.
        if not overruled and places is not None and (counts or not stated.corners):
            half = tuple(size / 2 for size in counts) if stated.corners and counts else (0.0,) * len(places)
            translation = tuple(converted(p) + h for p, h in zip(places, half, strict=True))
        notice = ""
        if overruled and given is not None and sizes is not None:
            notice = (
                f"{place}: voxel size {format_sizes(given, final)} as given; its {stated.by} metadata state "
                f"{format_sizes(sizes, own)}"
            )
        elif given is None and own and own != final and sizes is not None and in_final is not None:
            notice = (
                f"{place}: its {stated.by} metadata state the voxel size {format_sizes(sizes, own)}; it is "
                f"{format_sizes(in_final, final)} here, and the scale is in {final}"
            )
        by = "given" if given is not None else stated.by if in_final is not None else ""
        return cls(counts, final, translation, by, notice)


def _in_one_unit(
    place: str, stated: Stated, spatial: Sequence[int], given: bool
) -> tuple[str, tuple[float, ...] | None, tuple[float, ...] | None]:
    """Unit, voxel size and place that a file states, in the unit of the last axis."""
    spelled = [stated.units[axis] if stated.units else "" for axis in spatial]
    if not spelled or not all(units.is_length(unit) or not unit.strip() for unit in spelled):
        return "", None, None  # "pixel" and the like: numbers that say nothing of the world
    try:
        short = [units.short(unit) for unit in spelled]
    except ValueError as error:
        if given:
            return "", None, None
        raise ValueError(f"{place}: its {stated.by} metadata have the {error}; {GIVE}") from None
    if "" in short and any(short):
        if given:
            return "", None, None
        raise ValueError(f"{place}: its {stated.by} metadata state the units {spelled}: {GIVE}")
    unit = short[-1]

    def converted(values: Sequence[float | None]) -> tuple[float, ...] | None:
        numbers = [
            None if value is None else units.convert(value, own, unit) if own != unit else value
            for value, own in zip((values[axis] for axis in spatial), short, strict=True)
        ]
        found = tuple(number for number in numbers if number is not None)
        return found if len(found) == len(numbers) else None

    sizes = converted(stated.sizes) if stated.sizes else None
    places = converted(stated.places) if stated.places else None
    if sizes is not None and not all(0 < size < math.inf for size in sizes):
        if not given:
            raise ValueError(f"{place}: its {stated.by} voxel size is {sizes}: expected positive numbers")
        sizes = None
    return unit, sizes, places


def format_sizes(sizes: Sequence[float], unit: str) -> str:
    return f"({', '.join(f'{size:g}' for size in sizes)}) {unit or 'of no stated unit'}"


def _same(one: Sequence[float], other: Sequence[float]) -> bool:
    return len(one) == len(other) and all(math.isclose(a, b, rel_tol=SAME) for a, b in zip(one, other, strict=True))
