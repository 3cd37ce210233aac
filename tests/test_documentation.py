"""Does every example in the docstrings, the README and docs/ run and print what it says?"""

import ast
import doctest
import importlib
import json
import pkgutil
import re
from pathlib import Path

import pages
import pytest

import inner_distance_gpu

ROOT = Path(__file__).parents[1]
SOURCES = str(Path(inner_distance_gpu.__file__).parent)  # an editable install has more folders in __path__
MODULES = ["inner_distance_gpu"]
MODULES += [module.name for module in pkgutil.walk_packages([SOURCES], "inner_distance_gpu.")]
PUBLIC = {"inner_distance_gpu.api": 2, "inner_distance_gpu.counts": 1, "inner_distance_gpu.transform": 2}


@pytest.mark.parametrize("name", MODULES)
def test_docstrings(name):
    if ".compat." in name:  # needs the other library: tests/compat
        pytest.importorskip(name.rpartition(".")[2], reason=f"{name} needs a library that is not installed")
    module = importlib.import_module(name)
    assert module.__doc__
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
    examples = sum(bool(test.examples) for test in doctest.DocTestFinder().find(module))
    assert examples >= PUBLIC.get(name, 0)


@pytest.mark.parametrize("page", pages.PAGES, ids=lambda page: page.name)
def test_pages(page, tmp_path, call, monkeypatch):
    """Every block in the order of the page, but for those that `make compat` runs: tests/compat/test_pages.py."""
    for name, value in pages.RANK.items():
        monkeypatch.setenv(name, value)
    names = {"__name__": page.stem}
    for block in pages.blocks(page):
        if block.language != pages.TEXT and not block.compat:
            pages.run(block, names, tmp_path, call)
    if page.name == "training.md":
        assert names["model"].targets.counts.denominators[0, 0] == 1 + 2 * 4 * 8 * 32 * 32


def test_no_block_is_left_out():
    """A block is run here, or needs a package that `make compat` installs, or is no code."""
    blocks = [block for page in pages.PAGES for block in pages.blocks(page)]
    assert {block.language for block in blocks} <= {"python", "pycon", "sh", pages.TEXT}
    installed = "".join((ROOT / "tests" / "compat" / name).read_text() for name in ("requirements.txt", "no-deps.txt"))
    for block in blocks:
        assert block.language != pages.TEXT or "inner_distance" not in block.code, f"{block.where}: this is code"
        for package in block.compat - {""}:
            assert f"\n{pages.COMPAT[package]}==" in f"\n{installed}", f"{block.where}: nothing installs {package}"
    code = [block for block in blocks if block.language != pages.TEXT]
    there = [block for block in code if block.compat]
    assert len(code) - len(there) >= 57
    assert len(there) >= 14


def test_figures_in_tables_are_those_of_the_recorded_run():
    for name in ("README.md", "docs/how-it-works.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        (run,) = set(re.findall(r"benchmarks/results/[\w.-]+\.json", text))
        expected = recorded(json.loads((ROOT / run).read_text(encoding="utf-8")))
        tables = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
        checked = sum(check_table(table, expected) for table in tables)
        assert checked >= 12, name


def recorded(record):
    """(row, column) -> the cell, as a table of a page writes it."""
    cells = {}
    for row in record["speed"]:
        case, name = row["case"], row["row"]
        cells[case, name] = f"{row['ratio']:.3g}×" if row["ratio"] < 1000 else f"{row['ratio']:.0f}×"
        if name == "cpu":
            cells[case, "`cpu`"] = f"{min(row['ms']):.2f} ms"
            cells[case, "Mvoxel/s"] = f"{row['Mvoxel/s']:.0f}"
    for row in record["growth"]:
        cells.update({(row["case"], extent): f"{ns:.2f} ns" for extent, ns in row["ns per voxel"].items()})
        cells[row["case"], "per voxel"] = f"{row['growth']:.2f}×"
    return cells


def check_table(table, expected):
    """How many cells of a table are figures of the run; each has to be the one that was recorded."""
    header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    cases, checked = {case for case, _ in expected}, 0
    for case, *cells in rows:
        for column, cell in zip(header[1:], cells, strict=True):
            if case in cases and cell:
                assert cell == expected[case, column], (case, column)
                checked += 1
    return checked


def test_messages_in_tables_are_in_the_code():
    """Those that no machine can show all of; the others are shown by running into them."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = page.partition("| message | what to do |\n|---|---|\n")[2].partition("\n\n")[0].splitlines()
    quoted = [re.match(r"\| `(.*?)` \|", row)[1] for row in rows]
    assert len(quoted) == len(rows) >= 8
    said = "\n".join(texts(Path(SOURCES)))
    for message in quoted:
        assert message in said


def texts(folder):
    """Every string in the sources; an f-string without what is put into it."""
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
