"""What a block costs beside its computation: CPU time, tasks, memory of the driver, and going on where a run ended.

    python benchmarks/block_cost.py [--blocks 1000 10000] [--edges 16 64] [--only threads cluster tasks memory resume]
                                    [--before PYTHON] [--under "COMMAND"]

Labels are uint8 in chunks of 64³, scale 1, Zarr format 2, not compressed. Each row is a process of its own; CPU time is
user and system time of it and of its children. `--before PYTHON` measures what another environment has installed too,
row by row before this one. `--under` is a command that each row is run under, such as `nice`, or one that waits until
the machine is quiet. Ctrl-C ends it with the rows that there are.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import records
from versions import commit_of

ROWS = ("threads", "cluster", "tasks", "memory", "resume")
PROGRAM = Path(__file__).with_name("block_rows.py")


def measure(row: str, blocks: int, edge: int, python: str, under: list[str]) -> dict[str, Any]:
    """One row, in a process of that interpreter, with the package that it imports."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*under, python, str(PROGRAM), row, str(blocks), str(edge), folder]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found = {"commit": commit_of(python), "row": row, "blocks": blocks, "edge": edge}
    found |= json.loads(done.stdout.splitlines()[-1])
    print(json.dumps(found), flush=True)
    return found


def _named(argument: str) -> str:
    """An option as it was given, but for where programs lie on this machine."""
    return Path(argument).name if argument.startswith("/") else argument


def wanted(rows: list[str], blocks: list[int], edges: list[int]) -> list[tuple[str, int, int]]:
    """What is measured: rows with their blocks and edges, small ones first."""
    found = []
    for row in ("tasks", "memory"):
        found += [(row, n, 16) for n in (1000, 100_000) if row in rows]
    if "resume" in rows:
        found.append(("resume", 100_000, 16))
    timed = [row for row in ("threads", "cluster") if row in rows]
    return found + [(row, n, edge) for n in blocks for edge in edges for row in timed]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--edges", type=int, nargs="+", default=[16, 64])
    parser.add_argument("--only", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--before", help="the interpreter of another environment, to be measured beside this one")
    parser.add_argument("--under", default="", help="a command that each row is run under")
    given = parser.parse_args()
    rows = []
    pythons = [sys.executable] if given.before is None else [given.before, sys.executable]
    with contextlib.suppress(KeyboardInterrupt):
        for row, blocks, edge in wanted(given.only, given.blocks, given.edges):
            for python in pythons:
                try:
                    rows.append(measure(row, blocks, edge, python, shlex.split(given.under)))
                except subprocess.CalledProcessError as error:  # such as one that took too long; the others count
                    print(f"{row}, {blocks} blocks of {edge}: exit code {error.returncode}", file=sys.stderr)
    result = {
        "suite": "block cost",
        "command": shlex.join(["python", "benchmarks/block_cost.py", *map(_named, sys.argv[1:])]),
        "machine": records.machine(2) | {"commit": commit_of(sys.executable)},
        "rows": rows,
    }
    print(records.write(result, records.RESULTS, "-block-cost"))


if __name__ == "__main__":
    main()
