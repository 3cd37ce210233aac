"""How long does a training step wait for its targets? Four ways to make them, interleaved, with two kinds of step.

    python benchmarks/train_step.py [--rounds 2] [--steps 10] [--features 8] [--device cuda]
    python benchmarks/train_step.py --report RESULT.json

The first kind is a pause: a device that computes for that long and leaves the host alone, as a GPU does. The second is
a step of a small 3D U-Net on `--device`; on a CPU it shares its cores with the workers.

Writes benchmarks/results/train_step/<date>-<commit>.json and a figure beside it, and prints the tables.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import Case, half_empty
from frozen_reference import inner_distance as frozen_reference
from run import as_text, machine
from torch.utils.data import DataLoader, Dataset

from inner_distance_gpu import InnerDistanceTransform, TargetLoader, balanced_weights

RESULTS = Path(__file__).parent / "results" / "train_step"
Sample = dict[str, torch.Tensor]


class UNet(torch.nn.Module):
    """Three levels, two convolutions of 3×3×3 each; one channel in, one out."""

    def __init__(self, features: int) -> None:
        super().__init__()
        widths = [features, 2 * features, 4 * features]
        self.down = torch.nn.ModuleList(_pair(i, o) for i, o in zip([1, *widths], widths, strict=False))
        self.up = torch.nn.ModuleList(_pair(i + o, o) for i, o in ((widths[2], widths[1]), (widths[1], widths[0])))
        self.head = torch.nn.Conv3d(features, 1, 1)

    def forward(self, raw: torch.Tensor) -> torch.Tensor:
        levels = [self.down[0](raw)]
        for layer in self.down[1:]:
            levels.append(layer(torch.nn.functional.max_pool3d(levels[-1], 2)))
        values = levels.pop()
        for layer in self.up:
            values = layer(torch.cat([torch.nn.functional.interpolate(values, scale_factor=2), levels.pop()], 1))
        return torch.tanh(self.head(values))


def _pair(inputs: int, outputs: int) -> torch.nn.Sequential:
    layers = [torch.nn.Conv3d(inputs, outputs, 3, padding=1), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Conv3d(outputs, outputs, 3, padding=1), torch.nn.ReLU())


class Patches(Dataset[Sample]):
    """Random patches of a volume and of what belongs to it, the same for every way of making targets."""

    def __init__(self, volumes: Sample, size: int, count: int, change: Callable[[Sample], Sample] | None) -> None:
        self.volumes, self.size, self.count, self.change = volumes, size, count, change

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, i: int) -> Sample:
        rng = np.random.default_rng(i)
        corner = [int(rng.integers(n - self.size + 1)) for n in self.volumes["labels"].shape[1:]]
        place = (slice(None), *(slice(c, c + self.size) for c in corner))
        sample = {name: volume[place].clone() for name, volume in self.volumes.items()}
        return sample if self.change is None else self.change(sample)


@dataclass(frozen=True)
class FrozenTargets:
    """What a data set does without this package: the doubled grid and SciPy, and weights in NumPy."""

    voxel_size: tuple[float, ...]
    scale: float | None

    def __call__(self, sample: Sample) -> Sample:
        labels = sample["labels"].numpy()[0]
        target = frozen_reference(labels, self.voxel_size, self.scale).astype(np.float32)
        weight, _ = balanced_weights(labels != 0, engine="reference")
        return sample | {"target": torch.from_numpy(target)[None], "weight": torch.from_numpy(weight)[None]}


def loaders(case: Case, options: argparse.Namespace) -> dict[str, Callable[[], Iterable[Sample]]]:
    """Name -> what makes a loader over the same patches in the same order."""
    labels = torch.from_numpy(case.labels)[None]
    noise = torch.from_numpy(np.random.default_rng(1).random(case.labels.shape, np.float32))[None]
    plain = {"labels": labels, "raw": (labels != 0) * 0.5 + noise}
    transform = InnerDistanceTransform(case.voxel_size, case.scale, moving=False)
    in_worker = InnerDistanceTransform(case.voxel_size, case.scale, moving=False, engine="cpu")
    whole = transform.keyed()(plain)
    cuda = options.device.type == "cuda"

    def loader(volumes: Sample, change: Callable[[Sample], Sample] | None) -> DataLoader[Sample]:
        count = options.batch * (options.warm_up + options.steps)
        patches = Patches(volumes, options.patch, count, change)
        return DataLoader(patches, options.batch, num_workers=options.workers, pin_memory=cuda)

    return {
        "precomputed": lambda: loader(whole, None),
        "frozen reference in the workers": lambda: loader(plain, FrozenTargets(case.voxel_size, case.scale)),
        "cpu in the workers": lambda: loader(plain, in_worker.keyed()),
        "TargetLoader": lambda: TargetLoader(
            loader(plain, None), transform.keyed(), device=options.device if cuda else None
        ),
    }


def check(made: dict[str, Callable[[], Iterable[Sample]]]) -> None:
    first = {name: next(iter(make())) for name, make in made.items()}
    expected = first["frozen reference in the workers"]["target"]
    for name, batch in first.items():
        assert torch.equal(batch["labels"].cpu(), first["TargetLoader"]["labels"].cpu()), name
        if name != "precomputed":  # from the whole volume, which knows objects beyond the patch
            off = float((batch["target"].cpu() - expected).abs().max())
            assert off <= 1e-6, f"{name} is off by {off}"


def timed(batches: Iterable[Sample], step: Callable[[Sample], None], warm_up: int) -> tuple[list[float], list[float]]:
    """Seconds waited for each batch, and seconds of the step on it, after the warm-up."""
    waits, steps = [], []
    source: Iterator[Sample] = iter(batches)
    while True:
        start = time.perf_counter()
        batch = next(source, None)
        got = time.perf_counter()
        if batch is None:
            break
        step(batch)
        waits.append(got - start)
        steps.append(time.perf_counter() - got)
    return waits[warm_up:], steps[warm_up:]


def training(options: argparse.Namespace) -> Callable[[Sample], None]:
    torch.manual_seed(0)
    model = UNet(options.features).to(options.device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)

    def step(batch: Sample) -> None:
        raw, target, weight = (batch[k].to(options.device, non_blocking=True) for k in ("raw", "target", "weight"))
        optimizer.zero_grad()
        (weight * (model(raw) - target) ** 2).mean().backward()
        optimizer.step()
        if options.device.type == "cuda":
            torch.cuda.synchronize()  # else the wait for the next batch hides behind the step

    return step


def measure(case: Case, options: argparse.Namespace, step: Callable[[Sample], None]) -> list[dict[str, Any]]:
    made = loaders(case, options)
    check(made)
    names, seen = list(made), {name: ([], []) for name in made}  # type: dict[str, Any]
    for i in range(options.rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            waits, steps = timed(made[name](), step, options.warm_up)
            seen[name][0].append(waits)
            seen[name][1].append(steps)
            print(f"round {i}: {name}: step {np.median(steps):.3f} s, wait {np.median(waits):.3f} s", flush=True)
    return [result(name, *seen[name], options.batch) for name in names]


def result(name: str, waits: list[list[float]], steps: list[list[float]], batch: int) -> dict[str, Any]:
    """Of the rounds: samples per second and waiting share; the median round counts, all are kept."""
    total = [sum(w) + sum(s) for w, s in zip(waits, steps, strict=True)]
    rates = [batch * len(w) / t for w, t in zip(waits, total, strict=True)]
    shares = [sum(w) / t for w, t in zip(waits, total, strict=True)]
    return {
        "row": name,
        "samples/s": float(np.median(rates)),
        "samples/s of the rounds": rates,
        "waiting share": float(np.median(shares)),
        "waiting share of the rounds": shares,
        "step ms": float(np.median(np.concatenate(steps)) * 1e3),
        "wait ms": float(np.median(np.concatenate(waits)) * 1e3),
        "wait ms of the rounds": [[round(w * 1e3, 3) for w in of_round] for of_round in waits],
    }


def table(record: dict[str, Any]) -> str:
    found, setup = record["machine"], record["setup"]
    pause = f"A pause of {setup['pause ms']} ms for the step:"
    where = found["cpu"] if setup["gpu"] is None else f"{setup['gpu']}, {found['cpu']}"
    lines = [
        f"{where}, {found['cores']} cores, load {found['load']:.1f} at the start; {found['date'][:10]}, commit "
        f"{found['commit']}. {setup['case']}, voxel size {'×'.join(map(str, setup['voxel_size']))}, batches of "
        f"{setup['batch']} patches of {setup['patch']}³, workers: {setup['workers']}, {setup['rounds']} rounds of "
        f"{setup['steps']} steps after {setup['warm_up']}.",
        *("", pause, "", *_rows(record["pause"])),
    ]
    if "train step" in record:  # a run that was cut short has none
        network = f"A U-Net of {setup['parameters']:,} parameters on {setup['device']}:"
        lines += ["", network, "", *_rows(record["train step"])]
    return "\n".join(lines)


def _rows(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield "| targets | samples/s | of the rounds | × frozen | waiting | step | wait (median) |"
    yield "|---|---|---|---|---|---|---|"
    frozen = next((row for row in rows if row["row"].startswith("frozen")), {"samples/s": float("nan")})["samples/s"]
    for row in rows:
        rates = row["samples/s of the rounds"]
        cells = [f"{row['samples/s']:.2f}", f"{min(rates):.2f}–{max(rates):.2f}", f"{row['samples/s'] / frozen:.2f}×"]
        cells += [f"{row['waiting share']:.1%}", f"{row['step ms']:.0f} ms", f"{row['wait ms']:.1f} ms"]
        yield f"| {row['row']} | " + " | ".join(cells) + " |"


def figure(record: dict[str, Any], path: Path) -> None:
    from matplotlib.figure import Figure
    from plots import save

    canvas = Figure(figsize=(9, 2.6), layout="constrained")
    titles = {"pause": f"step: a pause of {record['setup']['pause ms']} ms", "train step": "step: a U-Net"}
    parts = [part for part in titles if part in record]
    panels = canvas.subplots(1, len(parts), sharey=True, squeeze=False)[0]
    for axes, part in zip(panels, parts, strict=True):
        rows = record[part][::-1]
        each = [1e3 / row["samples/s"] for row in rows]
        steps = [ms * (1 - row["waiting share"]) for ms, row in zip(each, rows, strict=True)]
        names = [row["row"] for row in rows]
        axes.barh(names, steps, label="step")
        axes.barh(names, [ms - s for ms, s in zip(each, steps, strict=True)], left=steps, label="waiting")
        axes.set_xlabel("ms per sample")
        axes.set_title(titles[part], fontsize=9)
    panels[0].legend(fontsize=8)
    save(canvas, path)


def report(record: dict[str, Any], path: Path) -> None:
    print(table(record))
    try:
        figure(record, path.with_suffix(".svg"))
    except ImportError:
        print("\nno figure: matplotlib is not installed", file=sys.stderr)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", type=torch.device, default="cuda" if torch.cuda.is_available() else "cpu")
    numbers = {
        "rounds": 2,
        "steps": 10,
        "warm-up": 4,
        "pause": 40,
        "batch": 2,
        "patch": 64,
        "features": 8,
        "workers": 1,
    }
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--report", type=Path, help="only the table and the figure of this record")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    if options.report is not None:
        report(json.loads(options.report.read_text()), options.report)
        return
    case = half_empty(128)
    names = [Path(argument).name for argument in sys.argv[1:]]
    record: dict[str, Any] = {"suite": "train", "command": " ".join(["python benchmarks/train_step.py", *names])}
    record["machine"] = machine(torch.get_num_threads())
    record["setup"] = {
        "case": case.name,
        "voxel_size": case.voxel_size,
        "scale": case.scale,
        "device": str(options.device),
        "gpu": torch.cuda.get_device_name(options.device) if options.device.type == "cuda" else None,
        "pause ms": options.pause,
        "parameters": sum(p.numel() for p in UNet(options.features).parameters()),
        **{name: getattr(options, name) for name in ("features", "rounds", "steps", "warm_up")},
        **{name: getattr(options, name) for name in ("batch", "patch", "workers")},
    }
    commit = record["machine"]["commit"].removesuffix("-dirty")
    name = f"{record['machine']['date'][:10]}-{commit}.json"
    RESULTS.mkdir(parents=True, exist_ok=True)
    steps = {"pause": lambda batch: time.sleep(options.pause / 1e3), "train step": training(options)}
    for part, step in steps.items():
        record[part] = measure(case, options, step)
        (RESULTS / name).write_text(as_text(record))
    report(record, RESULTS / name)
    print(f"written: {(RESULTS / name).relative_to(RESULTS.parents[2])}")


if __name__ == "__main__":
    main()
