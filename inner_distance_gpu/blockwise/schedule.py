"""Run one function on many blocks, a bounded number at a time: on threads here; `cluster.py` does it on a cluster."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Protocol

from .grid import Grid

Function = Callable[[int], dict[str, Any]]


# What a task on a cluster may hold: 50 to 100 ms of work, beside which sending it costs little.
TASK_VOXELS = 2**21
TASK_BLOCKS = 32


@dataclass(frozen=True)
class Progress:
    """How far a write is: blocks and voxels that are done, of all; `computed` counts those of this run."""

    done: int
    blocks: int
    computed: int
    voxels: int


Report = Callable[[Progress], None]


def batch_size(grid: Grid, read: int = 1) -> int:
    """How many blocks travel together, where `read` voxels are read for each; all workers share the last of them."""
    return max(1, min(TASK_VOXELS // (grid.largest * read), TASK_BLOCKS, len(grid) // 64))


class Scheduler(Protocol):
    """Calls `done` with the result of `function` for each number, one call at a time; the first error ends it.

    `ahead`: how many numbers per thread may be taken before the results of those before them are known. `size`: how
    many of them may travel together to another process, where each message costs milliseconds.
    """

    def run(
        self,
        function: Function,
        numbers: Iterator[int],
        done: Callable[[dict[str, Any]], None],
        ahead: int = 1,
        size: int = 1,
    ) -> None: ...


@dataclass(frozen=True)
class Threads:
    """Threads of this process. A block that was begun is finished and counted, also after an interruption.

    Each takes the next number when it has done the one before. Dask's threaded scheduler takes as long for a task as
    the rest of a small block does, and there is nothing to order.
    """

    workers: int

    def run(
        self,
        function: Function,
        numbers: Iterator[int],
        done: Callable[[dict[str, Any]], None],
        ahead: int = 1,
        size: int = 1,
    ) -> None:
        taking, counting, ended = threading.Lock(), threading.Lock(), threading.Event()

        def work() -> None:
            try:
                while not ended.is_set():
                    with taking:
                        number = next(numbers, None)
                    if number is None:
                        return
                    result = function(number)
                    with counting:
                        done(result)
            except BaseException:
                ended.set()
                raise

        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="block")
        try:
            for thread in as_completed([pool.submit(work) for _ in range(self.workers)]):
                thread.result()
        finally:
            ended.set()
            pool.shutdown(wait=True, cancel_futures=True)
