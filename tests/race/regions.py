"""What memory a launch may touch, told to the runtime from the launch's record.

Arrays of a caller are marked element by element, so that the gaps between them are out of bounds. Of a scratch block
every piece is a region of its own, as long as the host asked for and no longer.
"""

import ctypes
import math
import weakref

import torch
from race import build

from inner_distance_gpu.device import records, work

KEPT, FILLED, FRESH = range(3)  # Content in shadow.hpp
POISON = 0xA5

# What each kernel writes; everything else that it is given is an input. The [out] and [buf] of kernels/cuda.
WRITES = {
    "scan": {"scans", "chunks", "inside", "known", "flags", "values", "counted", "segments"},
    "plane": {"target", "weight", "rows"},
    "pairs": {"target", "weight"},
    "mark": {"grid", "flags"},
    "sample": {"target", "weight"},
    "count": {"counted", "sums"},
    "settle": {"numerators", "denominators", "class_weight"},
    "weigh": {"weights"},
}
SCRATCH = ("scans", "chunks", "inside", "known", "flags", "counted", "class_weight", "segments", "values", "rows")


class Scratch:
    """The pieces of scratch memory that is still in use: address -> bytes."""

    def __init__(self):
        self.pieces = {}

    def layout(self):
        """A ScratchLayout whose blocks are remembered here, filled with what is no answer."""
        scratch = self

        class Watched(work.ScratchLayout):
            @classmethod
            def of(cls, pieces, zeroed):
                layout = super().of(pieces, zeroed)
                layout.sizes = {**zeroed, **pieces}
                return layout

            def take(self, device):
                memory = torch.full((self.size,), POISON, dtype=torch.uint8, device=device)
                memory[: self.cleared] = 0
                base = memory.data_ptr()
                runtime = build.runtime()
                runtime.race_initialised(base, base + self.size, False)
                runtime.race_initialised(base, base + self.cleared, True)
                for name, at in self.at.items():
                    scratch.pieces[base + at] = (self.sizes[name], weakref.ref(memory))
                return memory

        return Watched

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
        if isinstance(record, records.Weighing):
            self._weighing(record)
        else:
            self._job(record.job if isinstance(record, records.Doubled) else record)
        if isinstance(record, records.Doubled):
            grid = [2 * n - 1 for n in record.job.n]
            self._bytes("grid", record.grid, record.job.volumes * math.prod(grid), FRESH)
            self._bytes("distances", record.distances, 4 * math.prod(grid), FILLED)

    def _job(self, job):
        widths = {"labels": job.label.width, "mask": job.mask_value.width, "target": 4, "weight": 4}
        for name, width in widths.items():
            view = getattr(job, name)
            self._array(name, view.data, [*job.leading, *job.n], [*view.lead, *view.step], width)
        # Engine `cucim` keeps flags in a tensor of its own.
        for name in SCRATCH:
            self._bytes(name, getattr(job, name), 4 * job.volumes if name == "flags" else None, FILLED)

    def _weighing(self, w):
        self._array("labels", w.labels, w.shape, w.label_step, w.label.width)
        self._array("mask", w.mask, w.shape, w.mask_step, w.mask_value.width)
        counts = 8 * w.slabs * w.classes
        for name in ("numerators", "denominators"):
            self._bytes(name, getattr(w, name), counts, FILLED)
        for name in ("counted", "sums", "class_weight"):
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
