"""Two versions of the package side by side: a process of each interpreter, which answer one request after another."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any


class Version:
    """A benchmark program in the environment of another interpreter, waiting for requests.

    Both versions run in such a process, the newer one too: what a process costs is then the same for both.
    """

    def __init__(self, python: str, program: Path, *arguments: str) -> None:
        command = [python, str(program), "--serve", *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, **request: Any) -> Any:
        """What the program answers."""
        pipes = self._process.stdin, self._process.stdout
        assert pipes[0] is not None
        assert pipes[1] is not None
        print(json.dumps(request), file=pipes[0], flush=True)
        line = pipes[1].readline()
        if not line:
            raise RuntimeError(f"{self._process.args}: ended with {self._process.wait()}; its output is above")
        return json.loads(line)

    def __enter__(self) -> Version:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def serve(answer: Callable[..., Any]) -> None:
    """Answer requests until there are no more; what the program prints goes to stderr."""
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=answers, flush=True)


def commit_of(python: str) -> str:
    """Of the checkout that this interpreter imports the package from."""
    code = "import inner_distance_gpu as p; print(p.__file__)"
    file = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    git = ["git", "-C", str(Path(file).parent), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
