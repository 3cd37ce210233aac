"""The parts of a record: engines on several volumes, peers against size, growth. Checked first, then timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import peers
import records
from cases import Case, against_size, growth, speed

from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance
from inner_distance_gpu.cli.timing import Clock, Run, Timing, by_events, interleaved, side_by_side


@dataclass(frozen=True)
class Plan:
    """What is timed and how often; `rounds` as in `side_by_side`. `slow`: sizes where slow rows join in the table."""

    rounds: int
    threads: int
    sizes: Sequence[int] = (32, 64, 128, 192)
    volumes: Sequence[int] = (64, 128)
    slow: Sequence[int] = (64, 128)
    growth: tuple[int, int] = (96, 192)
    memory: bool = True
    only: str = ""

    def wants(self, name: str) -> bool:
        return self.only in name


SLOW_PEERS = ("frozen reference", "edt on the doubled grid", "edt(x) - edt(x == 0)")


def rows(case: Case, threads: int) -> dict[str, Run]:
    """Name -> call, `cpu` with `out=` first."""
    labels, voxel_size, scale = case.labels, case.voxel_size, case.scale
    out = np.empty(labels.shape, np.float32)
    transform = InnerDistanceTransform(voxel_size, scale, engine="cpu", threads=threads)
    calls: dict[str, Run] = {
        "cpu": lambda: inner_distance(labels, voxel_size, scale=scale, engine="cpu", threads=threads, out=out),
        "cpu, new memory": lambda: inner_distance(labels, voxel_size, scale=scale, engine="cpu", threads=threads),
        "cpu, target + weight": lambda: transform(labels),
    }
    if case.slow:
        chosen = tuple(peer for peer in peers.PEERS if peer.name in SLOW_PEERS)
        calls |= {peer.name: call for peer, call in peers.importable(chosen, case, threads)}
    return calls


def check(case: Case, calls: Mapping[str, Run]) -> None:
    """AssertionError where a row that computes the same distance is off."""
    keywords = {"scale": case.scale, "engine": "reference"}
    expected = inner_distance(case.labels, case.voxel_size, **keywords).astype(np.float64)
    size = 1.0 if case.scale else np.maximum(expected, 1e-30)
    for name in ("cpu", "cpu, new memory", "frozen reference", "edt on the doubled grid"):
        if name in calls:
            peers.check(f"{case.name}: {name}", calls[name]() / size, expected / size, 1e-6 if "cpu" in name else 1e-5)


def time_speed(plan: Plan) -> list[dict[str, Any]]:
    """Engine `cpu` on volumes of several fractions and voxel sizes; × is against `cpu` with `out=`."""
    found = []
    for case in speed(plan.volumes, plan.slow):
        if plan.wants(case.name):
            calls = rows(case, plan.threads)
            check(case, calls)
            timings = side_by_side(calls, "cpu", plan.rounds)
            found += [said(records.row(case, name, timing)) for name, timing in timings.items()]
    return found


def time_against_size(plan: Plan, engine: str, chosen: Sequence[peers.Peer] = peers.PEERS) -> dict[str, Any]:
    """Engine and peers on cubes of growing size; × is against the engine's target into new memory.

    A peer that raises is named under "failed" and does not stop the others; one whose result is wrong stops the run.
    """
    found: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    for case in against_size(plan.sizes):
        if plan.wants(case.name):
            found += _one_size(case, plan, engine, tuple(chosen), failed)
    return {"against size": found, "failed": failed}


def _one_size(
    case: Case, plan: Plan, engine: str, chosen: tuple[peers.Peer, ...], failed: dict[str, str]
) -> list[dict[str, Any]]:
    # The reference has been compared with the engine up to 128³ and is too slow beyond.
    measure = "reference" if max(case.labels.shape) <= 128 else "cpu"
    expected = {
        signed: inner_distance(
            case.labels, case.voxel_size, scale=case.scale, background="signed" if signed else "zero", engine=measure
        )
        for signed in (False, True)
    }
    calls: dict[str, Run] = {}
    about: dict[str, dict[str, Any]] = {}
    for name, (call, signed) in peers.ours(case, plan.threads, engine).items():
        off = peers.check(f"{case.name}: {name}", call(), expected[signed], 2e-6 if engines.on_device(engine) else 1e-6)
        calls[name], about[name] = (
            call,
            {"same distance": True, "largest difference": off, "differs": "", "package": ""},
        )
    for peer, call in peers.importable(chosen, case, plan.threads):
        try:
            result = call()
        except Exception as error:  # of another package, on a machine it may not know
            failed[peer.name] = f"{type(error).__name__}: {error}"
            print(f"{case.name:30s} {peer.name:36s} {failed[peer.name]}", flush=True)
            continue
        off = peers.check(f"{case.name}: {peer.name}", result, expected[peer.signed], peer.limit(case))
        calls[peer.name] = call
        said_of = "" if peer.same else peer.differs
        about[peer.name] = {"same distance": peer.same, "largest difference": off, "differs": said_of}
        about[peer.name]["package"] = peer.version()
    clocks: dict[str, Clock] = dict.fromkeys(calls, by_events) if engines.on_device(engine) else {}
    timings = side_by_side(calls, engine, plan.rounds, clocks)
    return [said(records.row(case, name, timing) | about[name]) for name, timing in timings.items()]


def time_growth(plan: Plan) -> list[dict[str, Any]]:
    """Nanoseconds per voxel of a small and of a large volume."""
    found = []
    for name, small, large in growth(*plan.growth):
        if not plan.wants(name):
            continue
        calls = {f"{case.labels.shape[0]}³": rows(case, plan.threads)["cpu"] for case in (small, large)}
        times = interleaved(calls, 2 * plan.rounds)
        voxels = [case.labels.size for case in (small, large)]
        per_voxel = {size: min(times[size]) / n * 1e9 for size, n in zip(calls, voxels, strict=True)}
        first, last = per_voxel.values()
        found.append({"case": name, "ns per voxel": per_voxel, "growth": last / first})
        print(f"{name:30s} {first:.2f} -> {last:.2f} ns per voxel: {last / first:.2f}", flush=True)
    return found


def time_single_voxel(threads: int, rounds: int = 2000) -> float:
    """Microseconds of a call that has nothing to do."""
    labels = np.ones((1, 1, 1), np.uint8)
    call = {"one": lambda: inner_distance(labels, (8, 8, 8), scale=50, engine="cpu", threads=threads)}
    return min(interleaved(call, rounds, 100)["one"]) * 1e6


def said(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row while the others still run."""
    off = f"  Δ {row['largest difference']:.1e}" if "largest difference" in row else ""
    print(f"{row['case']:30s} {row['row']:36s} {min(row['ms']):9.2f} ms  {row['ratio']:8.2f}×{off}", flush=True)
    return row


__all__ = ["Plan", "Timing", "time_against_size", "time_growth", "time_single_voxel", "time_speed"]
