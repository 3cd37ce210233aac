"""What memory a launch may touch, told to the runtime from the launch's record.

Arrays of a caller are marked element by element, so that the gaps between them are out of bounds. Of a scratch block
every piece is a region of its own, as long as the host asked for and no longer.
"""

import ctypes
import math
import weakref

import torch
from cuda_records import Doubled, Weighing
from race import build

KEPT, FILLED, FRESH = range(3)  # Content in shadow.hpp
POISON = 0xA5

# What each kernel writes; everything else that it is given is an input. The [out] and [buf] of kernels/cuda.
WRITES = {
    "classify": {"inside", "annotated"},
    "scan": {"scans", "chunks", "inside", "annotated", "flags", "values", "counted", "segments"},
    "plane": {"target", "weight", "rows"},
    "pairs": {"target", "weight"},
    "mark": {"grid", "flags"},
    "sample": {"target", "weight"},
    "count": {"counted", "sums"},
    "settle": {"numerators", "denominators", "class_weight"},
    "weigh": {"weights"},
}
SCRATCH = ("scans", "chunks", "inside", "annotated", "flags", "counted", "class_weight", "segments", "values", "rows")


class Scratch:
    """The pieces of scratch memory that is still in use: address -> bytes."""

    def __init__(self):
        self.pieces = {}

    def take(self, plan, device):
        """In place of `run.take_scratch`: memory that is filled with what is no answer, and remembered here."""
        memory = torch.full((plan.scratch_bytes,), POISON, dtype=torch.uint8, device=device)
        memory[: plan.cleared_bytes] = 0
        base = memory.data_ptr()
        runtime = build.runtime()
        runtime.race_initialised(base, base + plan.scratch_bytes, False)
        runtime.race_initialised(base, base + plan.cleared_bytes, True)
        for _, at, size in plan.pieces:
            self.pieces[base + at] = (size, weakref.ref(memory))
        return memory

    def bytes_at(self, address):
        """How long the piece at an address is, or None where none in use begins there."""
        size, memory = self.pieces.get(address, (None, lambda: None))
        return None if memory() is None else size


class Regions:
    """The regions of one launch."""

    def __init__(self, launch, record, scratch):
        self.kernel = launch.kernel.name.removeprefix("half_grid::").partition("<")[0]
        self.scratch = scratch
        build.runtime().race_begin()
        if isinstance(record, Weighing):
            self._weighing(record)
        else:
            self._job(record.job if isinstance(record, Doubled) else record)
        if isinstance(record, Doubled):
            grid = [2 * n - 1 for n in record.job.n]
            self._bytes("grid", record.grid, record.job.volumes * math.prod(grid), FRESH)
            self._bytes("distances", record.distances, 4 * math.prod(grid), FILLED)

    def _job(self, job):
        widths = {"labels": job.label.width, "mask": job.mask_value.width, "target": 4, "weight": 4}
        for name, width in widths.items():
            view = getattr(job, name)
            self._array(name, view.data, [*job.leading, *job.n], [*view.lead, *view.step], width)
        for name in SCRATCH:
            self._bytes(name, getattr(job, name), None, FILLED)
        table = job.table
        self._bytes("ids", table.ids, 8 * table.count, FILLED)
        self._bytes("members", table.members, 4 * (table.count + 1) * table.groups, FILLED)

    def _weighing(self, w):
        self._array("labels", w.labels, w.shape, w.label_step, w.label.width)
        self._array("mask", w.mask, w.shape, w.mask_step, w.mask_value.width)
        counts = 8 * w.slabs * w.classes
        for name in ("numerators", "denominators"):
            self._bytes(name, getattr(w, name), counts, FILLED)
        for name in ("counted", "sums", "class_weight", "inside", "annotated"):
            self._bytes(name, getattr(w, name), None, FILLED)
        self._bytes("weights", w.weights, 4 * math.prod(w.shape), FRESH)

    def _bytes(self, name, address, size, content):
        """Contiguous memory: a piece of scratch, or `size` bytes that the host owns otherwise."""
        piece = self.scratch.bytes_at(address)
        if piece is not None:
            size, content = piece, KEPT
        if address:
            assert size is not None, f"{name} lies in no scratch memory that is in use"
            self._mark(name, address, [], [], size, content)

    def _array(self, name, address, extents, steps, width):
        if address:
            self._mark(name, address, extents, steps, width, FRESH if name in WRITES[self.kernel] else FILLED)

    def _mark(self, name, address, extents, steps, width, content):
        runtime, axes = build.runtime(), len(extents)
        integers = ctypes.c_int64 * axes
        runtime.race_region(name.encode(), name in WRITES[self.kernel])
        runtime.race_array(address, axes, integers(*extents), integers(*steps), width, content)
