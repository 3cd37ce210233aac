"""The pages of the documentation: the code blocks in them, how each kind is executed, and what they find to work on."""

from __future__ import annotations

import ast
import contextlib
import doctest
import re
import shlex
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS

# What only the environment of `make compat` has, and a comment for blocks that need it without importing it.
COMPAT = {
    "dacapo": "dacapo-ml",
    "gunpowder": "gunpowder",
    "dacapo_toolbox": "dacapo-toolbox",
    "cellmap_data": "cellmap-data",
    "monai": "monai",
    "torch_em": "torch-em",
    "pytorch_lightning": "pytorch-lightning",
    "torchvision": "torchvision",
    "napari": "napari",
    "neuroglancer": "neuroglancer",
}
MARK = "<!-- make compat -->"

_FENCE = re.compile(r"^(?P<mark><!--[^\n]*-->\n)?^```(?P<language>\w*)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, and the line it begins on."""

    page: Path
    line: int
    language: str
    code: str
    marked: bool

    @property
    def compat(self) -> set[str]:
        """The packages of `make compat` that the block needs; {""} where a mark says so."""
        if self.language != "python":
            return set()
        imported = {name.split(".")[0] for name in _imports(ast.parse(self.code))}
        return (imported & set(COMPAT)) | ({""} if self.marked else set())

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = [
        Block(
            page,
            text.count("\n", 0, match.start("code")) + 1,
            match["language"],
            match["code"],
            (match["mark"] or "").strip() == MARK,
        )
        for match in _FENCE.finditer(text)
    ]
    assert 2 * len(found) == len(re.findall(r"^ *```", text, re.MULTILINE)), f"{page}: a fence was not understood"
    return found


def _imports(tree: ast.AST) -> list[str]:
    nodes = list(ast.walk(tree))
    plain = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    return plain + [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]


TEXT = "text"  # no code: what somebody else's program prints or is called with
RANK = {"RANK": "0", "WORLD_SIZE": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}  # as torchrun sets them


def run(block: Block, names: dict[str, Any], folder: Path, call: Callable[..., Any]) -> None:
    """Execute a block in the namespace of its page; `call` runs the arguments of one command.

    Python blocks share `folder`; each block of commands has a new folder in it, with files to work on.
    """
    if block.language == "sh":
        place = folder / f"commands_{block.line}"
        place.mkdir()
        write_inputs(place)
        with contextlib.chdir(place):
            _run_commands(block, call)
        return
    with contextlib.chdir(folder):
        {"python": _run_python, "pycon": _run_session}[block.language](block, names)


def write_inputs(folder: Path) -> None:
    """The files that commands in the pages read: labels.npy, labels.tif, and OME-Zarr labels."""
    import tifffile
    import zarr

    labels = np.zeros((6, 20, 24), np.uint16)
    for label, y0, y1, x in ((1, 3, 12, 4), (2, 12, 17, 4), (7, 3, 12, 15)):
        labels[1:4, y0:y1, x : x + 8] = label
    np.save(folder / "labels.npy", labels)
    tifffile.imwrite(folder / "labels.tif", labels)
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    steps = [{"type": "scale", "scale": [40, 4, 4]}]
    described = {"axes": axes, "datasets": [{"path": "s0", "coordinateTransformations": steps}]}
    for name in ("labels.zarr", "image.zarr/labels/nuclei"):
        group = zarr.open_group(str(folder / name), mode="w", zarr_format=2)
        group.attrs["multiscales"] = [described]
        shape, chunks = labels.shape, (3, 10, 12)
        array = group.create_array("s0", shape=shape, chunks=chunks, dtype=labels.dtype)
        array[...] = labels


def _run_python(block: Block, names: dict[str, Any]) -> None:
    lines = "\n" * (block.line - 1)  # so that a traceback names the line of the page
    exec(compile(lines + block.code, str(block.page), "exec"), names)


def _run_session(block: Block, names: dict[str, Any]) -> None:
    """A session with its output, as in docstrings."""
    test = doctest.DocTestParser().get_doctest(block.code, {}, block.where, str(block.page), block.line)
    assert test.examples, f"{block.where}: no >>> in a session"
    test.globs = names
    said: list[str] = []
    result = doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append, clear_globs=False)
    assert result.failed == 0, "".join(said)


def _run_commands(block: Block, call: Callable[..., Any]) -> None:
    """Commands of ours are run; of make and pip it is checked that the target and the extra exist."""
    for line in block.code.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if not words:
            continue
        if words[0] == "inner-distance-gpu":
            code, out, err = call(*words[1:])
            assert code == 0, f"{block.where}: {line}\n{out}\n{err}"
        elif words[0] == "make":
            assert all(target in make_targets() for target in words[1:]), f"{block.where}: {line}"
        elif words[:2] == ["pip", "install"]:
            check_requirements(words[2:], f"{block.where}: {line}")
        else:
            raise AssertionError(f"{block.where}: nothing executes {line!r}")


def make_targets() -> set[str]:
    """What `make` takes; CI, `make test` and `make compat` run them."""
    return set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split())


def check_requirements(words: list[str], where: str) -> None:
    """The source tree or this package, with extras that exist, or packages that the extras name."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    for word in (word for word in words if not word.startswith("-")):
        match = re.fullmatch(r"(\.|inner_distance_gpu|[\w-]+)(?:\[([\w,]+)\])?(?:==[\d.]+)?", word)
        assert match, f"{where}: {word}"
        if match[1] in (".", "inner_distance_gpu"):
            assert set((match[2] or "").split(",")) <= {"", *extras}, f"{where}: {word}"
        else:
            named = " ".join([*project["dependencies"], *(part for extra in extras.values() for part in extra)])
            pinned = (ROOT / "constraints.txt").read_text(encoding="utf-8")
            assert match[1] in named + pinned, f"{where}: {word} is no package that this project names"
