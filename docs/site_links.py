"""What `make docs` does to links that leave docs/: the site has no such pages, so it names the file instead."""

from __future__ import annotations

import re
from typing import Any

_LEAVES = re.compile(r"\[([^\]]*)\]\(\.\./([^)\s]+)\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    return _LEAVES.sub(_named, markdown)


def _named(link: re.Match[str]) -> str:
    text, path = link.groups()
    return f"`{path}`" if path == text.strip("`") else f"{text} (`{path}` in the repository)"
