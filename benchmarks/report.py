"""The tables and figures of a recorded run.

    python benchmarks/report.py [RESULT.json]     the newest one by default

Prints Markdown; writes <RESULT>-size.svg, -ratios.svg and -growth.svg beside the JSON where matplotlib is installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROWS = ["cpu", "prototype", "edt(x) - edt(x == 0)", "edt on the doubled grid", "frozen reference"]
Record = dict[str, Any]

# Who gains: rows of theirs, the first that is there; ours that returns the same kind of result; what differs.
GAINS = {
    "DaCapo": (
        ("DaCapo, target + weight", "DaCapo's algorithm, target + weight"),
        "cpu, target + weight",
        "nothing: sites on faces, world units, the same weights",
    ),
    "dacapo-toolbox": (
        ("dacapo-toolbox, target + weight",),
        "cpu, signed target + weight",
        "runs to voxel centres, in voxels whatever the voxel size; weights take no instance ids and no moving counts",
    ),
    "MONAI": (
        ("MONAI",),
        "cpu",
        "runs to voxel centres; instances that touch are one object; there are no weights",
    ),
}


def by_case(rows: list[Record]) -> dict[str, dict[str, Record]]:
    cases: dict[str, dict[str, Record]] = {}
    for row in rows:
        cases.setdefault(row["case"], {})[row["row"]] = row
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


def ratio(row: Record | None) -> str:
    if row is None:
        return ""
    low, _, high = row["ratio quartiles"]
    return f"{three(row['ratio'])}× ({three(low)}–{three(high)})"


def where(record: Record) -> str:
    machine = record["machine"]
    device = f"{machine['device']}, " if "device" in machine else ""
    return (
        f"{device}{machine['cpu']}, {machine['threads']} threads, {machine['simd']}, load {machine['load']:.1f} at the "
        f"start, copies at {machine['copy GB/s']:.0f} GB/s; {machine['date'][:10]}, commit {machine['commit']}."
    )


def size_table(record: Record) -> Iterator[str]:
    """Milliseconds against size; largest difference; how many times the base at the largest size of each row."""
    rows = by_row(record["against size"])
    sizes = sorted({n for entries in rows.values() for n in entries})
    yield "| half-empty blobs, new memory | " + " | ".join(f"{n}³" for n in sizes) + " | × | distance | Δ at most |"
    yield "|---" * (4 + len(sizes)) + "|"
    for name, entries in rows.items():
        last = entries[max(entries)]
        times = [f"{three(min(entries[n]['ms']))} ms" if n in entries else "" for n in sizes]
        package = f" ({last['package']})" if last["package"] else ""
        off = max(entry["largest difference"] for entry in entries.values())
        distance = "same" if last["same distance"] else last["differs"]
        cells = [f"{name}{package}", *times, ratio(last), distance, f"{off:.1g}" if off < 1e-3 else f"{off:.3f}"]
        yield "| " + " | ".join(cells) + " |"


def gains_table(record: Record) -> Iterator[str]:
    """What a user of each gains: their way to a target (and weight) and ours, on the same labels."""
    rows, peaks = by_row(record["against size"]), record.get("peak bytes per voxel", {})
    yield "| a user of | who calls | on | waits | here | gains | memory per voxel | the distance | Δ at most |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for user, (theirs, ours, differs) in GAINS.items():
        name = next((name for name in theirs if name in rows), None)
        if name is None:
            continue
        for n in sorted(rows[name])[-2:]:
            their, our = rows[name][n], rows[ours][n]
            times = [three(min(row["ms"])) + " ms" for row in (their, our)]
            memory = f"{peaks[name]:.0f} B → {peaks[ours]:.0f} B" if {name, ours} <= peaks.keys() else ""
            cells = [user, name, f"{n}³", *times, f"{three(min(their['ms']) / min(our['ms']))}×", memory, differs]
            off = their["largest difference"]
            yield "| " + " | ".join([*cells, f"{off:.1g}" if off < 1e-3 else f"{off:.3f}"]) + " |"


def speed_table(record: Record) -> Iterator[str]:
    yield "| case | `cpu` | Mvoxel/s | GB/s | target + weight | " + " | ".join(ROWS[1:]) + " |"
    yield "|---" * (4 + len(ROWS)) + "|"
    for name, rows in by_case(record["speed"]).items():
        cpu = rows["cpu"]
        cells = [f"{min(cpu['ms']):.2f} ms", f"{cpu['Mvoxel/s']:.0f}", f"{cpu['GB/s']:.1f}"]
        fused = rows["cpu, target + weight"]["ratio"] / rows["cpu, new memory"]["ratio"]
        cells += [f"{fused:.2f}×", *(ratio(rows.get(row)) for row in ROWS[1:])]
        yield f"| {name} | " + " | ".join(cells) + " |"


def growth_table(record: Record) -> Iterator[str]:
    names = next(iter(record["growth"]), {"ns per voxel": ("small", "large")})["ns per voxel"]
    yield "| growth with `out=` | " + " | ".join(names) + " | per voxel |"
    yield "|---|---|---|---|"
    for row in record["growth"]:
        small, large = row["ns per voxel"].values()
        yield f"| {row['case']} | {small:.2f} ns | {large:.2f} ns | {row['growth']:.2f}× |"


def table(record: Record) -> str:
    lines = [where(record)]
    if "against size" in record:
        lines += ["", *size_table(record)]
        lines += [f"\n{name} failed: {reason}" for name, reason in record.get("failed", {}).items()]
        if record["suite"] == "cpu":
            lines += ["", *gains_table(record)]
    if record["suite"] == "cpu":
        lines += ["", *speed_table(record), "", *growth_table(record)]
        peaks = record["peak scratch bytes per voxel at 256³"]
        scratch = ", ".join(f"{name}: {size} B" for name, size in peaks.items())
        said = f" Peak scratch per voxel at 256³: {scratch}." if scratch else ""
        lines += ["", f"A single voxel: {record['single voxel µs']:.0f} µs.{said}"]
    return "\n".join(lines)


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
