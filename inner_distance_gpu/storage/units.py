"""Units of length: the spellings that files use, one short name for each, and exact conversion between them."""

from __future__ import annotations

# Powers of ten, so that a conversion multiplies or divides by a whole number and 0.004 µm is 4 nm to the bit.
_EXPONENT = {"pm": -12, "Å": -10, "nm": -9, "µm": -6, "mm": -3, "cm": -2, "m": 0}
LONG = {
    "pm": "picometer",
    "Å": "angstrom",
    "nm": "nanometer",
    "µm": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
}
_SPELLED = {name: short for short, name in LONG.items()} | {
    **{short: short for short in _EXPONENT},
    "um": "µm",
    "micron": "µm",
    "ångström": "Å",
    "å": "Å",
    "a": "Å",
}
# A size in these says how many voxels wide a voxel is, and an inch is what printers are told.
_NO_LENGTH = {"", "pixel", "px", "voxel", "none", "null", "unknown", "inch", "unitless"}


def short(unit: str) -> str:
    """The short name of a unit, such as "µm" for "micrometer", "um", "microns" or "\\\\u00B5m"; "" for "".

    Raises
    ------
    ValueError
        The spelling is unknown.
    """
    text = unit.strip()
    if text == "":
        return ""
    # ImageJ writes the micro sign as an escape; Unicode has two micro signs and two letters for the ångström.
    for stored, plain in (("\\u00B5", "µ"), ("\\u00b5", "µ"), ("μ", "µ"), ("\u212b", "Å"), ("metre", "meter")):
        text = text.replace(stored, plain)
    for spelling in (text, text.lower(), text.lower().rstrip("s")):
        if spelling in _SPELLED:
            return _SPELLED[spelling]
    raise ValueError(f"unit {unit!r}: expected a length, one of {', '.join(LONG)} or their long names")


def is_length(unit: str) -> bool:
    """Whether a unit that a file states is meant as a length at all: "pixel" is not, an unknown word may be."""
    return unit.strip().lower().rstrip("s") not in _NO_LENGTH


def convert(value: float, stored: str, wanted: str) -> float:
    """A length in the short unit `stored` as one in `wanted`."""
    power = _EXPONENT[stored] - _EXPONENT[wanted]
    factor = 10 ** abs(power)
    return float(value * factor if power >= 0 else value / factor)
