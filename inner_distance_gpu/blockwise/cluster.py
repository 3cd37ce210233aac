"""Run one function on many blocks on a dask.distributed cluster that grows, shrinks and dies."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import math
import pickle
import queue
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

from .. import __version__, engines
from ..parameters import check_count
from .schedule import Function, Scheduler, Threads

ASK_EVERY = 0.25  # s between two questions for the threads of a cluster
SAY_AFTER = 5  # s without a worker
PATIENCE = "5 minutes"  # without a worker, unless Dask's setting inner-distance-gpu.no-workers-timeout says otherwise
CLOSING = 5  # s
GATHERING = 2  # s to wait for a result that a worker has; then it may be lost with the worker
PER_THREAD = 2  # tasks under way: one that is computed, and one that need not be waited for


class ClusterWarning(UserWarning):
    """A cluster has no workers at the moment."""


@dataclass(frozen=True)
class Cluster:
    """The processes of a dask.distributed cluster that runs already; what one of them loses another one computes.

    A block that was begun is finished and counted, also after an interruption; a second one drops it.
    """

    address: str

    def run(
        self,
        function: Function,
        numbers: Iterator[int],
        done: Callable[[dict[str, Any]], None],
        ahead: int = PER_THREAD,
        size: int = 1,
    ) -> None:
        with self._client() as client:
            # By the pickler that Dask itself would choose, but once and not for every task.
            pickled = _distributed(self.address).protocol.pickle.dumps(
                functools.partial(_same_version, __version__, function)
            )
            work = _Window(client, self.address, functools.partial(_in_turn, pickled), done)
            batches = iter(lambda: list(itertools.islice(numbers, size)), [])
            try:
                while work.fill(batches, ahead):
                    work.take()
            except BaseException:
                work.stop()
                raise

    def check(self, engine: str) -> None:
        """Raise unless every worker that there is can run this engine, with this version."""
        with self._client() as client:
            for worker, (version, reason) in client.run(_worker, engine).items():
                if version != __version__:
                    raise ValueError(f"{worker} has inner_distance_gpu {version}: expected {__version__} as here")
                if reason is not None:
                    raise ValueError(f"engine={engine!r} cannot run on {worker} ({reason})")

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        client = _distributed(self.address).Client(self.address, set_as_default=False)
        # They print tracebacks when the scheduler or a worker is gone, which is said in a line here.
        logs = [logging.getLogger(name) for name in ("distributed.client", "asyncio")]
        levels = [log.level for log in logs]
        for log in logs:
            log.setLevel(logging.CRITICAL)
        try:
            yield client
        finally:
            with contextlib.suppress(OSError, TimeoutError):  # the scheduler may be gone
                client.close(timeout=CLOSING)
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)


def scheduler_of(engine: str, workers: int | None, address: str | None) -> Scheduler:
    """Who computes blocks with an engine: threads of this process, or the cluster at an address."""
    if address is not None:
        if workers is not None:
            raise ValueError(f"workers={workers} with scheduler={address!r}: the cluster has its own threads")
        cluster = Cluster(address)
        cluster.check(engine)
        return cluster
    engines.require(engine)
    from dask.system import CPU_COUNT

    return Threads(CPU_COUNT if workers is None else check_count("workers", workers))


class _Window:
    """The blocks that are under way on a cluster: some for each thread that it has at the moment."""

    def __init__(
        self,
        client: Any,
        address: str,
        function: Callable[[list[int]], list[dict[str, Any]]],
        done: Callable[[dict[str, Any]], None],
    ) -> None:
        import dask

        self._client, self._address, self._function, self._done = client, address, function, done
        self._under_way: dict[str, Any] = {}
        self._given: dict[str, list[int]] = {}  # the blocks of each task
        self._again: list[list[int]] = []  # what a task left after a block that failed, and tasks lost with a worker
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._threads, self._asked = 0, -math.inf
        self._alone_since: float | None = None
        self._warned = False
        self._patience = dask.utils.parse_timedelta(dask.config.get("inner-distance-gpu.no-workers-timeout", PATIENCE))

    def fill(self, batches: Iterator[list[int]], per_thread: int) -> bool:
        """Give out what the threads may take; whether anything is under way."""
        self._count_threads()
        room = per_thread * max(self._threads, 1) - len(self._under_way)
        again, self._again = self._again, []
        for batch in itertools.chain(again, itertools.islice(batches, max(room - len(again), 0))):
            self._wait_for(self._client.submit(self._function, batch, pure=False), batch)
        return bool(self._under_way)

    def _wait_for(self, future: Any, batch: list[int]) -> None:
        self._under_way[future.key] = future
        self._given[future.key] = batch
        future.add_done_callback(self._ended.put)

    def take(self) -> None:
        """Count the blocks of one task that has ended; return after a moment where none has."""
        try:
            future = self._ended.get(timeout=ASK_EVERY)
        except queue.Empty:
            return
        self._under_way.pop(future.key)
        given = self._given.pop(future.key)
        if future.status == "finished":
            try:
                results = self._result(future)
            except TimeoutError:  # a result that was lost with its worker is computed again, once there is another
                self._wait_for(future, given)
                return
            except OSError as error:  # of the connection: the blocks themselves are done
                raise self._gone(str(error)) from error
            for result in results:
                self._done(result)
            if rest := given[len(results) :]:
                self._again.append(rest)
        elif future.status == "pending":  # as above
            self._wait_for(future, given)
        elif future.status == "error":
            self._result(future)
        elif self._client.status == "running":  # lost with its worker
            self._again.append(given)
        else:
            raise self._gone(future.status)

    def stop(self) -> None:
        """Finish and count the blocks that were begun, and drop the others."""
        try:
            if self._client.status == "running":
                begun = {key for keys in self._client.run(_executing).values() for key in keys}
                waiting = [future for key, future in self._under_way.items() if key not in begun]
                for future in waiting:
                    self._under_way.pop(future.key)
                finished = [future for future in waiting if future.done()]
                self._under_way |= {future.key: future for future in finished}
                self._client.cancel([future for future in waiting if future.key not in self._under_way])
                while self._under_way:
                    self._count_threads()
                    self._take_begun()
        except Exception as error:  # the one that ends the run is raised already
            logging.getLogger(__name__).info("blocks that were begun are dropped: %s", error)
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(self._under_way.values()))

    def _take_begun(self) -> None:
        try:
            future = self._ended.get(timeout=ASK_EVERY)
        except queue.Empty:
            return
        if self._under_way.pop(future.key, None) is not None and future.status == "finished":
            with contextlib.suppress(Exception):  # as above; it is marked before anything is reported
                for result in self._result(future):
                    self._done(result)

    def _result(self, future: Any) -> list[dict[str, Any]]:
        try:
            return list(future.result(timeout=GATHERING))
        except _distributed(self._address).scheduler.KilledWorker as error:
            raise OSError(
                f"{self._address}: a block ended the workers that computed it ({error}). Do they have the memory that "
                "--dry-run says? The same command goes on where this one stopped"
            ) from error

    def _count_threads(self) -> None:
        """Ask now and then how many threads there are; say when there are none, and end when none come."""
        now = time.monotonic()
        if now - self._asked < ASK_EVERY:
            return
        try:
            self._threads = sum(self._client.nthreads().values())
        except (OSError, TimeoutError, AttributeError) as error:  # AttributeError: the client has closed itself
            raise self._gone(str(error) or type(error).__name__) from error
        self._asked = time.monotonic()
        if self._threads:
            self._alone_since, self._warned = None, False
            return
        self._alone_since = self._asked if self._alone_since is None else self._alone_since
        alone = self._asked - self._alone_since
        if alone > self._patience:
            raise OSError(
                f"{self._address}: the cluster has had no workers for {alone:.0f} s. Start workers; the same command "
                "goes on where this one stopped"
            )
        if alone > SAY_AFTER and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._address}: the cluster has no workers; waiting for some, {self._patience:.0f} s at most",
                ClusterWarning,
                stacklevel=2,
            )

    def _gone(self, why: str) -> OSError:
        return OSError(
            f"{self._address}: the scheduler of the cluster cannot be reached any more ({why}). Start a cluster; the "
            "same command, with its address, goes on where this one stopped"
        )


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


def _same_version(expected: str, function: Function, number: int) -> dict[str, Any]:
    """Workers may join when the others have been checked already."""
    if __version__ != expected:
        raise ValueError(f"a worker has inner_distance_gpu {__version__}: expected {expected}")
    return function(number)


def _executing(dask_worker: Any) -> list[str]:
    return [task.key for task in dask_worker.state.executing]


def _distributed(address: str) -> Any:
    try:
        import distributed
    except ImportError:
        raise ValueError(
            f"scheduler={address!r} needs dask.distributed: pip install 'inner_distance_gpu[cluster]'"
        ) from None
    return distributed
