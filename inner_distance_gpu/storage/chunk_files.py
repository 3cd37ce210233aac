"""Which file holds which chunk of a Zarr array on disk (formats 2 and 3)."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class MetadataError(ValueError):
    """A file of Zarr metadata that is not what the specification says; the message names it."""


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Let whatever goes wrong with the contents of a file of metadata be an error that names the file.

    zarr-python, numcodecs and the code below raise whatever an unexpected value happens to lead to.
    """
    try:
        yield
    except (MetadataError, OSError, MemoryError, ImportError):
        raise
    except Exception as error:
        raise MetadataError(f"{file}: Zarr metadata cannot be read ({type(error).__name__}: {error})") from error


def metadata(root: Path) -> tuple[int, dict[str, Any]]:
    """The Zarr format of the array at `root`, and what its JSON file says."""
    format, file = metadata_file(root)
    with reading(file):
        stored = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(stored, dict):
            raise ValueError(f"{json.dumps(stored)[:40]}: expected an object")
        return format, stored


def metadata_file(root: Path) -> tuple[int, Path]:
    """The Zarr format of the array at `root`, and the file that says what it is."""
    return (3, root / "zarr.json") if (root / "zarr.json").is_file() else (2, root / ".zarray")


@dataclass(frozen=True)
class ChunkFiles:
    """The files of the array at `root`. `chunk` is what one file holds: a chunk, or a shard of several.

    `inner` are the chunks within a shard, the same as `chunk` without sharding.
    """

    root: Path
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    inner: tuple[int, ...]
    prefix: str
    separator: str
    has_fill_value: bool

    @classmethod
    def of(cls, root: Path) -> ChunkFiles:
        """What the metadata of an array say.

        Raises
        ------
        MetadataError
            They cannot be read, or describe chunks of different sizes.
        """
        with reading(metadata_file(root)[1]):
            format, stored = metadata(root)
            files = cls._format_3(root, stored) if format == 3 else cls._format_2(root, stored)
            if not len(files.shape) == len(files.chunk) == len(files.inner):
                raise ValueError(f"shape {files.shape} and chunks {files.chunk}: expected one number each per axis")
            if min(files.shape, default=0) < 0 or min(files.chunk + files.inner, default=1) < 1:
                raise ValueError(f"shape {files.shape}, chunks {files.chunk}: expected positive numbers")
            return files

    @classmethod
    def _format_2(cls, root: Path, stored: dict[str, Any]) -> ChunkFiles:
        chunk = tuple(map(int, stored["chunks"]))
        separator = stored.get("dimension_separator") or "."
        return cls(
            root, tuple(map(int, stored["shape"])), chunk, chunk, "", separator, stored.get("fill_value") is not None
        )

    @classmethod
    def _format_3(cls, root: Path, stored: dict[str, Any]) -> ChunkFiles:
        grid, keys = stored["chunk_grid"], stored["chunk_key_encoding"]
        if grid["name"] != "regular":
            raise ValueError(f"chunk grid {grid['name']!r}: expected 'regular'")
        chunk = inner = tuple(map(int, grid["configuration"]["chunk_shape"]))
        for codec in stored["codecs"]:
            if codec["name"] == "sharding_indexed":
                inner = tuple(map(int, codec["configuration"]["chunk_shape"]))
        default = keys["name"] == "default"
        separator = (keys.get("configuration") or {}).get("separator") or ("/" if default else ".")
        return cls(
            root, tuple(map(int, stored["shape"])), chunk, inner, f"c{separator}" if default else "", separator, True
        )

    def path(self, index: Sequence[int]) -> Path:
        return Path(self.name(index))

    def name(self, index: Sequence[int]) -> str:
        """The path as text: of 27 chunks around a block, `Path`s alone would take a tenth of a millisecond."""
        return self._beginning + self.separator.join(map(str, index))

    @functools.cached_property
    def _beginning(self) -> str:
        return os.path.join(self.root, self.prefix)

    def touching(self, region: Sequence[slice]) -> Iterator[tuple[int, ...]]:
        """The indices of the chunks that hold voxels of a region."""
        return itertools.product(
            *(range(axis.start // n, -(-axis.stop // n)) for axis, n in zip(region, self.chunk, strict=True))
        )

    def pieces(self, region: Sequence[slice]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...], tuple[slice, ...]]]:
        """Those chunks: the index, and the voxels shared with the region, as parts of the region and of the chunk."""
        axes = [
            [
                (i, slice(low - axis.start, high - axis.start), slice(low - i * n, high - i * n))
                for i in range(axis.start // n, -(-axis.stop // n))
                for low, high in [(max(i * n, axis.start), min((i + 1) * n, axis.stop))]
            ]
            for axis, n in zip(region, self.chunk, strict=True)
        ]
        for along in itertools.product(*axes):
            index, there, within = zip(*along, strict=True)
            yield index, there, within

    def part(self, index: Sequence[int], region: Sequence[slice]) -> tuple[slice, ...]:
        """The voxels of a region that lie in one chunk."""
        return tuple(
            slice(max(i * n, axis.start), min((i + 1) * n, axis.stop))
            for i, n, axis in zip(index, self.chunk, region, strict=True)
        )
