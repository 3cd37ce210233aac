"""Keep the measured numbers on the pages those of the records.

    python benchmarks/quote.py                        say which pages differ from the records that they quote
    python benchmarks/quote.py --write                write what the records hold
    python benchmarks/quote.py RESULT.json --write    quote this record from now on, in place of the one of its kind

`quoted.json` names the record of each kind. A page marks what comes from a record:

    <!-- quote: {volume[seconds]} s -->169 s<!-- end -->

Between the marks stands the format string of the first, filled from the records as `views.py` prepares them; or, where
the first mark names one of TABLES, that table. The marks are comments, which no reader sees.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import views

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS, QUOTED, FIGURES = HERE / "results", HERE / "quoted.json", ROOT / "docs" / "figures"
# Not GPU.md and LEARNED.md, which name the records of their numbers and keep them.
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), HERE / "README.md"]
MARK = re.compile(r"<!-- quote: (?P<what>.*?) -->(?P<text>.*?)<!-- end -->", re.DOTALL)
# What looks measured: a number with a unit of time or speed, or a number of times (no magnification of an objective).
MEASURED = re.compile(r"\d[\d.,]*\s?(?:ms|µs|ns|Mvoxel/s|Gvoxel|GB/s|samples/s)\b|(?<!objective of )\b\d[\d.,]*×(?!\d)")
Records = dict[str, dict[str, Any]]


def records(quoted: dict[str, str]) -> Records:
    """Kind -> the record that the pages quote."""
    return {kind: json.loads((RESULTS / name).read_text(encoding="utf-8")) for kind, name in quoted.items()}


def filled(page: Path, text: str, found: Records, quoted: dict[str, str]) -> str:
    """The text of a page with the numbers of the records; KeyError where a mark asks for what they do not hold."""
    names = {kind: views.view(kind, record) for kind, record in found.items()}

    def fill(mark: re.Match[str]) -> str:
        what = mark["what"]
        try:
            if what.startswith("record "):
                _, kind, words = what.split(maxsplit=2)
                value = f"[{words}]({os.path.relpath(RESULTS / quoted[kind], page.parent)})"
            elif what in views.TABLES:
                kind, table = views.TABLES[what]
                value = "\n".join(table(found[kind]))
                value = f"\n\n{value}\n\n" if value.startswith("|") else value
            elif "{" in what:
                value = what.format(**names)
            else:
                raise KeyError("no such table")
        except (KeyError, IndexError, ValueError) as error:
            raise KeyError(f"{page.name}: {what}: {type(error).__name__}: {error}") from error
        return f"<!-- quote: {what} -->{value}<!-- end -->"

    return MARK.sub(fill, text)


def unmarked(text: str) -> list[str]:
    """Lines with what looks like a measured number and is not marked, outside code."""
    text = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^    .*$", "", text, flags=re.MULTILINE)
    return [line for line in MARK.sub("…", text).splitlines() if MEASURED.search(line)]


def write_text(path: Path, text: str) -> bool:
    """Whether the file had to change."""
    changed = not path.exists() or path.read_text(encoding="utf-8") != text
    if changed:
        path.write_text(text, encoding="utf-8")
    return changed


def stale(write: Callable[[Path, str], bool], quoted: dict[str, str]) -> Iterator[str]:
    """What differs from the records, page by page; `write` is told what each page should hold."""
    found = records(quoted)
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if write(page, filled(page, text, found, quoted)):
            yield f"{page.relative_to(ROOT)}: numbers differ from the records"
        yield from (f"{page.relative_to(ROOT)}: neither marked nor code: {line.strip()}" for line in unmarked(text))


def draw(record: dict[str, Any]) -> None:
    import plots

    for name, canvas in plots.figures(record):
        plots.save(canvas, FIGURES / f"benchmark-{name}.svg")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("result", type=Path, nargs="?", help="a record to quote from now on")
    parser.add_argument("--write", action="store_true", help="change the pages, the figures and quoted.json")
    options = parser.parse_args()
    quoted = json.loads(QUOTED.read_text(encoding="utf-8"))
    if options.result is not None:
        path = options.result.resolve()
        if not path.is_relative_to(RESULTS):
            raise SystemExit(f"{path} lies outside {RESULTS}: pages link to the record they quote")
        quoted[views.kind_of(json.loads(path.read_text(encoding="utf-8")), path)] = str(path.relative_to(RESULTS))
    write = write_text if options.write else lambda path, text: path.read_text(encoding="utf-8") != text
    differing = list(stale(write, quoted))
    if options.write:
        write_text(QUOTED, json.dumps(quoted, indent=1) + "\n")
        draw(records(quoted)["cpu"])
    print("\n".join(differing) or "every number on the pages is that of its record")
    return int(bool(differing) and not options.write)


if __name__ == "__main__":
    sys.exit(main())
