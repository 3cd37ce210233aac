"""Execute the tutorial, and record what it prints and draws and how the scores spread over seeds.

python docs/tutorial/record.py         outputs.json and the pictures beside it, as they are in the page
python docs/tutorial/record.py 0 1 2   also spread.json, with rows for these seeds

A seed takes more than a minute of one core. Seed 0 is that of the page.
"""

from __future__ import annotations

import contextlib
import io
import json
import platform
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import cells
import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
import skimage
import torch

FOLDER = Path(__file__).parent


def run(instead: dict[str, Any] | None = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """The names that the tutorial defines, and what each code cell printed and drew, by checksum.

    `instead` replaces the values of constants.
    """
    names: dict[str, Any] = {"__name__": cells.NAME}
    outputs: dict[str, Any] = {}
    for cell in cells.cells():
        if cell.cell_type != "code":
            continue
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), mock.patch.object(plt, "show"):
            exec(compile(_changed(cell.source, instead or {}), f"{cells.NAME}.py", "exec"), names)
        outputs[cells.checksum(cell.source)] = {"text": printed.getvalue(), "figures": _figures()}
    return names, outputs


def _changed(code: str, instead: dict[str, Any]) -> str:
    for name, value in instead.items():
        lines = [f"{name} = {value!r}" if line.startswith(f"{name} = ") else line for line in code.split("\n")]
        code = "\n".join(lines)
    return code


def _figures() -> list[Any]:
    figures = [plt.figure(number) for number in plt.get_fignums()]
    plt.close("all")
    return figures


def record(outputs: dict[str, Any]) -> None:
    """Write outputs.json and the pictures."""
    for number, (code, output) in enumerate(outputs.items()):
        figures = output.pop("figures")
        output["pictures"] = [f"{cells.NAME}-{number}-{i}.png" for i in range(len(figures))]
        for figure, name in zip(figures, output["pictures"], strict=True):
            figure.savefig(FOLDER / name, dpi=80, metadata={"Software": None})
        outputs[code] = {name: value for name, value in output.items() if value}
    write("outputs.json", {"machine": machine(), "cells": {code: output for code, output in outputs.items() if output}})


def scored(names: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """A row for each way to objects."""
    rows = []
    for way, objects in names["ways"].items():
        at_half, at_three_quarters = names["scores"](names["test_labels"], objects)
        row = {"held out": "left", "seed": seed, "way": way, "nuclei": names["count"](names["test_labels"])}
        row |= {"objects": names["count"](objects), "AP 0.5": at_half, "AP 0.75": at_three_quarters}
        rows.append(row | {"seconds": [round(names[seconds], 1) for seconds in ("seconds", "plain_seconds")]})
    return rows


def keep(names: dict[str, Any], seed: int, rows: list[dict[str, Any]]) -> None:
    """Write spread.json with these rows for the seed, and those of other seeds as they are."""
    path = FOLDER / "spread.json"
    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    others = [row for row in before if row["seed"] != seed]
    ordered = sorted(others + rows, key=lambda row: row["seed"])
    write("spread.json", {"machine": machine(), "steps": names["STEPS"], "depth": names["depth"], "rows": ordered})


def machine() -> dict[str, str]:
    versions = {"python": platform.python_version(), "torch": torch.__version__, "scikit-image": skimage.__version__}
    return {"processor": platform.machine(), "threads": "1", **versions}


def write(name: str, content: Any) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (FOLDER / name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    given = [int(seed) for seed in sys.argv[1:]]
    for number in given or [0]:
        defined, made = run({"SEED": number})
        if number == 0:
            record(made)
        if given:
            keep(defined, number, scored(defined, number))
