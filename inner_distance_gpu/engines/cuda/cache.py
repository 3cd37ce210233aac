"""Compiled kernels on disk: NVRTC takes a second or more for the kernels of a first call, a file a millisecond.

One file per kernel in `$XDG_CACHE_HOME/inner_distance_gpu` (`~/.cache` where that is not set), named by everything that
decides the machine code. A file that is cut short or altered is made anew. A folder that cannot be written, or an
account without a home, is no error: then every process compiles its own.
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
    name = f"{_key(kernel, architecture)}.cubin"
    found = _machine(read(name))
    if found is None:
        found = compiler.compile_kernel(kernel, architecture)
        write(name, found.symbol.encode() + b"\n" + found.image)
    return found


def folder() -> Path | None:
    """Where compiled kernels are kept; None for an account without a home. Relative paths are not taken."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if not named.is_absolute():
        try:
            named = Path.home() / ".cache"
        except RuntimeError:  # neither $HOME nor an entry in the password database
            return None
    return named / "inner_distance_gpu" if named.is_absolute() else None


def kernels_version() -> tuple[tuple[str, ...], tuple[int, int], str]:
    """What decides machine code, but for the kernel and the architecture: options, NVRTC, a hash of the sources."""
    from cupy.cuda import nvrtc

    return (compiler.OPTIONS, nvrtc.getVersion(), _sources_hash())


def _key(kernel: Kernel, architecture: str) -> str:
    decides = (kernel.file, kernel.name, architecture, *kernels_version())
    return hashlib.sha256(repr(decides).encode()).hexdigest()


@functools.cache
def _sources_hash() -> str:
    return hashlib.sha256(repr(compiler.sources()).encode()).hexdigest()


def _machine(content: bytes | None) -> Machine | None:
    """From a symbol, a newline and an image."""
    symbol, newline, image = (content or b"").partition(b"\n")
    return Machine(image, symbol.decode(), "") if newline else None


def read(name: str) -> bytes | None:
    """What `write` kept under that name; None where there is nothing, or something else."""
    place = folder()
    try:
        content = b"" if place is None else (place / name).read_bytes()
    except OSError:
        return None
    rest = content[_HASH_BYTES:]
    return rest if hashlib.sha256(rest).digest() == content[:_HASH_BYTES] else None


def remove(name: str) -> None:
    """Keep nothing under that name any more."""
    place = folder()
    if place is not None:
        with contextlib.suppress(OSError):
            (place / name).unlink()


def write(name: str, content: bytes) -> None:
    """Keep a file, where that is possible: behind a hash of its content."""
    place = folder()
    if place is None:
        return
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        # Renamed when it is whole: processes that start together write the same file.
        with tempfile.NamedTemporaryFile(dir=place, prefix=".new-", delete=False) as file:
            try:
                file.write(hashlib.sha256(content).digest() + content)
                file.close()
                os.replace(file.name, place / name)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(file.name)
                raise
