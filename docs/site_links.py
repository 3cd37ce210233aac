"""Pages of the site that lie outside docs/, links between them, docs/ and the rest of the repository."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

# What lies elsewhere in the repository, and its name in the site.
_BROUGHT = {
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks-developers.md",
    "benchmarks/GPU.md": "benchmarks-gpu.md",
}
_MADE = {"docs/tutorial/nuclei.py": "nuclei.md"}  # by docs/tutorial/cells.py
_MARK = re.compile(r"<!-- (?:quote: .*?|end) -->")  # what benchmarks/quote.py fills in; the text between stays
_GAP = re.compile(r"(?<=\d) (?=(?:B|GB|ms|ns|s|µs|µm|%)(?!\w))|(?<=\d–)(?=\d)")  # in a number with its unit, in a range
_LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<path>[^)\s:#]+)(?P<anchor>#[^)\s]*)?\)")


def on_files(files: Files, config: Any, **_: Any) -> None:
    root = Path(config.config_file_path).parent
    for source, name in _BROUGHT.items():
        text = (root / source).read_text(encoding="utf-8")
        files.append(File.generated(config, name, content=text))
        for link in _LINK.finditer(text):
            if link["picture"]:
                picture = (root / source).parent / link["path"]
                files.append(File.generated(config, link["path"], abs_src_path=str(picture)))


def on_page_markdown(markdown: str, page: Page, config: Any, **_: Any) -> str:
    root = Path(config.config_file_path).parent
    brought = {**_BROUGHT, **_MADE}
    names = {name: source for source, name in brought.items()}
    repository = config.extra.get("repository")
    folder = posixpath.dirname(names.get(page.file.src_uri, "docs/"))

    def led(link: re.Match[str]) -> str:
        text, anchor = link["text"], link["anchor"] or ""
        path = posixpath.normpath(posixpath.join(folder, link["path"]))
        if path in brought:
            return f"[{text}]({brought[path]}{anchor})"
        if path.startswith("docs/"):
            return f"{link['picture']}[{text}]({path.removeprefix('docs/')}{anchor})"
        if link["picture"] or not (root / path).exists():  # brought along; or no link, but code that looks like one
            return link[0]
        if repository:
            return f"[{text}]({repository.rstrip('/')}/blob/main/{path}{anchor})"
        return f"`{path}`" if path == text.strip("`") else f"{text} (`{path}` in the repository)"

    return _LINK.sub(led, _unbroken(_MARK.sub("", markdown)))


def _unbroken(markdown: str) -> str:
    """Rows of tables in which no line ends between a number and its unit, or within a range of numbers."""
    rows = [_GAP.sub(_glue, line) if line.startswith("|") else line for line in markdown.split("\n")]
    return "\n".join(rows)


def _glue(gap: re.Match[str]) -> str:
    return "\N{NO-BREAK SPACE}" if gap[0] else "\N{WORD JOINER}"
