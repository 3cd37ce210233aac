"""What pages quote of the records: numbers by name, and tables. `quote.py` writes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import report
from report import Record, by_case, by_row, lines, milliseconds, quartiles, rate, ratio, three


class Number(float):
    """A number that has three digits where a page does not ask for others."""

    def __format__(self, spec: str) -> str:
        return float.__format__(self, spec) if spec else three(self)


def numbers(value: Any) -> Any:
    """The same record with its numbers as Number; rows of a list also under their names."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return Number(value)
    if isinstance(value, dict):
        return {name: numbers(entry) for name, entry in value.items()}
    return [numbers(entry) for entry in value]


def named(rows: list[Record], *keys: str) -> dict[str, Any]:
    """A row under the values of `keys` joined by blanks."""
    return {" ".join(str(row[key]) for key in keys): numbers(row) for row in rows}


def cpu_view(record: Record) -> Record:
    """`[128³][cpu][ms]` is the median; `[gain][DaCapo][ms | ours | times]`."""
    found: Record = {"scratch": numbers(record["peak scratch bytes per voxel at 256³"])}
    found["scratch least"] = Number(min(record["peak scratch bytes per voxel at 256³"].values()))
    found["scratch most"] = Number(max(record["peak scratch bytes per voxel at 256³"].values()))
    found["voxel µs"] = Number(record["single voxel µs"])
    for name, entries in by_row(record["against size"]).items():
        for n, row in entries.items():
            found.setdefault(f"{n}³", {})[name] = {"ms": Number(quartiles(row)[1])}
    found["gain"] = {
        user: {"ms": milliseconds(their, True), "ours": milliseconds(our, True), "times": ratio(their, our)}
        for user, _, their, our, _ in report.gains(record)
    }
    return found


def volume_view(record: Record) -> Record:
    """With the shares and rates that the page derives from it."""
    found: Record = numbers(record)
    threads, voxels = record["thread seconds"], float(record["bytes of labels"])
    spent = sum(threads.values())
    disk = threads["encode and write"] + threads["put on the disk"]
    block = 1.0
    for extent in record["block"]:
        block *= extent
    cpu_block = record["CPU seconds"] * block / voxels
    read_write = (threads["read"] + disk) / voxels * 1e9
    computed = threads["compute"] / voxels / record["overhead"] * 1e9
    times = {
        "share": {name: Number(seconds / spent) for name, seconds in threads.items()},
        "CPU ns per voxel": Number(record["CPU seconds"] / voxels * 1e9),
        "Mvoxel/s of a core": Number(voxels / record["CPU seconds"] / 1e6),
        "CPU seconds of a block": Number(cpu_block),
        "blocks per hour": Number(3600 / cpu_block),
        "Gvoxel per hour": Number(3600 / cpu_block * block / 1e9),
        "a": Number(computed),
        "b": Number(read_write),
        "Gvoxel/s of 16 cores": Number(16 / read_write),
        "ms of a block on 16 cores": Number(block * read_write / 16 / 1e6),
        "blocks per hour of 16 cores": Number(3600 * 16e9 / read_write / block / 1e3),
        "core hours of 1 PB": Number((computed * record["overhead of a block inside"] + read_write) * 1e6 / 3600 / 1e3),
    }
    gigabytes = (
        "bytes of labels",
        "bytes of labels on disk",
        "bytes of the target on disk",
        "bytes planned per worker",
    )
    times |= {f"GB {name.removeprefix('bytes ')}": Number(record[name] / 1e9) for name in gigabytes}
    times["GB of growth"] = Number((record["bytes peak"] - record["bytes before"]) / 1e9)
    times["GB of a block"] = Number(record["bytes of a block with halo, labels and target"] / 1e9)
    return found | times


def demo_view(record: Record) -> Record:
    picture = record["picture"]
    found: Record = numbers(record)
    found["MB downloaded"] = Number(picture["bytes downloaded"] / 1e6)
    found["MB on disk"] = Number(picture["bytes on disk"] / 1e6)
    found["MB beside torch"] = Number((picture["bytes on disk"] - picture["bytes of torch"]) / 1e6)
    return found


def train_view(record: Record) -> Record:
    parts = {part: named(record[part], "row") for part in ("pause", "train step") if part in record}
    return numbers({key: value for key, value in record.items() if key not in parts}) | parts


VIEWS: dict[str, Callable[[Record], Record]] = {"cpu": cpu_view, "volume": volume_view}
VIEWS |= {"train": train_view, "demo": demo_view}


def view(kind: str, record: Record) -> Record:
    """The numbers of a record by name."""
    return VIEWS.get(kind, numbers)(record)


def kind_of(record: Record, path: Path) -> str:
    """Under which name of quoted.json a record belongs: its suite, or the folder it lies in."""
    if record["suite"] == "block cost":
        return "block_graph" if any("tasks" in row for row in record["rows"]) else "block_cost"
    folder = path.parent.name
    return {"train_step": "train", "results": record["suite"]}.get(folder, folder)


