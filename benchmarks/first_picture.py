"""What it takes from an empty clone to a first picture, a first own target and a first training step.

    python benchmarks/first_picture.py [--python python3]

Clones the committed state into a folder that is removed at the end, runs `make demo` without pip's cache, then two
short programs in the environment that it made. Writes benchmarks/results/demo/<date>-<commit>.json. Time by the clock
counts the download; CPU time is that of all processes together.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from records import HERE, RESULTS, machine, write

TARGET = """
import numpy as np
from inner_distance_gpu import inner_distance
labels = np.random.default_rng(0).integers(0, 3, (32, 64, 64))
assert inner_distance(labels, voxel_size=(40, 4, 4), scale=50).shape == labels.shape
"""
STEP = """
import torch
from torch.utils.data import DataLoader
from inner_distance_gpu import InnerDistanceTransform, TargetLoader
sample = {"raw": torch.rand(1, 16, 64, 64), "labels": torch.randint(0, 3, (1, 16, 64, 64))}
network = torch.nn.Conv3d(1, 1, 3, padding=1)
optimizer = torch.optim.Adam(network.parameters())
for batch in TargetLoader(DataLoader([sample], batch_size=1), InnerDistanceTransform((40, 4, 4), scale=50).keyed()):
    loss = (batch["weight"] * (network(batch["raw"]) - batch["target"]) ** 2).sum() / batch["weight"].sum()
    loss.backward()
    optimizer.step()
"""
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}


def timed(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[dict[str, float], str]:
    """Seconds by the clock and of CPU, and what the command printed; an error ends the run."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stdout[-3000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": time.perf_counter() - start, "CPU seconds": cpu}, done.stdout


def downloaded(text: str) -> float:
    """Bytes, as pip states them for each file; the size of the file where an index lies on the disk."""
    sizes = re.findall(r"Downloading \S+ \((?:[\d.]+ )?([\d.]+) (kB|MB|GB)\)", text)
    files = {Path(found) for found in re.findall(r"Processing (/\S+\.(?:whl|tar\.gz))", text)}
    there = sum(file.stat().st_size for file in files if file.is_file())
    return there + sum(float(number) * UNITS[unit] for number, unit in sizes)


def on_disk(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="python3")
    options = parser.parse_args()
    record: dict[str, Any] = {"suite": "demo", "command": "python benchmarks/first_picture.py"}
    record["machine"] = machine(os.cpu_count() or 1)
    place = Path(tempfile.mkdtemp())
    environment = os.environ | {"PIP_NO_CACHE_DIR": "1", "PIP_PROGRESS_BAR": "off", "PYTHONDONTWRITEBYTECODE": ""}
    try:
        subprocess.run(["git", "clone", "--quiet", str(HERE.parent), str(place / "clone")], check=True)
        clone = place / "clone"
        record["picture"], text = timed(["make", "demo", f"PYTHON={options.python}"], clone, environment)
        assert (clone / "demo" / "demo.png").is_file()
        record["picture"]["bytes downloaded"] = downloaded(text)
        packages = next((clone / ".venv").glob("lib/python*/site-packages"))
        record["picture"]["bytes on disk"] = on_disk(clone / ".venv") + on_disk(clone / "build")
        record["picture"]["bytes of torch"] = sum(on_disk(path) for path in packages.glob("torch*"))
        sizes = {path.name: on_disk(path) for path in packages.iterdir() if path.is_dir()}
        largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:12]
        record["bytes of packages"] = {name: sizes[name] for name in largest}
        python = str(clone / ".venv" / "bin" / "python")
        for name, code in {"target": TARGET, "step": STEP}.items():
            record[name], _ = timed([python, "-c", code], place, environment)
    finally:
        shutil.rmtree(place)
    print(record)
    print(f"written: {write(record, RESULTS / 'demo').name}")


if __name__ == "__main__":
    main()
