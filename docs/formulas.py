"""Turn the formulas of a page into MathML at build time: browsers draw it without scripts and fetched fonts."""

from __future__ import annotations

import html
import re
from typing import Any

from latex2mathml.converter import convert

# What pymdownx.arithmatex leaves of $…$ and $$…$$ outside code.
_FORMULA = re.compile(r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<latex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL)


def on_page_content(content: str, **_: Any) -> str:
    return _FORMULA.sub(_drawn, content)


def _drawn(formula: re.Match[str]) -> str:
    block = formula["tag"] == "div"
    drawn = convert(html.unescape(formula["latex"]), display="block" if block else "inline")
    return f'<div class="formula">{drawn}</div>' if block else drawn
