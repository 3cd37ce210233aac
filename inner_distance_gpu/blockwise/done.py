"""Which blocks are done, and sums over them, in a byte per block."""

from __future__ import annotations

from typing import Any

import numpy as np

from .task import Job


class Done:
    """Which blocks a journal names, and the sums of what it says about them: a byte per block."""

    def __init__(self, job: Job) -> None:
        self._grid = job.grid
        self.blocks = np.zeros(len(job.grid), bool)
        self.count = self.voxels = self._missing = 0
        self._class_voxels = np.zeros((job.channels, 2), np.int64)
        self._densest = (-1, 0)  # voxels of foreground, and the number of the block, negated: the first one counts

    def add(self, record: dict[str, Any]) -> None:
        number, voxels = record["block"], record["voxels"]
        if self.blocks[number]:
            return
        self.blocks[number] = True
        self.count += 1
        self.voxels += self._grid.voxels_of(number)
        self._missing += record["missing"]
        self._class_voxels += voxels
        self._densest = max(self._densest, (sum(inside for _, inside in voxels), -number))

    def results(self) -> dict[str, Any]:
        """What the attributes of a complete output say."""
        densest = self._grid.place(-self._densest[1])
        return {
            "missing_chunks": self._missing,
            "class_voxels": self._class_voxels.tolist(),
            "densest": [*densest.volume, *((axis.start + axis.stop) // 2 for axis in densest.inner)],
        }
