"""Plants faults, one line each, in a copy of the tree, and sees whether the tests that are meant to notice do.

Run as `python tests/faults.py [--only WORDS] [--report FILE]`; `make faults` does. A fault replaces a text that occurs
once (see `Fault`); one that occurs no longer, or twice, is an error, and so is one that does not compile. The copy is
built with the host compiler at -O1; nothing outside it is changed. Exit code 1: a fault survived whose line in
`fault_list.py` does not say why no test can see it, or one that is said to be invisible was caught.
"""

import argparse
import functools
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Iterable, Sequence
from pathlib import Path

from cuda_faults import CUDA
from fault_list import KERNELS, Fault
from package_faults import PACKAGE

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
FAULTS = [*KERNELS, *CUDA, *PACKAGE]
SOURCES = {"kernels": (".cpp", ".hpp", ".cu", ".cuh"), "inner_distance_gpu": (".py",)}
# Strings and everything else that is no white space; in C++ comments are skipped.
TOKENS = {True: re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|\S'), False: re.compile(r"\S")}
LIMIT = 300  # seconds for the tests of one fault: those that then still run are caught

# Inputs that do not change from run to run.
PYTEST = """
import sys
import pytest

class Settings:
    def pytest_configure(self):
        from hypothesis import Phase, settings
        import inner_distance_gpu.engines._host as host
        assert host.__file__.startswith(sys.prefix.removesuffix("environment")), host.__file__
        settings.register_profile("faults", phases=[Phase.explicit, Phase.generate], derandomize=True, database=None)
        settings.load_profile("faults")

raise SystemExit(pytest.main(sys.argv[1:], plugins=[Settings()]))
"""


class Copy:
    """The tree, without what the tests do not need, and its engine."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.build = folder, folder / "build"
        for name in ("inner_distance_gpu", "kernels", "tests", "CMakeLists.txt", "pyproject.toml", "README.md"):
            self._take(name)
        kernels = folder / "inner_distance_gpu" / "kernels"
        if not kernels.is_symlink():
            kernels.symlink_to(folder / "kernels")
        # An environment in which the copy comes before whatever is installed, in child processes too.
        environment = folder / "environment"
        venv.create(environment, symlinks=True)
        (packages,) = environment.glob("lib/python3*/site-packages")
        (packages / "copy.pth").write_text(f"{folder}\n{sysconfig.get_path('purelib')}\n")
        self.python = environment / "bin" / "python"
        settings = ["-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O1", f"-DPython_EXECUTABLE={sys.executable}"]
        generator = ["-G", "Ninja"] if shutil.which("ninja") else []
        subprocess.run(["cmake", "-S", folder, "-B", self.build, *generator, *settings], check=True, stdout=-3)

    def _take(self, name: str) -> None:
        """Copy what differs, and only that: the rest need not be built again."""
        for path in sorted((ROOT / name).rglob("*")) or [ROOT / name]:
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".so", ".pyd"):
                to, content = self.folder / path.relative_to(ROOT), path.read_bytes()
                if path.name == "CMakeLists.txt":  # the loops at -O3 take eight times as long to compile
                    content = content.replace(b"-O3", b"-O1")
                if not to.exists() or to.read_bytes() != content:
                    to.parent.mkdir(parents=True, exist_ok=True)
                    to.write_bytes(content)

    def make(self) -> str | None:
        """Build what changed; None, or what the compiler said."""
        done = subprocess.run(["cmake", "--build", self.build], capture_output=True, text=True, check=False)
        for built in self.build.glob("_host*"):
            if built.suffix in (".so", ".pyd"):
                shutil.copy(built, self.folder / "inner_distance_gpu" / "engines")
        return None if done.returncode == 0 else done.stdout + done.stderr

    def test(self, tests: Sequence[str]) -> tuple[bool, str]:
        """Whether the tests pass, and the first that does not."""
        command = [self.python, "-c", PYTEST, "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                [*command, *tests], cwd=self.folder, capture_output=True, text=True, timeout=LIMIT, env=environment
            )
        except subprocess.TimeoutExpired:
            return False, f"still running after {LIMIT} s"
        if done.returncode == 0:
            return True, ""
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        if failed:
            return False, failed[0].split(" ")[1].removeprefix("tests/")
        if done.returncode < 0 or done.returncode > 5:
            return False, f"crash (exit code {done.returncode})"
        raise SystemExit(f"pytest cannot run {tests}: {done.stdout[-2000:]}{done.stderr[-2000:]}")


def sources(folder: Path) -> dict[Path, str]:
    """The files of a tree in which a fault can be planted, and their text."""
    found = (path for name in SOURCES for path in sorted((folder / name).rglob("*")) if path.suffix in SOURCES[name])
    return {path: path.read_text() for path in found}


@functools.cache
def squeezed(text: str, cpp: bool) -> tuple[str, list[int]]:
    """`text` without white space and the comments of C++, and where each of its characters was."""
    characters, places = [], []
    for token in TOKENS[cpp].finditer(text):
        if cpp and token[0].startswith("//"):
            continue
        for place, character in enumerate(token[0], token.start()):
            if not character.isspace():
                characters.append(character)
                places.append(place)
    return "".join(characters), places


def spans(text: str, old: str, cpp: bool) -> list[tuple[int, int]]:
    """Where `old` stands in `text`, however either is laid out."""
    (inside, places), (wanted, _) = squeezed(text, cpp), squeezed(old, cpp)
    found = (match.start() for match in re.finditer(f"(?={re.escape(wanted)})", inside))
    return [(places[at], places[at + len(wanted) - 1] + 1) for at in found]


def find(fault: Fault, texts: dict[Path, str]) -> tuple[Path, int, int]:
    """The file of a fault, and the begin and end of what it replaces there; LookupError where that is not one place."""

    def within(paths: Iterable[Path]) -> list[tuple[Path, int, int]]:
        return [(path, *span) for path in paths for span in spans(texts[path], fault.old, path.suffix != ".py")]

    places = within(path for path in texts if path.name == fault.file) or within(texts)
    if len(places) != 1:
        raise LookupError(f"{fault.file}: {fault.old!r} occurs {len(places)} times, expected once")
    return places[0]


def arguments_of(fault: Fault) -> list[str]:
    """pytest's arguments, with the path of each test file from the root."""
    paths = {path.name: str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    return [paths[argument] if argument.endswith(".py") else argument for argument in fault.tests]


def try_out(copy: Copy, fault: Fault) -> dict[str, object]:
    """One fault planted, built, tested and taken out again."""
    start, texts = time.monotonic(), sources(copy.folder)
    result: dict[str, object] = {"file": fault.file, "line": 0, "old": fault.old, "new": fault.new}
    try:
        path, begin, end = find(fault, texts)
    except LookupError as error:
        return result | {"result": "pattern not found", "by": str(error), "seconds": 0}
    before = texts[path]
    result |= {"file": str(path.relative_to(copy.folder)), "line": before[:begin].count("\n") + 1}
    try:
        path.write_text(before[:begin] + fault.new + before[end:])
        wrong = copy.make()  # also when this fault is not in it: the one before was
        if wrong is not None:
            outcome, by = "does not compile", wrong[-1500:]
        else:
            passed, by = copy.test(arguments_of(fault))
            outcome = "survived" if passed else "caught"
    finally:
        path.write_text(before)
    if outcome == "survived" and fault.invisible:
        outcome, by = "invisible", fault.invisible
    elif outcome == "caught" and fault.invisible:
        outcome, by = "caught, though said to be invisible", by
    return result | {"result": outcome, "by": by, "seconds": round(time.monotonic() - start, 1)}


def baseline(copy: Copy, faults: list[Fault]) -> None:
    """Without a fault every test passes, or nothing below means anything."""
    wrong = copy.make()
    if wrong is not None:
        raise SystemExit(f"the copy does not build:\n{wrong[-3000:]}")
    for tests in dict.fromkeys(tuple(arguments_of(fault)) for fault in faults):
        passed, by = copy.test(tests)
        if not passed:
            raise SystemExit(f"without a fault: {by}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="faults whose file or text has these words")
    parser.add_argument("--part", default="1/1", help="I/N: the I-th of N parts of the list")
    parser.add_argument("--report", type=Path, help="write the results as JSON")
    parser.add_argument("--no-baseline", action="store_true", help="do not run the tests without a fault first")
    parser.add_argument("--folder", type=Path, help="where the copy lies, to be built on by the next run")
    arguments = parser.parse_args()
    part, parts = map(int, arguments.part.split("/"))
    faults = [fault for fault in FAULTS if arguments.only in f"{fault.file} {fault.old}"][part - 1 :: parts]
    results = []
    with tempfile.TemporaryDirectory(prefix="faults-") as passing:
        copy = Copy((arguments.folder or Path(passing)).resolve())
        if arguments.no_baseline:
            copy.make()
        else:
            baseline(copy, faults)
        for fault in faults:
            result = try_out(copy, fault)
            results.append(result)
            place = f"{result['file']}:{result['line']}"
            by = f" by {result['by']}" if result["result"] == "caught" else f": {result['by']}" if result["by"] else ""
            change = " -> ".join(" ".join(text.split()) or "(nothing)" for text in (fault.old, fault.new))
            print(f"{result['result']:9} {result['seconds']:5} s  {place}  {change}{by}", flush=True)
    if arguments.report:
        arguments.report.write_text(json.dumps(results, indent=1) + "\n")
    caught, invisible = (sum(r["result"] == name for r in results) for name in ("caught", "invisible"))
    others = len(results) - caught - invisible
    print(f"{len(results)} faults: {caught} caught, {invisible} invisible for the reasons given, {others} to look at")
    return 1 if others else 0


if __name__ == "__main__":
    raise SystemExit(main())
