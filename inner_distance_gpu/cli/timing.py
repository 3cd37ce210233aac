"""Times side by side: interleaved rounds in one process, and ratios within them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

Run = Callable[[], Any]
Clock = Callable[[Run], float]

PAUSE = 0.005  # seconds; OpenMP's threads spin on after a row that used them
FAST, SLOW = 0.1, 1.0  # seconds


def by_host(call: Run) -> float:
    """Seconds by the clock."""
    time.sleep(PAUSE)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def by_events(call: Run) -> float:
    """Seconds by CUDA events on torch's current stream."""
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    call()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3


@dataclass(frozen=True)
class Timing:
    """Seconds of each round, and of the base in the same rounds; `fastest`: the base's least of the whole run."""

    seconds: Sequence[float]
    base: Sequence[float]
    fastest: float

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def ratio(self) -> float:
        """How many times slower than the base, of the minima."""
        return self.best / self.fastest

    @property
    def quartiles(self) -> list[float]:
        """Of the ratios within a round."""
        ratios = np.asarray(self.seconds) / np.asarray(self.base)
        return [float(q) for q in np.quantile(ratios, (0.25, 0.5, 0.75))]


def interleaved(
    calls: Mapping[str, Run], rounds: int, warm_up: int = 2, clocks: Mapping[str, Clock] | None = None
) -> dict[str, list[float]]:
    """Seconds of `rounds` rounds of all calls, each round in a random order of its own.

    Every call then follows every other: what a call leaves in caches, or still spinning on a core, falls on all alike.
    Rounds that only begin with another call would keep the one before each call the same.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    names, orders = list(calls), np.random.default_rng(0)
    for i in range(warm_up + rounds):
        for name in (names[k] for k in orders.permutation(len(names))):
            seconds = (clocks or {}).get(name, by_host)(calls[name])
            if i >= warm_up:
                times[name].append(seconds)
    return times


def side_by_side(
    calls: Mapping[str, Run], base: str, rounds: int, clocks: Mapping[str, Clock] | None = None
) -> dict[str, Timing]:
    """Every call next to `base`: three times the rounds for what is fast, a third of them for what takes seconds."""
    once = {name: seconds[0] for name, seconds in interleaved(calls, 1, 0, clocks).items()}
    clock = (clocks or {}).get(base, by_host)

    def warm(call: Run) -> float:
        call()  # behind a row of seconds it would be timed on cold caches and sleeping threads
        return clock(call)

    times: dict[str, tuple[list[float], list[float]]] = {}
    for least, most, count in ((0, FAST, 3 * rounds), (FAST, SLOW, rounds), (SLOW, np.inf, -(-rounds // 3))):
        names = [name for name in calls if least <= once[name] < most]
        if names:
            together = {name: calls[name] for name in dict.fromkeys([base, *names])}
            fast = most == FAST
            seconds = interleaved(together, count, 2 if fast else 0, {**(clocks or {}), base: clock if fast else warm})
            times |= {name: (seconds[name], seconds[base]) for name in names}
    fastest = min(second for _, bases in times.values() for second in bases)
    return {name: Timing(*times[name], fastest) for name in calls}
