"""The figures of a record: time against size, ratios, growth."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from report import AGAIN, ROWS, Record, by_case, by_row, counterpart, quartiles, three, times_base

OURS, SAME, OTHER = "#1f4e9c", "#d9731a", "#7f7f7f"  # this package, the same distance, another distance
MARKERS = "osD^vP*Xh<>p"


def figures(record: Record) -> Iterator[tuple[str, Figure]]:
    """Name -> figure, as far as the record has what it shows."""
    if "against size" in record:
        yield "size", size(record)
    yield "ratios", ratios(record)
    if record.get("growth"):
        yield "growth", growth(record)


def colour(name: str, entry: Record) -> str:
    if not entry["package"] and name.split(",")[0] in ("cpu", "cuda"):
        return OURS
    return SAME if entry["same distance"] else OTHER


def looks(rows: dict[str, dict[int, Record]]) -> dict[str, dict[str, Any]]:
    """Row -> colour by its distance, and a marker that no other row of that colour has."""
    found: dict[str, dict[str, Any]] = {}
    for name, entries in rows.items():
        entry = next(iter(entries.values()))
        shade = colour(name, entry)
        marker = MARKERS[sum(look["color"] == shade for look in found.values()) % len(MARKERS)]
        found[name] = {"color": shade, "marker": marker, "linestyle": "-" if entry["same distance"] else "--"}
    return found


def shared(rows: dict[str, dict[int, Record]]) -> int:
    """The largest size that every row has."""
    return max(set.intersection(*(set(entries) for entries in rows.values())))


def size(record: Record) -> Figure:
    """Milliseconds against voxels per axis, both axes logarithmic; the slowest row is the first of the legend."""
    rows = by_row(record["against size"])
    canvas = Figure(figsize=(9, 5.6), layout="constrained")
    axes = canvas.add_subplot()
    styles = looks(rows)
    for name, entries in rows.items():
        sizes = sorted(entries)
        axes.plot(sizes, [quartiles(entries[n])[1] for n in sizes], linewidth=1.2, markersize=5, **styles[name])
    _voxels(axes, sorted({n for entries in rows.values() for n in entries}))
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axes.set_ylabel("ms, median of the rounds")
    axes.grid(True, which="major", linewidth=0.4)
    lines = dict(zip(rows, axes.get_lines(), strict=True))
    order = sorted(rows, key=lambda name: quartiles(rows[name][shared(rows)])[1], reverse=True)
    legend = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "fontsize": 8, "title_fontsize": 8}
    title = "blue: this package\norange: the same distance\ngrey: to voxels outside"
    axes.legend([lines[name] for name in order], [AGAIN.get(name, name) for name in order], title=title, **legend)
    return canvas


def ratios(record: Record) -> Figure:
    """How many times slower than the base: peers at the largest size they share, and by share of foreground."""
    panels = list(_ratio_panels(record))
    heights = [max(len(rows), 3) for _, rows in panels]
    canvas = Figure(figsize=(8, 0.6 + 0.3 * sum(heights) + 0.6 * len(panels)), layout="constrained")
    every = canvas.subplots(len(panels), 1, sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (title, rows) in zip(every, panels, strict=True):
        for place, (name, row, base) in enumerate(reversed(rows)):
            low, middle, high = times_base(row, base)
            other = name.endswith("edt(x) - edt(x == 0)")  # rows of the table do not say it themselves
            shade = colour(name, row) if "package" in row else OTHER if other else SAME
            axes.plot([low, high], [place, place], color=shade, linewidth=4, alpha=0.35, solid_capstyle="butt")
            axes.plot(middle, place, "o", color=shade, markersize=5)
            axes.annotate(f"{three(middle)}×", (high, place), (6, -3), textcoords="offset points")
        axes.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)], fontsize=8)
        axes.set_xscale("log")
        axes.axvline(1, color=OURS, linewidth=0.8)
        axes.set_title(title, fontsize=9, loc="left")
        axes.grid(True, axis="x", linewidth=0.4)
        axes.margins(y=0.08)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda times, _: f"{three(times)}×"))
        for text in axes.texts:
            text.set_fontsize(7)
    every[0].set_xlim(right=every[0].get_xlim()[1] * 2)
    every[-1].set_xlabel("× base: dots are quotients of medians, bars reach from quartile to quartile")
    return canvas


def _ratio_panels(record: Record) -> Iterator[tuple[str, list[tuple[str, Record, Record]]]]:
    if "against size" in record:
        rows = by_row(record["against size"])
        n, base = shared(rows), next(iter(rows))
        shown = (name for name in rows if name not in {base, *AGAIN})
        found = [(name, rows[name][n], rows[counterpart(name, rows)][n]) for name in shown]
        found.sort(key=lambda row: quartiles(row[1])[1])
        title = f"{n}³, base: {base} into new memory; for rows with weights {base} with weights"
        yield title, found
    cases = {name: rows for name, rows in by_case(record.get("speed", [])).items() if "frozen reference" in rows}
    if cases:
        named = [(case, name, rows) for case, rows in cases.items() for name in ROWS[1:] if name in rows.keys() - AGAIN]
        found = [(f"{case}: {name}", rows[name], rows["cpu"]) for case, name, rows in named]
        yield "by share of foreground, base: cpu with out=", found


def growth(record: Record) -> Figure:
    """Nanoseconds per voxel: against size for every row, and of a small and a large volume for engine cpu."""
    canvas = Figure(figsize=(10, 4), layout="constrained")
    left, right = canvas.subplots(1, 2, width_ratios=(1, 1.1))
    rows = by_row(record.get("against size", []))
    styles = looks(rows)
    for name, entries in rows.items():
        sizes = sorted(entries)
        left.plot(
            sizes, [quartiles(entries[n])[1] * 1e6 / n**3 for n in sizes], markersize=4, linewidth=1, **styles[name]
        )
    _voxels(left, sorted({n for entries in rows.values() for n in entries}))
    left.set_yscale("log")
    left.yaxis.set_major_formatter(FuncFormatter(lambda ns, _: f"{ns:g}"))
    left.set_ylabel("ns per voxel")
    left.set_title("every row (marks as in time against size)", fontsize=9)
    left.grid(True, linewidth=0.4)
    names = [row["case"] for row in record["growth"]][::-1]
    for shift, (which, shade) in enumerate(((1, OURS), (0, "#9db8e0"))):
        values = [list(row["ns per voxel"].items())[which] for row in record["growth"]][::-1]
        places = [place + 0.4 * shift for place in range(len(names))]
        right.barh(places, [ns for _, ns in values], 0.38, color=shade, label=values[0][0])
    for place, row in enumerate(record["growth"][::-1]):
        most = max(row["ns per voxel"].values())
        right.annotate(f"{row['growth']:.2f}×", (most, place + 0.2), (4, -3), textcoords="offset points", fontsize=7)
    right.set_yticks([place + 0.2 for place in range(len(names))], names, fontsize=8)
    right.margins(x=0.15)
    right.set_xlabel("ns per voxel, engine cpu with out=")
    right.set_title("growth from the small to the large volume", fontsize=9)
    handles, labels = right.get_legend_handles_labels()
    right.legend(handles[::-1], labels[::-1], fontsize=8)
    return canvas


def _voxels(axes: Any, sizes: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda n, _: f"{n:g}³"))
    axes.set_xlabel("voxels")


def save(canvas: Figure, path: Path) -> None:
    """As SVG with text as text, hundredths of points, and a line per element: what a repository keeps."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "inner_distance_gpu"}):
        canvas.savefig(text, format="svg", metadata={"Date": None})
    short = re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text.getvalue())
    path.write_text(re.sub(r"(?<=[^>])\s*\n\s*(?=[^<\s])", " ", short))
