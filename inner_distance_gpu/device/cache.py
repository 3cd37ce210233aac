"""Compiled kernels on disk: NVRTC takes a second or more for the kernels of a first call, a file a millisecond.

One file per kernel in `$XDG_CACHE_HOME/inner_distance_gpu` (`~/.cache` where that is not set), named by everything that
decides the machine code. A file that is cut short or altered is made anew; a folder that cannot be written is no error.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import tempfile
from pathlib import Path

from . import compiler
from .compiler import Kernel, Machine

_HASH_BYTES = hashlib.sha256().digest_size


def compiled(kernel: Kernel, architecture: str) -> Machine:
    """Machine code of a kernel, from the cache or from NVRTC."""
    path = folder() / f"{_key(kernel, architecture)}.cubin"
    found = _read(path)
    if found is None:
        found = compiler.compile_kernel(kernel, architecture)
        with contextlib.suppress(OSError):
            _write(path, found)
    return found


def folder() -> Path:
    """Where compiled kernels are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "inner_distance_gpu"


def _key(kernel: Kernel, architecture: str) -> str:
    from cupy.cuda import nvrtc

    decides = (kernel.file, kernel.name, architecture, compiler.OPTIONS, nvrtc.getVersion(), _sources_hash())
    return hashlib.sha256(repr(decides).encode()).hexdigest()


@functools.cache
def _sources_hash() -> str:
    return hashlib.sha256(repr(compiler.sources()).encode()).hexdigest()


def _read(path: Path) -> Machine | None:
    """Hash of the rest, symbol, newline, image."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    rest = content[_HASH_BYTES:]
    symbol, newline, image = rest.partition(b"\n")
    if not newline or hashlib.sha256(rest).digest() != content[:_HASH_BYTES]:
        return None
    return Machine(image, symbol.decode(), "")


def _write(path: Path, machine: Machine) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rest = machine.symbol.encode() + b"\n" + machine.image
    # Renamed when it is whole: processes that start together write the same file.
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
        file.write(hashlib.sha256(rest).digest() + rest)
    try:
        os.replace(file.name, path)
    except OSError:
        os.unlink(file.name)
        raise
