"""What a run leaves behind: JSON with the machine it ran on, as `schema.json` describes it.

python benchmarks/records.py [RESULT.json …]    check records; all in results/ by default
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from cases import Case
from memory import copy_bandwidth

from inner_distance_gpu.cli.comparison import processor
from inner_distance_gpu.cli.timing import Timing

HERE = Path(__file__).parent
RESULTS = HERE / "results"


def machine(threads: int) -> dict[str, Any]:
    git = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--abbrev=10", "--exclude=*"]
    from inner_distance_gpu.engines import native

    return {
        "cpu": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "simd": native.module.levels()[0] if native.module else None,
        "load": os.getloadavg()[0],
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in ("numpy", "scipy", "torch", "inner_distance_gpu")},
        "commit": subprocess.run(git, capture_output=True, text=True).stdout.strip(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "copy GB/s": copy_bandwidth(),
    }


def row(case: Case, name: str, timing: Timing) -> dict[str, Any]:
    """One line of a record: what was timed, and how long it took in every round."""
    voxels, moved = case.labels.size, case.labels.nbytes + 4 * case.labels.size
    return {
        "case": case.name,
        "row": name,
        "shape": case.labels.shape,
        "voxel_size": case.voxel_size,
        "scale": case.scale,
        "dtype": str(case.labels.dtype),
        "foreground": float((case.labels != 0).mean()),
        "ms": [round(s * 1e3, 4) for s in timing.seconds],
        "ratio": timing.ratio,
        "ratio quartiles": timing.quartiles,
        "ns per voxel": timing.best / voxels * 1e9,
        "Mvoxel/s": voxels / timing.best / 1e6,
        "bytes": moved,
        "GB/s": moved / timing.best / 1e9,
    }


def as_text(record: dict[str, Any]) -> str:
    """JSON with one line per row, so that two runs can be compared as text."""
    parts = []
    for key, value in record.items():
        if isinstance(value, list):
            rows_text = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f"{json.dumps(key)}: [\n  {rows_text}\n ]")
        else:
            parts.append(f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def name_of(record: dict[str, Any], what: str = "") -> str:
    """<date>-<commit><what>: what the files of a run are called."""
    return f"{record['machine']['date'][:10]}-{record['machine']['commit'].removesuffix('-dirty')}{what}"


def write(record: dict[str, Any], folder: Path, what: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name_of(record, what)}.json"
    path.write_text(as_text(record))
    return path


def complete(path: Path, suite: str, command: str) -> None:
    """Say in a record that another program wrote which suite it belongs to, and by which command, if it does not."""
    record = json.loads(path.read_text())
    if not {"suite", "command"} <= record.keys():
        path.write_text(as_text({"suite": suite, "command": command} | record))


def errors(record: dict[str, Any]) -> list[str]:
    """Where a record is not as the schema says."""
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(json.loads((HERE / "schema.json").read_text()))
    return [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(record)]


def suite_of(record: dict[str, Any]) -> str:
    """By what only records of that suite hold."""
    marks = {"train": {"pause", "train step"}, "gpu": {"cases"}, "volume": {"voxels that differ"}}
    return next((suite for suite, keys in marks.items() if keys & record.keys()), "cpu")


def main() -> int:
    names = [name for name in sys.argv[1:] if name != "--complete"]
    paths = [Path(name) for name in names] or sorted(RESULTS.rglob("*.json"))
    if "--complete" in sys.argv:
        for path in paths:
            suite = suite_of(json.loads(path.read_text()))
            complete(path, suite, f"python benchmarks/run.py --suite {suite}")
    found = {path: errors(json.loads(path.read_text())) for path in paths}
    for path, wrong in found.items():
        print(f"{path.name}: {'; '.join(wrong) or 'as the schema says'}")
    return int(any(found.values()))


if __name__ == "__main__":
    sys.exit(main())
