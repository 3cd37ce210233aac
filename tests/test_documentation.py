"""Does every example in the docstrings, the README and docs/ run and print what it says?"""

import ast
import doctest
import importlib
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


def test_the_readme_names_the_commands_that_need_nothing_else():
    """The demo, and the tests as CI runs them."""
    commands = "\n".join(block.code for block in pages.blocks(ROOT / "README.md") if block.language == "sh")
    for target in ("demo", "test"):
        assert re.search(rf"^make {target}\b", commands, re.M)
        assert target in pages.make_targets()


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
