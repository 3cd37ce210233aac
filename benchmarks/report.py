"""The table and the figure of a recorded run.

    python benchmarks/report.py [RESULT.json]     the newest one by default

Prints Markdown; writes <RESULT>.svg beside the JSON where matplotlib is installed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
ROWS = ["cpu", "prototype", "edt(x) - edt(x == 0)", "edt on the doubled grid", "frozen reference"]


def by_case(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    cases: dict[str, dict[str, Any]] = {}
    for row in record["speed"]:
        cases.setdefault(row["case"], {})[row["row"]] = row
    return cases


def ratio(row: dict[str, Any] | None) -> str:
    if row is None:
        return ""
    low, _, high = row["ratio quartiles"]
    return f"{row['ratio']:.3g}× ({low:.3g}–{high:.3g})"


def table(record: dict[str, Any]) -> str:
    machine = record["machine"]
    lines = [
        f"{machine['cpu']}, {machine['threads']} threads, {machine['simd']}, load {machine['load']:.1f} at the start, "
        f"copies at {machine['copy GB/s']:.0f} GB/s; {machine['date'][:10]}, commit {machine['commit']}.",
        "",
        "| case | `cpu` | Mvoxel/s | GB/s | target + weight | " + " | ".join(ROWS[1:]) + " |",
        "|---|---" * 1 + "|---" * (3 + len(ROWS)) + "|",
    ]
    for name, rows in by_case(record).items():
        cpu = rows["cpu"]
        cells = [f"{min(cpu['ms']):.2f} ms", f"{cpu['Mvoxel/s']:.0f}", f"{cpu['GB/s']:.1f}"]
        fused = rows["cpu, target + weight"]["ratio"] / rows["cpu, new memory"]["ratio"]
        cells += [f"{fused:.2f}×", *(ratio(rows.get(row)) for row in ROWS[1:])]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += ["", "| growth with `out=` | 96³ | 192³ | per voxel |", "|---|---|---|---|"]
    for row in record["growth"]:
        small, large = row["ns per voxel"].values()
        lines.append(f"| {row['case']} | {small:.2f} ns | {large:.2f} ns | {row['growth']:.2f}× |")
    scratch = ", ".join(f"{name}: {size} B" for name, size in record["peak scratch bytes per voxel at 256³"].items())
    lines += ["", f"A single voxel: {record['single voxel µs']:.0f} µs. Peak scratch per voxel at 256³: {scratch}."]
    return "\n".join(lines)


def figure(record: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure

    cases = {name: rows for name, rows in by_case(record).items() if "frozen reference" in rows}
    canvas = Figure(figsize=(8, 4), layout="constrained")
    axes = canvas.add_subplot()
    width = 0.8 / len(ROWS)
    for i, row in enumerate(ROWS):
        places = [x + i * width for x, rows in enumerate(cases.values()) if row in rows]
        axes.bar(places, [min(rows[row]["ms"]) for rows in cases.values() if row in rows], width, label=row)
    axes.set_yscale("log")
    axes.set_ylabel("ms (best of the rounds)")
    axes.set_xticks([x + 0.4 - width / 2 for x in range(len(cases))], cases, fontsize=8)
    axes.legend(fontsize=8)
    canvas.savefig(path)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else max(RESULTS.glob("*.json"), key=lambda p: p.stat().st_mtime)
    record = json.loads(path.read_text())
    print(table(record))
    try:
        figure(record, path.with_suffix(".svg"))
    except ImportError:
        print("\nno figure: matplotlib is not installed", file=sys.stderr)


if __name__ == "__main__":
    main()
