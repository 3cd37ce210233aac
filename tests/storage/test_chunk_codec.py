"""Are chunks that are read and written without zarr-python those that it reads and writes?"""

import types

import numpy as np
import pytest
from volumes import SCALE, VOXEL
from zarr_stores import FORMATS, ZARR_2, create, digests, values, zarr

from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise import task
from inner_distance_gpu.storage.chunk_codec import ChunkCodec

REGIONS = [(slice(0, 7), slice(0, 20)), (slice(2, 6), slice(7, 9)), (slice(6, 7), slice(19, 20))]
DTYPES = ["bool", "u1", "<u2", ">u2", "i4", "<u8", ">i8", "f2", "<f4", ">f8"]


def stored(path, dtype, version, **more):
    rng = np.random.default_rng(0)
    data = rng.integers(0, 3, (7, 20)).astype(np.dtype(dtype))
    create(path, data, version, chunks=(3, 8), **more)
    (path / ("c/1/1" if version == 3 else "1.1")).unlink()  # holds the fill value now
    return path


@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_reading_each_data_type(tmp_path, dtype, version):
    fill = True if dtype == "bool" else 7
    path = stored(tmp_path / "a.zarr", dtype, version, fill_value=fill)
    codec = ChunkCodec.of(path)
    for region in REGIONS:
        read = codec.read(region)
        np.testing.assert_array_equal(read, values(path)[region])
        assert read.dtype == values(path).dtype.newbyteorder("=")
    assert (codec.read(REGIONS[0])[3:6, 8:16] == fill).all()


@pytest.mark.parametrize("fill", [np.nan, np.inf, -np.inf, -1.5])
@pytest.mark.parametrize("version", FORMATS)
def test_fill_values_that_json_has_no_numbers_for(tmp_path, fill, version):
    path = stored(tmp_path / "a.zarr", "f4", version, fill_value=fill)
    np.testing.assert_array_equal(ChunkCodec.of(path).read(REGIONS[0]), values(path))


def compressors():
    from numcodecs import LZ4, Blosc, GZip, Zlib, Zstd

    yield from ((2, {"compressor": codec}) for codec in (None, Zstd(3), GZip(1), Blosc("lz4", 5), LZ4(), Zlib(1)))
    if not ZARR_2:
        codecs = zarr.codecs
        for codec in (codecs.ZstdCodec(level=1, checksum=True), codecs.GzipCodec(level=3)):
            yield 3, {"codecs": [codecs.BytesCodec(endian="big"), codec]}


@pytest.mark.parametrize(("version", "more"), list(compressors()))
@pytest.mark.parametrize("order", ["C", "F"])
def test_reading_each_compressor(tmp_path, version, more, order):
    path = stored(tmp_path / "a.zarr", "<u4", version, **more, **({"order": order} if version == 2 else {}))
    codec = ChunkCodec.of(path)
    for region in REGIONS:
        np.testing.assert_array_equal(codec.read(region), values(path)[region])


def unusual():
    from numcodecs import Delta

    yield 2, {"filters": [Delta(dtype="<u4")]}
    if not ZARR_2:
        codecs = zarr.codecs
        yield 3, {"codecs": [codecs.BytesCodec(), codecs.Crc32cCodec()]}
        yield 3, {"codecs": [codecs.TransposeCodec(order=(1, 0)), codecs.BytesCodec()]}
        yield 3, {"codecs": [codecs.ShardingCodec(chunk_shape=(1, 4))]}


@pytest.mark.parametrize(("version", "more"), list(unusual()))
def test_what_zarr_alone_reads(tmp_path, version, more):
    assert ChunkCodec.of(stored(tmp_path / "a.zarr", "<u4", version, **more)) is None


@pytest.mark.skipif(ZARR_2, reason="zarr-python 2 stores chunks of zeros")
@pytest.mark.parametrize("version", FORMATS)
@pytest.mark.parametrize("compression", ["none", "zstd", "gzip:2", "blosc"])
@pytest.mark.parametrize("options", [{}, {"dtype": "int8"}, {"ids": [1, 2]}])
def test_the_output_is_the_one_that_zarr_writes(tmp_path, monkeypatch, version, compression, options):
    labels = np.zeros((7, 40, 33), np.uint8)  # its first chunks hold zeros, its last ones end outside
    labels[4:, 20:, 20:] = np.random.default_rng(0).integers(0, 3, (3, 20, 13))
    source = create(tmp_path / "labels.zarr", labels, version, chunks=(3, 16, 16))
    options = {"scale": SCALE, "compression": compression, "chunks": (3, 8, 16), "blocks": (3, 16, 16), **options}
    blockwise.write(source, tmp_path / "ours.zarr", VOXEL, **options)
    monkeypatch.setattr(task, "chunk_codec", lambda *_: None)
    monkeypatch.setattr("gzip.time", types.SimpleNamespace(time=lambda: 0))  # ours does not say when it was written
    blockwise.write(source, tmp_path / "theirs.zarr", VOXEL, **options)
    ours, theirs = (digests(tmp_path / name / "0") for name in ("ours.zarr", "theirs.zarr"))
    assert ours == theirs
    assert len(ours) > 4


def test_negative_zeros_are_stored(tmp_path):
    """A chunk of −0.0 is not one of 0.0: readers would see another bit pattern."""
    path = create(tmp_path / "a.zarr", np.zeros((2, 2), "<f4"), fill_value=0)
    codec = ChunkCodec.of(path)
    assert codec.encode(np.zeros((1, 1), np.float32)) is None
    assert codec.encode(-np.zeros((1, 1), np.float32)) is not None


@pytest.mark.skipif(ZARR_2, reason="zarr-python 2 has no such setting")
def test_the_setting_to_store_zeros_is_kept(tmp_path):
    source = create(tmp_path / "labels.zarr", np.zeros((4, 4), np.uint8), chunks=(2, 2))
    with zarr.config.set({"array.write_empty_chunks": True}):
        blockwise.write(source, tmp_path / "target.zarr", (1, 1), scale=1, blocks=(2, 2))
    assert sum(path.is_file() and path.name.isdecimal() for path in tmp_path.rglob("target.zarr/0/*/*")) == 4
