"""Fails where a file, a function or a list of arguments has grown too long; `make check` runs it.

Lines of a C++ function are counted as clang-format lays it out, from its head to its closing brace.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = next(folder for folder in Path(__file__).resolve().parents if (folder / "pyproject.toml").exists())
FOLDERS = ("inner_distance_gpu", "kernels", "tests", "benchmarks", "docs")
CPP = (".cpp", ".hpp", ".cu", ".cuh")
FILE_LINES, FUNCTION_LINES, ARGUMENTS = 300, 80, 8

# Public functions have as many keywords as their users need; the others stand for them in an engine, a trace or a test.
MANY_ARGUMENTS = {
    *("inner_distance", "balanced_weights", "plan", "write", "run", "verify", "volume", "__init__"),
    *("target", "weights", "target_and_weights", "case_of"),
}

_NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', re.DOTALL)
_TYPE = re.compile(r"(template\s*<[^{]*>\s*)?(typedef\s+)?(inline\s+)?(namespace|struct|class|union|enum|extern)\b")


def _blank(match: re.Match[str]) -> str:
    return "\n" * match[0].count("\n")


def cpp_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Head, first line and number of lines of each function; those inside another one are part of it."""
    text = re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", _blank, _NOISE.sub(_blank, text), flags=re.MULTILINE)
    scopes: list[tuple[bool, str, int]] = []  # (is a function, head, position)
    begin = 0
    for token in re.finditer(r"[{};]", text):
        inside = any(function for function, *_ in scopes)
        if token[0] == "{":
            head = text[begin : token.start()].strip()
            is_function = not inside and "(" in head and not _TYPE.match(head) and not head.endswith("=")
            scopes.append((is_function, " ".join(head.split()), begin))
        elif token[0] == "}" and scopes:
            is_function, head, start = scopes.pop()
            if is_function:
                first = start + len(text[start:]) - len(text[start:].lstrip())
                yield head, text[:first].count("\n") + 1, text[first : token.start()].count("\n") + 1
        if not inside or not any(function for function, *_ in scopes):
            begin = token.end()


def python_functions(text: str) -> Iterator[tuple[str, int, int]]:
    """Name, line and number of arguments of each function; `self` and `cls` do not count."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield node.name, node.lineno, sum(argument.arg not in ("self", "cls") for argument in given)


def complaints(path: Path, text: str) -> Iterator[str]:
    """What is too long in a file, one line each."""
    lines = text.count("\n")
    if lines > FILE_LINES:
        yield f"{path}: {lines} lines, more than {FILE_LINES}"
    if path.suffix in CPP:
        for head, line, length in cpp_functions(text):
            if length > FUNCTION_LINES:
                yield f"{path}:{line}: {length} lines, more than {FUNCTION_LINES}: {head}"
    else:
        for name, line, arguments in python_functions(text):
            if arguments > ARGUMENTS and name not in MANY_ARGUMENTS:
                yield f"{path}:{line}: {arguments} arguments, more than {ARGUMENTS}: {name}"


def main() -> int:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*")) if path.suffix in (*CPP, ".py")]
    found = [line for path in paths for line in complaints(path.relative_to(ROOT), path.read_text())]
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
