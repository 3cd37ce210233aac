"""Who adds to class counts when: one lock for counts on the host, one for those on devices.

Engine `cpu` takes the host's lock natively, for as long as it reads, adds and writes; other engines take it here. Both
are held for microseconds, but for engines that count on the other side of the bus. Whoever needs both takes the
devices' first. A thread may take a lock that it has. A forked child gets new ones.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

try:
    from . import _host
except ImportError:  # no engine `cpu`: nothing adds to counts natively
    _native: AbstractContextManager[Any] = threading.RLock()
else:
    _native = _host.CountsLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_host.renew_counts_lock)


class _Held(threading.local):
    """How many of the locks this thread has or waits for."""

    locks = 0


_held = _Held()


class _Lock:
    """A lock that notes who has it."""

    def __init__(self, lock: AbstractContextManager[Any]) -> None:
        self._lock = lock

    def __enter__(self) -> None:
        _held.locks += 1
        try:
            self._lock.__enter__()
        except BaseException:
            _held.locks -= 1
            raise

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(*error)
        _held.locks -= 1


on_host = _Lock(_native)
_on_device = _Lock(threading.RLock())


def on_device() -> AbstractContextManager[Any]:
    """The lock of counts on devices, and of those that are copied to another device to be counted on."""
    return _on_device


@contextlib.contextmanager
def nowhere() -> Iterator[None]:
    """No call counts meanwhile, wherever it does so."""
    with on_device(), on_host:
        yield


def is_held() -> bool:
    """Whether this thread must not wait for another one that may be counting.

    Garbage collection runs anywhere, in sections that hold a lock, too.
    """
    return _held.locks > 0


def _renew() -> None:
    global _on_device
    _on_device = _Lock(threading.RLock())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
