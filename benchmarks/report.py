"""The tables and figures of a recorded run.

    python benchmarks/report.py [RESULT.json]     the newest one by default

Prints Markdown; writes <RESULT>-size.svg, -ratios.svg and -growth.svg beside the JSON where matplotlib is installed.
`quote.py` puts the same tables and figures on the pages.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

RESULTS = Path(__file__).parent / "results"
ROWS = ["cpu", "edt(x) - edt(x == 0)", "edt on the doubled grid", "frozen reference"]
Record = dict[str, Any]

# Who gains: rows of theirs, the first that is there; ours that returns the same kind of result; what differs.
GAINS = {
    "DaCapo": (
        ("DaCapo, target + weight", "DaCapo's algorithm, target + weight"),
        "cpu, target + weight",
        "the result is the same: sites on faces, world units, equal weights",
    ),
    "dacapo-toolbox": (
        ("dacapo-toolbox, target + weight",),
        "cpu, signed target + weight",
        "distances go to voxel centres, in voxels, not in world units; weights take no ids and no moving counts",
    ),
    "MONAI": (
        ("MONAI",),
        "cpu",
        "distances go to voxel centres; objects that touch are one object; there are no weights",
    ),
}
# The same algorithm as DaCapo's row, without weights: it has times of its own, but no second × beside that one.
AGAIN = {"frozen reference": "SciPy on the doubled grid"}
OURS = {name: ours for theirs, ours, _ in GAINS.values() for name in theirs}


def by_case(rows: list[Record]) -> dict[str, dict[str, Record]]:
    """Case -> row -> its entry. Older records name a case by a rounded share and hold volumes that nobody can make."""
    cases: dict[str, dict[str, Record]] = {}
    for row in rows:
        percent = 100 * row["foreground"]
        share = f"{percent:.0f} %" if percent >= 10 else f"{percent:.1f} %"
        name = re.sub(r"[\d.]+ %", share, row["case"])
        if not name.startswith("EM ") and row["row"] != "prototype":
            cases.setdefault(name, {})[row["row"]] = row
    return cases


def by_row(rows: list[Record]) -> dict[str, dict[int, Record]]:
    """Row -> voxels per axis -> its entry."""
    found: dict[str, dict[int, Record]] = {}
    for row in rows:
        found.setdefault(row["row"], {})[row["shape"][0]] = row
    return found


def three(value: float) -> str:
    """Three digits, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def quartiles(row: Record) -> list[float]:
    """First quartile, median and third quartile of the rounds, ms."""
    return [float(q) for q in np.quantile(row["ms"], (0.25, 0.5, 0.75))]


def times_base(row: Record, base: Record) -> list[float]:
    """How many times longer than the base: the quotient of the medians, between those of opposite quartiles.

    It lies between them whatever the rounds were, and the quotient of two times in a table is the one beside them.
    """
    (low, middle, high), (least, half, most) = quartiles(row), quartiles(base)
    return [1.0, 1.0, 1.0] if row is base else [low / most, middle / half, high / least]


def milliseconds(row: Record | None, spread: bool = False) -> str:
    if row is None:
        return ""
    low, middle, high = quartiles(row)
    return f"{three(middle)} ms" + f" ({three(low)}–{three(high)})" * spread


def ratio(row: Record | None, base: Record) -> str:
    if row is None:
        return ""
    low, middle, high = times_base(row, base)
    return "1.00×" if row is base else f"{three(middle)}× ({three(low)}–{three(high)})"


def beside(row: Record | None, base: Record) -> str:
    """Milliseconds, and × the base."""
    if row is None or row["row"] in AGAIN:
        return milliseconds(row)
    return f"{milliseconds(row)}, {ratio(row, base)}"


def where(record: Record) -> str:
    machine = record["machine"]
    device = f"{machine['device']}, " if "device" in machine else ""
    return (
        f"{device}{machine['cpu']}, {machine['threads']} threads, {machine['simd']}, load {machine['load']:.1f} at the "
        f"start, copies at {machine['copy GB/s']:.0f} GB/s; {machine['date'][:10]}, commit {machine['commit']}."
    )


def lines(header: str, rows: Iterator[list[str]]) -> Iterator[str]:
    """A Markdown table; `header` has its cells between bars."""
    yield f"| {header} |"
    yield "|---" * (header.count("|") + 1) + "|"
    for cells in rows:
        yield "| " + " | ".join(cells) + " |"


def difference(off: float) -> str:
    return f"{off:.1g}" if off < 1e-3 else f"{off:.3f}"


def counterpart(name: str, rows: dict[str, dict[int, Record]]) -> str:
    """The row of this package that returns the same kind of result; the first row where a record has none."""
    ours = OURS.get(name)
    return ours if ours in rows else next(iter(rows))


