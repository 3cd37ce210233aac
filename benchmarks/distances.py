"""How does time grow with the distance? Engine `cpu` at every SIMD level beside one transform of `edt`.

    python benchmarks/distances.py [--rounds 5] [--em FILE.npz] [--only TEXT]
    python benchmarks/distances.py --draw RESULT.json

Volumes are Voronoi cells of random points: 24 × 48 × 384 uint8 labels, none of them background, with cells of several
sizes, two voxel sizes and three seeds; a face lies at the middle of one side, however large they are. Targets in world
units, on one thread. Rounds are interleaved; times are CPU time of the process, because `edt` computes in a thread of
its own. The levels are first compared with one another, bit for bit, and with `edt`, which measures to the nearest
voxel outside: at most half a voxel farther. Writes benchmarks/results/distances/<date>-<commit>.json and, where
matplotlib is installed, a figure beside it.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cases import Case, cells, emptied, instances
from edt import edt
from records import RESULTS, machine, write

from inner_distance_gpu.engines import cpu, native
from inner_distance_gpu.parameters import TargetParameters

MEANS = (4, 8, 16, 32, 64, 128)  # wanted: the cells of the largest do not fit into the volume
VOXELS = ((8.0, 8.0, 8.0), (40.0, 8.0, 8.0))
SEEDS = (11, 12, 13)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--em", metavar="FILE", help="an instance segmentation with voxels of 40 × 32 × 32")
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument("--draw", metavar="FILE", type=Path, help="only the figure of a record")
    return parser.parse_args()


def volumes(em: str | None) -> Iterator[Case]:
    """Voronoi cells, then instances, then the worst cases."""
    for voxel_size in VOXELS:
        for mean in MEANS:
            for seed in SEEDS:
                name = f"cells {mean} {'×'.join(f'{size:g}' for size in voxel_size)} seed {seed}"
                yield Case(name, cells((24, 48, 384), voxel_size, mean, seed), voxel_size, None)
    if em is not None:
        yield from instances(em)
    for what in ("voxel", "line", "plane"):
        yield Case(f"background {what}", emptied(128, what), (8, 8, 8), None)


def rows(case: Case) -> tuple[dict[str, Callable[[], Any]], float]:
    """Name -> call, and the mean distance in voxels; the levels are compared with one another and with `edt`."""
    parameters = TargetParameters.checked(case.voxel_size, case.scale, "zero", "extent", None, 0.0)
    element, calls, results = native.element_format(case.labels.dtype, None), {}, []
    for level in native.module.levels():
        out, task = np.empty(case.labels.shape, np.float32), cpu._task(parameters, level)

        def call(task: Any = task, out: Any = out) -> Any:
            native.module.targets(task, case.labels, element, out, 1)
            return out

        calls[f"cpu, {level}"] = call
        results.append(call())
        assert results[-1].tobytes() == results[0].tobytes(), (case.name, level)
    calls["edt"] = lambda: edt(case.labels, anisotropy=case.voxel_size, parallel=1)
    there = calls["edt"]()
    if case.scale is None:
        off = np.abs(there - results[0])
        assert off.max() <= max(case.voxel_size) / 2 * 1.0001, (case.name, off.max())
    return calls, float(there.mean()) / min(case.voxel_size)


def measured(case: Case, rounds: int) -> Iterator[dict[str, Any]]:
    calls, mean = rows(case)
    times: dict[str, list[float]] = {name: [] for name in calls}
    order = list(calls)
    for i in range(rounds):
        for name in order[i % len(order) :] + order[: i % len(order)]:
            start = time.process_time()
            calls[name]()
            times[name].append((time.process_time() - start) * 1e3)
    for name, ms in times.items():
        ratios = np.asarray(times["edt"]) / ms
        yield {
            "case": case.name,
            "row": name,
            "shape": list(case.labels.shape),
            "mean distance": round(mean, 2),
            "CPU ms": [round(t, 4) for t in ms],
            "edt over this": min(times["edt"]) / min(ms),
            "quartiles": [float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75))],
        }


def draw(path: Path) -> None:
    """Nanoseconds per voxel against the mean distance in voxels, one panel for each voxel size."""
    import plots
    from matplotlib.figure import Figure

    record = json.loads(path.read_text())
    canvas = Figure(figsize=(9, 4), layout="constrained")
    for axes, voxel_size in zip(canvas.subplots(1, 2, sharey=True), ("8×8×8", "40×8×8"), strict=True):
        found = [row for row in record["rows"] if row["case"].startswith("cells") and f" {voxel_size} " in row["case"]]
        for number, name in enumerate(dict.fromkeys(row["row"] for row in found)):
            points = sorted(
                (row["mean distance"], min(row["CPU ms"]) * 1e6 / np.prod(row["shape"]))
                for row in found
                if row["row"] == name
            )
            colour = plots.OTHER if name == "edt" else plots.OURS
            axes.plot(*zip(*points, strict=True), plots.MARKERS[number], color=colour, markersize=5, label=name)
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(plots.FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("mean distance to the nearest voxel outside, voxels")
        axes.set_title(f"voxel size {voxel_size}", fontsize=9)
        axes.set_ylim(bottom=0)
        axes.grid(True, linewidth=0.4)
        axes.legend(fontsize=8)
        if voxel_size == "8×8×8":
            axes.set_ylabel("ns of CPU time per voxel, one thread")
    plots.save(canvas, path.with_suffix(".svg"))


def main() -> None:
    options = arguments()
    if options.draw:
        draw(options.draw)
        return
    words = [Path(word).name for word in sys.argv[1:]]
    record: dict[str, Any] = {"suite": "distances", "command": " ".join(["python benchmarks/distances.py", *words])}
    record["machine"] = machine(1)
    record["rows"] = []
    for case in volumes(options.em):
        if options.only in case.name:
            for row in measured(case, options.rounds):
                record["rows"].append(row)
                print(
                    f"{row['case']:32s} {row['row']:14s} {min(row['CPU ms']):8.2f} ms {row['edt over this']:6.2f}×",
                    flush=True,
                )
    path = write(record, RESULTS / "distances")
    print(f"written: {path.name}")
    try:
        draw(path)
    except ImportError:
        print("no figure: matplotlib is not installed", file=sys.stderr)


if __name__ == "__main__":
    main()
