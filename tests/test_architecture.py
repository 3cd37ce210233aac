"""Do imports run one way, from the command line down to arrays, and does a call enter few files?

Counted are the files of the package whose Python functions run between `InnerDistanceTransform.forward` and the call of
the extension module, or the first launch, in a call like one before.
"""

import ast
import sys
from pathlib import Path

import pytest
import torch
from host_launcher import HostLauncher

import inner_distance_gpu
from inner_distance_gpu import InnerDistanceTransform, engines
from inner_distance_gpu.engines import native

PACKAGE = Path(inner_distance_gpu.__file__).parent
# From the bottom up. A module imports from its own line and from those above it in this list; "" is the package itself.
LEVELS = (
    ("arrays", "labels", "parameters"),
    ("engines",),
    ("counts",),
    ("dispatch",),
    ("operators",),
    ("api",),
    ("batches",),
    ("transform",),
    ("storage", "predictors", "loader"),
    ("", "predictor", "compat"),
    ("blockwise",),
    ("cli",),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
ROOT_FILES = 12
# Names of types, which only type checkers import: what is made for a plan, a transform or a loader says so.
TYPES = {
    ("batches.ahead", "loader"),
    ("batches.keyed", "transform"),
    ("blockwise.empty_array", "blockwise.plan"),
}


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in PACKAGE.rglob("*.py")}


def imports_of(module, text, modules=MODULES):
    """Pairs (module, imported module of the package), imports inside functions and for type checkers included."""
    is_package = modules[module].name == "__init__.py"
    package = ["inner_distance_gpu", *filter(None, module.split("."))][: None if is_package else -1]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*start, *filter(None, [node.module])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            origin, names = None, [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            for found in (name, origin):
                whole, _, inside = (found or "").partition("inner_distance_gpu")
                if found and not whole and inside[:1] in ("", ".") and inside[1:] in modules:
                    yield module, inside[1:]
                    break


def circles(pairs):
    """Modules from which imports lead back to themselves."""
    reached = {}
    for start, _ in pairs:
        reached[start], todo = set(), [start]
        while todo:
            last = todo.pop()
            new = {imported for module, imported in pairs if module == last} - reached[start]
            reached[start] |= new
            todo.extend(new)
    return {module for module, there in reached.items() if module in there}


def running_up(pairs):
    return {(a, b) for a, b in pairs if LEVEL[a.split(".")[0]] < LEVEL[b.split(".")[0]]}


IMPORTS = {pair for module, path in MODULES.items() for pair in imports_of(module, path.read_text())}


def test_imports_run_one_way():
    assert {name.split(".")[0] for name in MODULES} == set(LEVEL)
    assert len(IMPORTS) > 100
    assert TYPES <= IMPORTS
    assert running_up(IMPORTS - TYPES) == set()
    assert circles(IMPORTS - TYPES) == set()


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("arrays", "def f():\n    from .transform import InnerDistanceTransform", ("arrays", "transform")),
        ("engines.cpu", "from .. import dispatch", ("engines.cpu", "dispatch")),
        ("storage.files", "import os\nfrom .. import __version__", ("storage.files", "")),
        ("labels", "import inner_distance_gpu.cli.program", ("labels", "cli.program")),
    ],
)
def test_an_import_that_runs_up_is_found(module, text, found):
    pairs = set(imports_of(module, text))
    assert pairs == running_up(pairs) == {found}


def test_a_circle_is_found():
    assert circles({("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")}) == {"a", "b", "c"}


def test_few_files_lie_at_the_root():
    files = [path.name for path in PACKAGE.iterdir() if path.is_file() and path.suffix != ".so"]
    assert len(files) <= ROOT_FILES, sorted(files)


def entered(engine, here):
    """The files that a call enters before `here`, a list, has an entry."""
    transform, labels, files = InnerDistanceTransform((40, 4, 4), 50, engine=engine), torch.eye(9).byte()[None], []
    for _ in range(2):
        transform(labels)
    here.clear()

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and not here and path.is_relative_to(PACKAGE):
            files.append(path.relative_to(PACKAGE).as_posix())

    sys.setprofile(note)
    try:
        transform(labels)
    finally:
        sys.setprofile(None)
    assert here, "the end was not reached"
    return set(files)


SHARED = {"transform.py", "arrays.py", "dispatch.py", "engines/__init__.py", "engines/memory.py", "counts.py"}


@pytest.mark.parametrize("engine", ["auto", "cpu"])
def test_files_entered_before_the_extension_module(monkeypatch, engine):
    if engines.available()["cpu"] is not None:
        pytest.skip(engines.available()["cpu"])
    here, extension = [], native.module

    class Noting:
        def __getattr__(self, name):
            here.append(name)
            return getattr(extension, name)

    monkeypatch.setattr(native, "module", Noting())
    assert entered(engine, here) == SHARED | {"engines/cpu.py"}
    assert here == ["targets_and_weights"]


def test_files_entered_before_a_launch(on_host):
    """On a host, which needs no known-answer test, and where numbers grow without a lock and an order of streams."""
    here, launcher = [], HostLauncher()
    run = launcher.run
    launcher.run = lambda *arguments: (here.append("launch"), run(*arguments))
    on_host(launcher)
    only_on_host = {"engines/cuda/self_test.py"}
    on_device_besides = {"counts.py", "engines/counting.py", "engines/cuda/launcher.py"}
    found = entered("cuda", here)
    assert found == SHARED - {"counts.py"} | only_on_host | {"engines/cuda/run.py"}
    assert len((found - only_on_host) | on_device_besides) == 9
