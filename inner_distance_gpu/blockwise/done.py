"""Which blocks are done, and sums over them, in a byte per block."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from .grid import Grid
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


class LevelMarks:
    """Which blocks of which level a journal names: a byte per block. Those of blocks of another size do not count."""

    def __init__(self) -> None:
        self._blocks: dict[tuple[int, tuple[int, ...]], bytearray] = {}

    def add(self, record: dict[str, Any]) -> None:
        level = record["level"]
        if "block" not in record:  # the array was created: what was done before was in another one
            self._blocks = {key: marks for key, marks in self._blocks.items() if key[0] != level}
            return
        marks, number = self._blocks.setdefault((level, tuple(record["size"])), bytearray()), record["block"]
        marks.extend(bytes(max(number + 1 - len(marks), 0)))
        marks[number] = 1

    def done(self, level: int, grid: Grid) -> npt.NDArray[np.bool_]:
        found = np.zeros(len(grid), bool)
        marks = self._blocks.get((level, grid.block), b"")
        found[: len(marks)] = np.frombuffer(bytes(marks), bool)
        return found
