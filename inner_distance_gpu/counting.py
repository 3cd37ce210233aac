"""Who adds to class counts when: one lock for counts on the host, one for those on devices.

Engine `cpu` takes the host's lock natively, for as long as it reads, adds and writes; other engines take it here. Both
are held for microseconds, but for engines that count on the other side of the bus. A forked child gets new ones.
"""

from __future__ import annotations

import os
import threading
from contextlib import AbstractContextManager
from typing import Any

try:
    from . import _host
except ImportError:  # no engine `cpu`: nothing adds to counts natively
    on_host: AbstractContextManager[Any] = threading.RLock()
else:
    on_host = _host.CountsLock()
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_host.renew_counts_lock)

_on_device = threading.RLock()


def on_device() -> AbstractContextManager[Any]:
    """The lock of counts on devices, and of those that are copied to another device to be counted on."""
    return _on_device


def _renew() -> None:
    global _on_device
    _on_device = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
