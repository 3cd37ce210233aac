"""A launcher that runs the kernels under the race detector, and what it found.

It stands where the driver's does, below the whole engine: what it runs is what a call on a device would launch.
"""

import collections
import ctypes
from typing import NamedTuple

import pytest
from host_launcher import record_at
from race import build, paths
from race.regions import Regions, Scratch

from inner_distance_gpu.engines.cuda import run as cuda
from inner_distance_gpu.engines.cuda.launcher import Limits


class Finding(NamedTuple):
    """Kind; the lines of the source that are concerned; how often; what was touched and by whom, the first time."""

    kind: str
    lines: tuple[str, ...]
    times: int
    text: str

    def __str__(self):
        return f"{self.kind}: {' and '.join(self.lines)}{': ' if self.lines else ''}{self.text} (× {self.times})"


class RaceLauncher:
    """Runs launches at once; `findings` and the launches and accesses per kernel and path add up.

    `grid` is the largest number of blocks, so that a block takes several tasks; `order` that of the threads, as in
    tests/launch_shim.hpp; `kernels` maps a file to other kernels than those that ship.
    """

    def __init__(self, grid=None, order=0, shared_bytes=48 << 10, kernels=build.shipped):
        self.grid, self.order, self.shared_bytes, self.kernels = grid, order, shared_bytes, kernels
        self.other_limits = {}
        self.scratch, self.findings = Scratch(), []
        self.launches, self.accesses = collections.Counter(), collections.Counter()
        self.label_bytes = collections.Counter()  # of labels read, by kernel

    def limits(self, device):
        return Limits(multiprocessors=2, shared_bytes=self.shared_bytes, **self.other_limits)

    def run(self, launches, records, device):
        for launch in launches:
            self.run_one(launch, launch.record(records))

    def run_one(self, launch, address):
        record = record_at(launch, address)
        kernels, runtime = self.kernels(launch.kernel.file), build.runtime()
        grid = launch.grid if self.grid is None else min(launch.grid, self.grid)
        before = runtime.race_accesses()
        Regions(launch, record, self.scratch)
        ended = runtime.race_run(
            getattr(kernels.loaded, kernels.symbols[launch.kernel.name]),
            ctypes.c_void_p(address),
            ctypes.byref(kernels.module),
            grid,
            (ctypes.c_uint32 * 3)(*launch.block),
            launch.shared_bytes,
            self.order,
        )
        for line in runtime.race_findings().decode().splitlines():
            kind, at, other, times, text = line.split("\t")
            lines = tuple(kernels.line_of(int(place, 16)) for place in (at, other) if int(place, 16))
            self.findings.append(Finding(kind, lines, int(times), f"{text} of {launch.kernel.name}"))
        if not ended:
            self.findings.append(Finding("threads wait for ever", (), 1, launch.kernel.name))
        accesses = runtime.race_accesses() - before
        self.label_bytes[paths.base(launch.kernel)] += runtime.race_bytes_read(b"labels")
        for path in paths.of(launch, record, grid):
            self.launches[launch.kernel, path] += 1
            self.accesses[launch.kernel, path] += accesses


@pytest.fixture
def under_detector(on_host, monkeypatch):
    """Call it with a launcher: from then on the device engines run under the detector, and say that they can."""

    def start(launcher):
        monkeypatch.setattr(cuda, "take_scratch", launcher.scratch.take)
        return on_host(launcher)

    return start
