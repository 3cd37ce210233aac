"""TargetLoader of two versions of the package in one run: the epochs of `train_step.py`, in turn.

    python benchmarks/loader_versions.py --before PYTHON [--rounds 5] [--steps 12] [--workers 0 1 2]

PYTHON is an interpreter whose environment has the other version. Each version runs in a process of its own. A step is
first a pause, then one of a small U-Net. Writes benchmarks/results/loader_versions/<date>-<commit>.json.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import torch
from cases import half_empty
from records import RESULTS, machine, write
from train_step import UNet, check, loaders, result, timed, training
from versions import Version, commit_of, serve

ROWS = ("precomputed", "TargetLoader")
PARTS = ("pause", "train step")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="PYTHON", help="an interpreter that has the other version")
    numbers = {"rounds": 5, "steps": 12, "train-steps": 4, "warm-up": 4, "pause": 40, "batch": 2, "patch": 64}
    for name, default in (numbers | {"features": 4}).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def answering(options: argparse.Namespace) -> Any:
    """What a process of one version does: an epoch of a row. Targets are compared before the first."""
    case = half_empty(128)
    options.device = torch.device("cpu")
    steps = {"pause": lambda batch: time.sleep(options.pause / 1e3), "train step": training(options)}
    lengths = {"pause": options.steps, "train step": options.train_steps}
    compared: list[bool] = []

    def answer(part: str, row: str, workers: int) -> Any:
        options.workers, options.steps = workers, lengths[part]
        made = loaders(case, options)
        if not compared:
            check(made)
            compared.append(True)
        return timed(made[row](), steps[part], options.warm_up)

    return answer


def measured(options: argparse.Namespace, versions: dict[str, Version]) -> dict[str, Any]:
    # What is precomputed needs nothing of a version: only the newer one reads it.
    calls = {
        (part, row, workers, name): version
        for part in PARTS
        for workers in options.workers
        for row in ROWS
        for name, version in versions.items()
        if row == "TargetLoader" or name == "after"
    }
    seen: dict[Any, Any] = {call: ([], []) for call in calls}
    for i in range(options.rounds):
        for part in PARTS:
            names = [call for call in calls if call[0] == part]
            for call in names[i % len(names) :] + names[: i % len(names)]:
                waits, steps = calls[call].ask(part=part, row=call[1], workers=call[2])
                seen[call][0].append(waits)
                seen[call][1].append(steps)
    return {
        part: [
            result(f"{row}, workers: {workers}, {name}", *seen[part, row, workers, name], options.batch)
            for _, row, workers, name in (call for call in calls if call[0] == part)
        ]
        for part in PARTS
    }


def table(record: dict[str, Any]) -> str:
    lines = []
    for part in PARTS:
        lines += ["", f"{part}:", "", "| targets | samples/s | of the rounds | waiting | wait (median) |"]
        lines += ["|---|---|---|---|---|"]
        for row in record[part]:
            rates = row["samples/s of the rounds"]
            cells = [f"{row['samples/s']:.2f}", f"{min(rates):.2f}–{max(rates):.2f}"]
            cells += [f"{row['waiting share']:.1%}", f"{row['wait ms']:.1f} ms"]
            lines.append(f"| {row['row']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    given = [argument for argument in sys.argv[1:] if argument != "--serve"]
    if options.serve:
        serve(answering(options))
        return
    if options.before is None:
        raise SystemExit("--before PYTHON is needed")
    record: dict[str, Any] = {"suite": "train"}
    record["command"] = " ".join(["python benchmarks/loader_versions.py", *(Path(word).name for word in given)])
    record["machine"] = machine(torch.get_num_threads())
    record["setup"] = {"before": commit_of(options.before), "after": commit_of(sys.executable)}
    record["setup"] |= {
        "case": half_empty(128).name,
        "parameters": sum(p.numel() for p in UNet(options.features).parameters()),
    }
    record["setup"] |= {name: value for name, value in vars(options).items() if name not in ("before", "serve")}
    program = Path(__file__).resolve()
    with Version(options.before, program, *given) as before, Version(sys.executable, program, *given) as after:
        record |= measured(options, {"before": before, "after": after})
    print(table(record))
    print(f"written: {write(record, RESULTS / 'loader_versions').name}")


if __name__ == "__main__":
    main()