def size_table(record: Record) -> Iterator[str]:
    """Medians against size; how many times its counterpart of this package a row takes, at its largest size."""
    rows = by_row(record["against size"])
    sizes = sorted({n for entries in rows.values() for n in entries})

    def cells() -> Iterator[list[str]]:
        for name, entries in rows.items():
            n = max(entries)
            package = f" ({entries[n]['package']})" if entries[n]["package"] else ""
            off = max(entry["largest difference"] for entry in entries.values())
            distance = "same" if entries[n]["same distance"] else entries[n]["differs"]
            found = [milliseconds(entries.get(size)) for size in sizes]
            compared = rows[counterpart(name, rows)][n]
            times = "" if name in AGAIN else ratio(entries[n], compared)
            yield [f"{AGAIN.get(name, name)}{package}", times, *found, distance, difference(off)]

    columns = " | ".join(f"{n}³" for n in sizes)
    yield from lines(f"half-empty blobs, new memory | × | {columns} | distance | Δ at most", cells())


def gains(record: Record) -> Iterator[tuple[str, str, Record, Record, str]]:
    """(user, their row, its entry, ours, what differs) at the largest size that their row has."""
    rows = by_row(record["against size"])
    for user, (theirs, ours, differs) in GAINS.items():
        name = next((name for name in theirs if name in rows), None)
        if name is not None:
            n = max(rows[name])
            yield user, name, rows[name][n], rows[ours][n], differs


def gains_table(record: Record) -> Iterator[str]:
    """What a user of each gains: their way to a target (and weight) and ours, on the same labels."""
    peaks = record.get("peak bytes per voxel", {})

    def cells() -> Iterator[list[str]]:
        for user, name, their, our, _ in gains(record):
            known = {name, our["row"]} <= peaks.keys()
            memory = f"{peaks[name]:.0f} B → {peaks[our['row']]:.0f} B" if known else ""
            both = [milliseconds(row, spread=True) for row in (their, our)]
            off = difference(their["largest difference"])
            yield [user, ratio(their, our), *both, memory, off]

    yield from lines("a user of | × | their time | this package | memory per voxel | Δ at most", cells())
    yield from ["", "What is called, and what differs in its result:", ""]
    for user, name, their, _, differs in gains(record):
        yield f"- {user}: {name}, on {their['shape'][0]}³. {differs[0].upper()}{differs[1:]}."


def speed_table(record: Record) -> Iterator[str]:
    """Engine `cpu` by share of foreground and voxel size, beside the peers that join in."""

    def cells() -> Iterator[list[str]]:
        for name, rows in by_case(record["speed"]).items():
            cpu = rows["cpu"]
            yield [name, milliseconds(cpu, spread=True), *rate(cpu), *extras(rows)]

    peers = " | ".join(AGAIN.get(name, name) for name in ROWS[1:])
    yield from lines(f"case | `cpu` with `out=` | Mvoxel/s | GB/s | new memory | target + weight | {peers}", cells())


def rate(row: Record) -> list[str]:
    seconds, voxels = quartiles(row)[1] / 1e3, np.prod(row["shape"])
    return [f"{voxels / seconds / 1e6:.0f}", f"{row['bytes'] / seconds / 1e9:.1f}"]


def extras(rows: dict[str, Record]) -> Iterator[str]:
    for name in ("cpu, new memory", "cpu, target + weight"):
        yield milliseconds(rows[name])
    for name in ROWS[1:]:
        yield beside(rows.get(name), rows["cpu"])


def growth_table(record: Record) -> Iterator[str]:
    names = next(iter(record["growth"]), {"ns per voxel": ("small", "large")})["ns per voxel"]
    rows = ([row["case"], *(f"{ns:.2f} ns" for ns in row["ns per voxel"].values())] for row in record["growth"])
    growths = (f"{row['growth']:.2f}×" for row in record["growth"])
    header = "growth with `out=` | " + " | ".join(names) + " | per voxel"
    yield from lines(header, ([*cells, growth] for cells, growth in zip(rows, growths, strict=True)))


def table(record: Record) -> str:
    text = [where(record)]
    if "against size" in record:
        text += ["", *size_table(record)]
        text += [f"\n{name} failed: {reason}" for name, reason in record.get("failed", {}).items()]
        if record["suite"] == "cpu":
            text += ["", *gains_table(record)]
    if record["suite"] == "cpu":
        text += ["", *speed_table(record), "", *growth_table(record)]
        peaks = record["peak scratch bytes per voxel at 256³"]
        scratch = ", ".join(f"{name}: {size} B" for name, size in peaks.items())
        told = f" Peak scratch per voxel at 256³: {scratch}." if scratch else ""
        text += ["", f"A single voxel: {record['single voxel µs']:.0f} µs.{told}"]
    return "\n".join(text)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else max(RESULTS.glob("*.json"), key=lambda p: p.stat().st_mtime)
    record = json.loads(path.read_text())
    if record["suite"] not in ("cpu", "gpu peers"):
        raise SystemExit(f"{path.name} is of suite {record['suite']}, whose own program makes its tables")
    print(table(record))
    try:
        import plots
    except ImportError:
        print("\nno figures: matplotlib is not installed", file=sys.stderr)
        return
    for name, canvas in plots.figures(record):
        plots.save(canvas, path.with_name(f"{path.stem}-{name}.svg"))


if __name__ == "__main__":
    main()
