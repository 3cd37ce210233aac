"""Time the engines and what else there is side by side: checked first, then interleaved rounds in one process.

    python benchmarks/run.py [--suite cpu] [--quick] [--em FILE.npz] [--prototype FILE.cpp] [--rounds 10] [--only TEXT]
    python benchmarks/run.py --suite gpu|train|volume|classes [--quick] [options of that suite's program]

Writes benchmarks/results/<date>-<commit>.json as schema.json describes it; benchmarks/report.py makes tables and
figures from it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from memory import peak_bytes, peak_bytes_of_rows
from peers import DEVICE_PEERS
from records import HERE, RESULTS, as_text, complete, machine, write
from report import GAINS
from sections import Plan, time_against_size, time_growth, time_single_voxel, time_speed

__all__ = ["as_text", "machine"]  # for the other suites

SCRIPTS = {"gpu": "gpu_visit.py", "train": "train_step.py", "volume": "volume.py", "classes": "classes.py"}
QUICK = {"rounds": 3, "sizes": (64, 128), "slow": (64,), "growth": (48, 96), "memory": False}
TINY = {"rounds": 1, "sizes": (17,), "volumes": (16, 17), "slow": (17,), "growth": (8, 16), "memory": False}


def said_command() -> str:
    """The command as it was given, files without their folders."""
    return " ".join(["python benchmarks/run.py", *(Path(argument).name for argument in sys.argv[1:])])


def cpu_suite(plan: Plan) -> dict[str, Any]:
    record: dict[str, Any] = {"suite": "cpu", "command": said_command(), "machine": machine(plan.threads)}
    record |= time_against_size(plan, "cpu")
    record["speed"] = time_speed(plan)
    record["growth"] = time_growth(plan)
    record["single voxel µs"] = time_single_voxel(plan.threads, 200 * plan.rounds)
    record["peak scratch bytes per voxel at 256³"] = peak_bytes(plan.threads) if plan.memory else {}
    record["peak bytes per voxel"] = peaks_of(record["against size"], plan) if plan.memory else {}
    print(f"single voxel {record['single voxel µs']:.1f} µs; scratch {record['peak scratch bytes per voxel at 256³']}")
    return record


def peaks_of(rows: list[dict[str, Any]], plan: Plan) -> dict[str, float]:
    """Of the rows that the table of gains compares."""
    wanted = {name for theirs, ours, _ in GAINS.values() for name in (*theirs, ours)}
    names = [name for name in dict.fromkeys(row["row"] for row in rows) if name in wanted]
    return peak_bytes_of_rows(names, plan.threads)


def peers_on_device(plan: Plan) -> dict[str, Any]:
    """What `gpu_visit.py` leaves out: other packages on CUDA tensors."""
    record: dict[str, Any] = {"suite": "gpu peers", "command": said_command(), "machine": machine(plan.threads)}
    record["machine"]["device"] = torch.cuda.get_device_name()
    return record | time_against_size(plan, "cuda", DEVICE_PEERS)


def run_script(suite: str, quick: bool, results: Path, rest: list[str]) -> int:
    """Run another suite's program, and complete the records that it wrote."""
    script = HERE / SCRIPTS[suite]
    if not script.exists():
        print(f"suite {suite}: there is no {script.name} in {HERE.name}/", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder:
        if suite == "gpu":
            rest = ["--out", str(results / f"gpu-{time.strftime('%Y-%m-%d')}.json"), *["--quick"] * quick, *rest]
        elif suite == "train" and quick:
            rest = ["--rounds", "1", "--steps", "5", *rest]
        elif suite == "volume" and quick:
            rest = ["--size", "256", "--folder", str(Path(folder) / "volume"), *rest]
        elif suite == "classes" and quick:
            rest = ["--rounds", "3", *rest]
        before = {path: path.stat().st_mtime_ns for path in RESULTS.rglob("*.json")}
        code = subprocess.run([sys.executable, str(script), *rest], check=False).returncode
    for path in {*RESULTS.rglob("*.json"), *results.rglob("*.json")}:
        if path.stat().st_mtime_ns != before.get(path):
            complete(path, suite, said_command())
    return code


def arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", choices=("cpu", *SCRIPTS), default="cpu")
    parser.add_argument("--quick", action="store_true", help="64³ and 128³, few rounds: 3 minutes on 2 cores")
    parser.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)  # the suite's own test
    parser.add_argument("--em", help="an .npz with an instance segmentation as its first array, voxel size 40×32×32")
    parser.add_argument("--prototype", help="C++ source of another half-grid transform to compile and time")
    parser.add_argument("--rounds", type=int, help="of rows that take 0.1 to 1 s (10); fast rows get 3 times as many")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the JSON")
    return parser.parse_known_args()


def main() -> int:
    options, rest = arguments()
    few = TINY if options.tiny else QUICK if options.quick else {"rounds": 10}
    given = {name: getattr(options, name) for name in ("threads", "em", "prototype", "only")}
    plan = Plan(**few | given | ({"rounds": options.rounds} if options.rounds else {}))
    if options.suite == "cpu":
        if rest:
            raise SystemExit(f"unknown options {rest}")
        path = write(cpu_suite(plan), options.results)
    else:
        forwarded = [f"--{name}={getattr(options, name)}" for name in ("em", "rounds") if getattr(options, name)]
        code = run_script(options.suite, options.quick, options.results, [*forwarded, *rest])
        if code or options.suite != "gpu":
            return code
        path = write(peers_on_device(plan), options.results, "-gpu-peers")
    print(f"written: {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
