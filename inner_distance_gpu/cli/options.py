"""What the commands share: how an option's text becomes a value."""

from __future__ import annotations

from pathlib import Path

from .. import engines
from ..storage.disk import local_path


def path(name: str | Path) -> Path:
    """The path of an argument, as `typer` parses it; an address ends the program with its whole spelling."""
    try:
        return local_path(name)
    except ValueError as error:  # typer would say no more than that the value is invalid
        raise OSError(str(error)) from None


def choose_engine(engine: str) -> str:
    """The engine's name, "auto" resolved; raises where it cannot run here."""
    name = engines.check_name(engine)
    name = engines.fastest() if name == "auto" else name
    engines.require(name)
    return name


def scale_of(text: str) -> int | float | None:
    return None if text == "none" else number("scale", text)


def number(option: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    raise ValueError(f"--{option}: {text!r} is no number")


def whole(option: str, text: str) -> int:
    value = number(option, text)
    if not isinstance(value, int):
        raise ValueError(f"--{option}: {text!r} is no whole number")
    return value


def whole_numbers(option: str, text: str | None) -> tuple[int, ...] | None:
    """The text 1,2,7 as (1, 2, 7); None where the option was not given."""
    return None if text is None else tuple(whole(option, part) for part in text.split(","))
