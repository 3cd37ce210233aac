"""Does every example in the README and in the docstrings run and print what it says?"""

import doctest
import importlib
import importlib.util
import pkgutil
import re
from pathlib import Path

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


def test_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 3
    names = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)


def test_volumes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "volumes.md").read_text(), re.DOTALL)
    names, run = {}, 0
    for block in blocks:
        needed = re.match(r"# needs (\w+)", block) or re.match(r"from (distributed) import", block)
        if needed is None or importlib.util.find_spec(needed[1]) is not None:
            exec(compile(block, "docs/volumes.md", "exec"), names)
            run += 1
    assert run >= 1
    assert {"labels.zarr", "target.zarr"} <= {path.name for path in tmp_path.iterdir()}


def test_readme_names_files_that_exist():
    for link in re.findall(r"\]\(([^)#]+)\)|src=\"([^\"]+)\"", (ROOT / "README.md").read_text()):
        name = "".join(link)
        if not name.startswith("http"):
            assert (ROOT / name).exists(), name
