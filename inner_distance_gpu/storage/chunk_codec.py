"""How a chunk of a Zarr array lies in its file, where that is simple: one array, compressed or not.

zarr-python reads and writes chunks in an event loop of another thread, which costs milliseconds for the smallest one.
What it alone understands (shards, filters, checksums, other data types) is left to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from .chunk_files import ChunkFiles, metadata

KINDS = "biuf"


@dataclass(frozen=True)
class ChunkCodec:
    """Arrays of shape `chunk` to bytes and back. `compressor` is one of numcodecs, or None."""

    files: ChunkFiles
    dtype: np.dtype[Any]
    order: Literal["C", "F"]
    compressor: Any
    fill_value: Any

    @classmethod
    def of(cls, root: Path) -> ChunkCodec | None:
        """The codec of the array at `root`; None where zarr-python has to read it."""
        format, stored = metadata(root)
        recipe = _format_3(stored) if format == 3 else _format_2(stored)
        if recipe is None:
            return None
        dtype, order, compressor = recipe
        fill = stored.get("fill_value")
        # Zarr writes NaN, infinities and bit patterns as text.
        if not isinstance(fill, (bool, int, float, type(None))):
            if fill not in ("NaN", "Infinity", "-Infinity"):
                return None
            fill = float(fill)
        return cls(ChunkFiles.of(root), dtype, order, compressor, fill)

    def decode(self, stored: bytes) -> npt.NDArray[Any]:
        """The chunk in a file; ValueError, or what a compressor raises, where it does not hold one."""
        data = stored if self.compressor is None else self.compressor.decode(stored)
        return np.frombuffer(data, self.dtype).reshape(self.files.chunk, order=self.order)

    def encode(self, chunk: npt.NDArray[Any]) -> Any:
        """The bytes of a chunk's file; None for one that is all zeros, down to the bit, which is not stored."""
        ordered = np.asarray(chunk, self.dtype, order=self.order)
        if not ordered.view(f"u{self.dtype.itemsize}").any():
            return None
        flat = ordered.reshape(-1, order=self.order)
        if self.compressor is None:
            return flat
        stored = self.compressor.encode(flat)
        if self.compressor.codec_id == "gzip":  # its header has the time: the same volume is the same bytes at any time
            stored = stored[:4] + bytes(4) + stored[8:]
        return stored

    def read(self, region: Sequence[slice]) -> npt.NDArray[Any]:
        """The values of a region; the fill value where a chunk is not stored."""
        shape = tuple(axis.stop - axis.start for axis in region)
        values = np.empty(shape, self.dtype.newbyteorder("="))
        for index, there, within in self.files.pieces(region):
            try:
                with open(self.files.name(index), "rb", buffering=0) as file:
                    stored = file.read()
            except FileNotFoundError:
                values[there] = 0 if self.fill_value is None else self.fill_value
                continue
            values[there] = self.decode(stored)[within]
        return values


def _format_2(stored: dict[str, Any]) -> tuple[np.dtype[Any], Any, Any] | None:
    if not isinstance(stored["dtype"], str) or stored.get("filters"):
        return None
    dtype = np.dtype(stored["dtype"])
    configuration = stored.get("compressor")
    return (dtype, stored["order"], _numcodec(configuration)) if dtype.kind in KINDS else None


def _format_3(stored: dict[str, Any]) -> tuple[np.dtype[Any], Any, Any] | None:
    codecs, name = stored["codecs"], stored["data_type"]
    if stored.get("storage_transformers") or not 1 <= len(codecs) <= 2 or codecs[0]["name"] != "bytes":
        return None
    try:
        dtype = np.dtype(name)
    except TypeError:
        return None
    if dtype.kind not in KINDS or dtype.name != name:
        return None
    endian = (codecs[0].get("configuration") or {}).get("endian", "little")
    dtype = dtype.newbyteorder(">" if endian == "big" else "<")
    if len(codecs) == 1:
        return dtype, "C", None
    if codecs[1]["name"] not in ("zstd", "gzip"):
        return None
    return dtype, "C", _numcodec({"id": codecs[1]["name"]} | codecs[1].get("configuration", {}))


def _numcodec(configuration: dict[str, Any] | None) -> Any:
    if configuration is None:
        return None
    import numcodecs

    return numcodecs.get_codec(configuration)