def peers_table(record: Record) -> Iterator[str]:
    """What a target of 128³ costs whom: the README's table."""
    rows = {name: entries[128] for name, entries in by_row(record["against size"]).items() if 128 in entries}
    base = rows["cpu"]
    shown = ("cpu", "edt", "dacapo-toolbox", "SciPy", "MONAI", "edt on the doubled grid")

    def cells() -> Iterator[list[str]]:
        for name in (name for name in shown if name in rows):
            row = rows[name]
            title = "this package, `cpu`" if row is base else name
            distance = "the nearest face" if row["same distance"] else "the nearest voxel outside"
            yield [title, milliseconds(row, spread=True), ratio(row, base), distance]

    yield from lines("a target of 128³ voxels | median (quartiles) | × | distance to", cells())


def cost_table(record: Record) -> Iterator[str]:
    """Engine `cpu` alone, by size, share of foreground and scale."""
    cases = by_case(record["speed"])
    rows = ([name, milliseconds(rows["cpu"], True), rate(rows["cpu"])[0]] for name, rows in cases.items())
    yield from lines("case | median (quartiles) | Mvoxel/s", rows)


def scale_cost(record: Record) -> Iterator[str]:
    """The same labels with a small and a large scale; nothing where the record has none."""
    cells = {name: rows["cpu"] for name, rows in by_case(record["speed"]).items() if name.startswith("cells ")}
    if cells:
        small, large = cells.values()
        yield (
            f"Cells that touch everywhere take {milliseconds(small)} at a scale of {small['scale']} and "
            f"{milliseconds(large)} at {large['scale']}."
        )


def train_table(part: str) -> Callable[[Record], Iterator[str]]:
    def table(record: Record) -> Iterator[str]:
        def cells() -> Iterator[list[str]]:
            for row in record[part]:
                rates = row["samples/s of the rounds"]
                wait = f"{row['wait ms']:.1f} ms"
                rounds = f"{min(rates):.2f}–{max(rates):.2f}"
                yield [row["row"], f"{row['samples/s']:.2f}", rounds, f"{row['waiting share']:.1%}", wait]

        yield from lines("targets | samples/s | least and most of the rounds | waiting | a wait (median)", cells())

    return table


def loader_table(record: Record) -> Iterator[str]:
    """Workers against who makes the targets."""
    rows = {row["row"]: f"{row['samples/s']:.1f}, {row['waiting share']:.1%}" for row in record["pause"]}
    names = {"precomputed, plain DataLoader": "precomputed, workers: {}, after"}
    names |= {version: f"TargetLoader, workers: {{}}, {version}" for version in ("before", "after")}
    every = record["setup"]["workers"]
    cells = ([str(n), *(rows[name.format(n)] for name in names.values())] for n in every)
    yield from lines("workers | " + " | ".join(names), cells)


def block_table(record: Record) -> Iterator[str]:
    """CPU time of a block on threads, version by version."""
    parts = {
        "all": "CPU ms",
        "engine": "CPU ms of the engine",
        "`fsync`": "CPU ms of fsync",
        "the rest": "besides both",
    }

    def cells() -> Iterator[list[str]]:
        for row in record["rows"]:
            if row["row"] == "threads":
                times = [f"{row[part]:.2f} ms" for part in parts.values()]
                yield [f"{row['edge']}³", row["commit"], *times]

    yield from lines("block | commit | " + " | ".join(parts), cells())


def halo_table(record: Record) -> Iterator[str]:
    """One block inside the volume, computed alone."""
    alone = record["computation alone"]

    def cells() -> Iterator[list[str]]:
        for edge in dict.fromkeys(name.partition(":")[0] for name in alone):
            theory, block, halo = (alone[f"{edge}: {part}"] for part in HALO)
            yield [f"{edge}³", f"{theory:.2f}", f"{three(block)} ns", f"{three(halo)} ns"]

    yield from lines(
        "block | theory: voxels with halo per voxel | per voxel of the block | per voxel with halo", cells()
    )


HALO = ("theory", "ns per voxel of the block", "ns per voxel with halo")


# Name in a mark -> the kind of record, and what makes the lines.
TABLES: dict[str, tuple[str, Callable[[Record], Iterator[str]]]] = {
    "peers": ("cpu", peers_table),
    "machine": ("cpu", lambda record: iter([report.where(record)])),
    "against size": ("cpu", report.size_table),
    "gains": ("cpu", report.gains_table),
    "speed": ("cpu", report.speed_table),
    "growth": ("cpu", report.growth_table),
    "cost": ("cpu", cost_table),
    "cost of scale": ("cpu", scale_cost),
    "training, a pause": ("train", train_table("pause")),
    "training, a network": ("train", train_table("train step")),
    "loaders": ("loader_versions", loader_table),
    "blocks and halo": ("volume", halo_table),
    "blocks": ("block_cost", block_table),
}
