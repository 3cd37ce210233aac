"""What a call that counts costs, and what two threads gain, in two versions of the package in one run.

    python benchmarks/counts_threads.py --before PYTHON [--rounds 60]

PYTHON is an interpreter whose environment has the other version; without `--before` only this version is measured.
A call is that of one `InnerDistanceTransform` with weights, on uint8 labels in NumPy. Two threads call the same
transform, each with `threads=1`. Writes benchmarks/results/counts_threads/<date>-<commit>.json.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from records import RESULTS, machine, write
from versions import Version, commit_of, serve

from inner_distance_gpu import InnerDistanceTransform
from inner_distance_gpu.cli.comparison import blobs

# Name -> threads that call, edge of the cubes in voxels, calls of each thread per round.
ROWS = {
    "one thread, 1³": (1, 1, 400),
    "one thread, 16³": (1, 16, 400),
    "two threads, 16³": (2, 16, 400),
    "one thread, 64³": (1, 64, 40),
    "two threads, 64³": (2, 64, 40),
    "one thread, 128³": (1, 128, 8),
    "two threads, 128³": (2, 128, 8),
}


def answering() -> Callable[..., tuple[float, float]]:
    """What a process of one version does: a row's calls, in seconds by the clock and of all threads' CPU time."""
    transforms = {row: InnerDistanceTransform((8, 8, 8), 50, threads=1) for row in ROWS}
    labels = {edge: blobs(edge, 0) if edge > 1 else np.ones((1, 1, 1), np.uint8) for _, edge, _ in ROWS.values()}

    def answer(row: str) -> tuple[float, float]:
        count, edge, calls = ROWS[row]
        transform, volume = transforms[row], labels[edge]
        ready = threading.Barrier(count + 1)

        def work() -> None:
            ready.wait()
            for _ in range(calls):
                transform(volume)

        if count == 1:
            used, start = time.process_time(), time.perf_counter()
            for _ in range(calls):
                transform(volume)
            return time.perf_counter() - start, time.process_time() - used
        threads = [threading.Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        ready.wait()
        used, start = time.process_time(), time.perf_counter()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start, time.process_time() - used

    return answer


def row_of(row: str, version: str, seconds: list[tuple[float, float]]) -> dict[str, Any]:
    count, edge, calls = ROWS[row]
    per_call, used = np.asarray(seconds).T / (count * calls) * 1e6
    return {
        "row": row,
        "version": version,
        "threads": count,
        "edge": edge,
        "µs per call": float(per_call.min()),
        "µs per call, median": float(np.median(per_call)),
        "CPU µs per call": float(used.min()),
        "CPU µs per call, median": float(np.median(used)),
        "µs per call of the rounds": [round(float(us), 3) for us in per_call],
    }


def gains(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls per second of two threads over those of one: of the least times, and quartiles within the rounds."""
    found = {(row["version"], row["edge"], row["threads"]): row for row in rows}
    made = []
    for (version, edge, threads), two in found.items():
        if threads == 2:
            one = found[version, edge, 1]
            within = np.asarray(one["µs per call of the rounds"]) / np.asarray(two["µs per call of the rounds"])
            quartiles = [float(q) for q in np.quantile(within, (0.25, 0.5, 0.75))]
            ratio = one["µs per call"] / two["µs per call"]
            made.append({"version": version, "edge": edge, "two threads over one": ratio, "quartiles": quartiles})
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", metavar="PYTHON", help="an interpreter that has the other version")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(answering())
        return
    pythons = {"before": options.before} if options.before else {}
    pythons["after"] = sys.executable
    words = [Path(word).name for word in sys.argv[1:]]
    record: dict[str, Any] = {"suite": "counts", "command": " ".join(["python benchmarks/counts_threads.py", *words])}
    record["machine"] = machine(torch.get_num_threads())
    record["commits"] = {version: commit_of(python) for version, python in pythons.items()}
    seen: dict[tuple[str, str], list[tuple[float, float]]] = {(row, version): [] for row in ROWS for version in pythons}
    with contextlib.ExitStack() as stack:
        versions = {name: stack.enter_context(Version(python, Path(__file__))) for name, python in pythons.items()}
        names = list(seen)
        for i in range(-2, options.rounds):
            for row, version in names[i % len(names) :] + names[: i % len(names)]:
                seconds = versions[version].ask(row=row)
                if i >= 0:
                    seen[row, version].append(seconds)
    record["rows"] = [row_of(row, version, seconds) for (row, version), seconds in seen.items()]
    record["two threads"] = gains(record["rows"])
    for row in record["rows"]:
        times = [row[f"{clock}µs per call{which}"] for clock in ("", "CPU ") for which in ("", ", median")]
        least, median, used, used_median = times
        print(
            f"{row['row']}, {row['version']}: {least:.1f} µs, median {median:.1f}; "
            f"CPU {used:.1f} µs, median {used_median:.1f}"
        )
    for gain in record["two threads"]:
        low, _, high = gain["quartiles"]
        print(f"{gain['version']}, {gain['edge']}³: {gain['two threads over one']:.2f} × ({low:.2f}–{high:.2f})")
    print(f"written: {write(record, RESULTS / 'counts_threads').name}")


if __name__ == "__main__":
    main()
