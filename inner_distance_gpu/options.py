"""What the commands share: where they print, and how an option's text becomes a value."""

from __future__ import annotations

from rich.console import Console

from . import engines

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)


def choose_engine(engine: str) -> str:
    """The engine's name, "auto" resolved; raises where it cannot run here."""
    name = engines.check_name(engine)
    name = engines.fastest() if name == "auto" else name
    engines.require(name)
    return name


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
