"""Run one function on many blocks with Dask, a bounded number at a time: threads here, or a cluster."""

from __future__ import annotations

import functools
import itertools
import pickle
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, cast

from .. import __version__, engines

BATCH = 64  # tasks per thread in a graph: a large one costs memory, a small one idle threads at its end

Function = Callable[[int], dict[str, Any]]


@dataclass(frozen=True)
class Progress:
    """How far a write is: blocks and voxels that are done, of all; `computed` counts those of this run."""

    done: int
    blocks: int
    computed: int
    voxels: int


class Scheduler(Protocol):
    """Calls `done` with the result of `function` for each number; the first error ends it.

    `ahead`: how many numbers per thread may be taken before the results of those before them are known. `size`: how
    many of them may travel together to another process, where each message costs milliseconds.
    """

    def run(
        self,
        function: Function,
        numbers: Iterator[int],
        done: Callable[[dict[str, Any]], None],
        ahead: int = BATCH,
        size: int = 1,
    ) -> None: ...


@dataclass(frozen=True)
class Threads:
    """Dask's threads in this process. A block that was begun is finished and counted, also after an interruption."""

    workers: int

    def run(
        self,
        function: Function,
        numbers: Iterator[int],
        done: Callable[[dict[str, Any]], None],
        ahead: int = BATCH,
        size: int = 1,
    ) -> None:
        from dask.base import compute
        from dask.delayed import delayed

        lock = threading.Lock()

        def both(number: int) -> None:
            result = function(number)
            with lock:
                done(result)

        task = delayed(both, pure=False, traverse=False)
        pool = ThreadPoolExecutor(self.workers, thread_name_prefix="block")
        try:
            while batch := list(itertools.islice(numbers, ahead * self.workers)):
                compute(*map(task, batch), scheduler="threads", pool=pool, traverse=False)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class Cluster:
    """The processes of a dask.distributed cluster that runs already; what one of them loses another one computes."""

    address: str

    def run(
        self,
        function: Function,
        numbers: Iterator[int],
        done: Callable[[dict[str, Any]], None],
        ahead: int = BATCH,
        size: int = 1,
    ) -> None:
        distributed = _distributed(self.address)
        with distributed.Client(self.address, set_as_default=False) as client:
            window = min(2, ahead) * max(sum(client.nthreads().values()), 1)
            pickled, given = pickle.dumps(function), {}

            def submit(batch: list[int]) -> Any:
                future = client.submit(_in_turn, pickled, batch, pure=False)
                given[future.key] = batch
                return future

            batches = iter(lambda: list(itertools.islice(numbers, size)), [])
            first = [submit(batch) for batch in itertools.islice(batches, window)]
            running = distributed.as_completed(first, loop=client.loop)
            try:
                for future in running:
                    results = future.result()
                    for result in results:
                        done(result)
                    rest = given.pop(future.key)[len(results) :]
                    for batch in [rest] if rest else itertools.islice(batches, 1):
                        running.add(submit(batch))
            except distributed.scheduler.KilledWorker as error:
                raise OSError(f"{self.address}: a block ended the workers that computed it ({error})") from error
            finally:
                client.cancel(list(running.futures))

    def check(self, engine: str) -> None:
        """Raise unless every worker can run this engine, with this version."""
        distributed = _distributed(self.address)
        with distributed.Client(self.address, set_as_default=False) as client:
            for worker, (version, reason) in client.run(_worker, engine).items():
                if version != __version__:
                    raise ValueError(f"{worker} has inner_distance_gpu {version}: expected {__version__} as here")
                if reason is not None:
                    raise ValueError(f"engine={engine!r} cannot run on {worker} ({reason})")


def _in_turn(pickled: bytes, numbers: list[int]) -> list[dict[str, Any]]:
    """What the function returns for each number, up to one that fails: that is an error where it is the first."""
    results: list[dict[str, Any]] = []
    for number in numbers:
        try:
            results.append(_function(pickled)(number))
        except Exception:
            if not results:
                raise
            break  # those before it count; the caller asks for the rest again, and then it is the first
    return results


@functools.lru_cache(maxsize=4)
def _function(pickled: bytes) -> Function:
    return cast(Function, pickle.loads(pickled))


def _worker(engine: str) -> tuple[str, str | None]:
    return __version__, engines.available()[engine]


def _distributed(address: str) -> Any:
    try:
        import distributed
    except ImportError:
        raise ValueError(
            f"scheduler={address!r} needs dask.distributed: pip install 'inner_distance_gpu[cluster]'"
        ) from None
    return distributed
