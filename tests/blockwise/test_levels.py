"""Is each level of a pyramid the average of the one below it, and does it lie where that does?"""

import warnings

import numpy as np
import pytest
from pyramids import averaged, image, multiscale, places
from volumes import SCALE, VOLUMES, VOXEL
from zarr_stores import FORMATS, ZARR_2, create, digests, values, zarr

from inner_distance_gpu import blockwise, open_labels
from inner_distance_gpu.blockwise import averaging
from inner_distance_gpu.storage.pyramids import factors_of_levels

LABELS = VOLUMES["instances"]  # 7 × 40 × 33
OPTIONS = {"voxel_size": VOXEL, "scale": SCALE, "background": "signed", "unit": "nm", "chunks": (2, 4, 5)}


def check(path, factors):
    """Every level against the definition; the arrays of all levels."""
    arrays = [values(path / str(level)) for level in range(len(factors) + 1)]
    for below, above, step in zip(arrays, arrays[1:], factors, strict=False):
        expected = averaged(below, step)
        np.testing.assert_array_equal(above, expected)
        assert above.dtype == below.dtype
    return arrays


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("version", FORMATS)
def test_levels_of_a_target(tmp_path, version, dtype):
    source = create(tmp_path / "labels.zarr", LABELS, version)
    written = blockwise.write(source, tmp_path / "t.zarr", **OPTIONS, dtype=dtype, levels="auto")
    # y and x are halved until their voxels are nearly as long as those of z: then all are.
    steps = [(1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    assert written.levels == ((7, 40, 33), (7, 20, 17), (7, 10, 9), (7, 5, 5), (4, 3, 3), (2, 2, 2))
    arrays = check(tmp_path / "t.zarr", steps)
    assert tuple(array.shape for array in arrays) == written.levels
    assert not (tmp_path / "t.zarr" / ".unfinished").exists()
    if dtype == "int8":
        assert zarr.open_array(str(tmp_path / "t.zarr" / "1"), mode="r").attrs["factor"] == 127


def test_shards_and_blocks_of_several_pieces(tmp_path, monkeypatch):
    if ZARR_2:
        pytest.skip("zarr-python 2 has no shards")
    monkeypatch.setattr(averaging, "VOXELS", 100)
    regions, read = [], averaging.Source.read
    monkeypatch.setattr(averaging.Source, "read", lambda s, p: regions.append(p.around) or read(s, p))
    source = create(tmp_path / "labels.zarr", LABELS, 3)
    blockwise.write(source, tmp_path / "t.zarr", **OPTIONS, shards=(4, 16, 20), dtype="int8")
    regions.clear()
    made = blockwise.write_levels(tmp_path / "t.zarr", 3, workers=1)
    check(tmp_path / "t.zarr", [(1, 2, 2), (1, 2, 2)])
    # Pieces of 2 × 4 × 10 voxels keep memory bounded where a block, which is a shard, is large.
    assert max(np.prod([axis.stop - axis.start for axis in region]) for region in regions) <= 4 * 100
    assert made.computed == 2 * 2 * 1 + 2 * 1 * 1
    stored = (tmp_path / "t.zarr" / "1" / "c").rglob("*")
    assert sum(path.is_file() for path in stored) == 4


def test_averages_are_those_of_tensorstore(tmp_path):
    tensorstore = pytest.importorskip("tensorstore")
    rng = np.random.default_rng(0)
    for shape, factors in [((7, 8, 9), (2, 2, 2)), ((5, 1, 6), (1, 2, 2)), ((3, 4), (2, 1)), ((1, 1, 1), (2, 2, 2))]:
        data = rng.integers(-128, 128, shape, np.int8)
        ours = averaging.average(data, factors)
        np.testing.assert_array_equal(ours, averaged(data, factors))
        there = tensorstore.downsample(tensorstore.array(data), factors, "mean")
        np.testing.assert_array_equal(ours, there.read().result())
    halves = np.array([[0, 1, 1, 2, -1, 0, -2, -1]], np.int8)
    assert averaging.average(halves, (1, 2)).tolist() == [[0, 2, 0, -2]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_averages_of_floats(dtype):
    data = np.random.default_rng(1).normal(size=(5, 6, 7)).astype(dtype)
    for factors in [(2, 2, 2), (1, 2, 2), (2, 1, 1)]:
        found = averaging.average(data, factors)
        np.testing.assert_allclose(found, averaged(data, factors), rtol=1e-12 if dtype is np.float64 else 0)
        assert found.dtype == dtype
    # In float32 the sum of four would be 1.
    large = np.array([[2**24, 1], [1, -(2**24)]], np.float32)
    assert averaging.average(large, (2, 2)).tolist() == [[0.5]]


@pytest.mark.parametrize("version", FORMATS)
def test_where_levels_lie(tmp_path, version):
    data = np.random.default_rng(2).integers(-127, 128, (6, 9, 16), np.int8)
    path = image(tmp_path / "i.zarr", data, version, (16, 8, 4), place=(100, 20.5, 3), chunks=(2, 3, 4))
    made = blockwise.write_levels(path)
    assert made.shapes == ((6, 9, 16), (6, 9, 8), (6, 5, 4), (3, 3, 2), (2, 2, 1))
    steps = [(1, 1, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)]
    check(path, steps)
    found = multiscale(path)
    assert [dataset["path"] for dataset in found["datasets"]] == ["0", "1", "2", "3", "4"]
    assert found["type"] == "mean"
    assert found["version" if version == 2 else "name"] == ("0.4" if version == 2 else "image")
    # The centre of a voxel of a level is the middle of the centres of the voxels that it is averaged from.
    for step, (scale, place), (larger, there) in zip(steps, places(path), places(path)[1:], strict=False):
        for index in np.ndindex(2, 2, 2):
            low = np.array(index) * step
            centres = place + scale * low, place + scale * (low + step - 1)
            np.testing.assert_allclose(there + larger * index, np.mean(centres, 0), rtol=1e-15)
    for level, (scale, place) in enumerate(places(path)):
        labels = open_labels(path, level=level)
        assert (labels.voxel_size, labels.translation, labels.unit) == (tuple(scale), tuple(place), "nm")
        assert labels.shape == made.shapes[level]
    if version == 3:
        described = zarr.open_array(str(path / "1"), mode="r").metadata
        assert described.dimension_names == zarr.open_array(str(path / "0"), mode="r").metadata.dimension_names
    assert zarr.open_group(str(path), mode="r").attrs["note"] == "stays"


def test_channels_are_not_averaged(tmp_path):
    source = create(tmp_path / "labels.zarr", LABELS)
    blockwise.write(source, tmp_path / "t.zarr", **OPTIONS, ids=[1, 2, 3], levels=2)
    check(tmp_path / "t.zarr", [(1, 1, 2, 2)])
    assert values(tmp_path / "t.zarr" / "1").shape == (3, 7, 20, 17)
    assert [list(scale) for scale, _ in places(tmp_path / "t.zarr")] == [[1, 40, 4, 5.24], [1, 40, 8, 10.48]]
    assert [list(place) for _, place in places(tmp_path / "t.zarr")] == [[0] * 4, [0, 0, 2, 2.62]]


def test_an_image_of_other_software(tmp_path):
    data = np.random.default_rng(3).normal(size=(3, 5, 9, 10)).astype(">f4")
    # One chunk holds two channels; what is not stored is 7; names and files as other programs write them.
    more = {"chunks": (2, 2, 3, 4), "fill_value": 7} | ({} if ZARR_2 else {"order": "F"})
    path = image(tmp_path / "i.zarr", data, 2, (4, 4, 4), "czyx", name="s0", **more)
    made = blockwise.write_levels(path, 3, workers=1)
    arrays = [values(path / name) for name in ("s0", "s1", "s2")]
    np.testing.assert_array_equal(arrays[1], averaged(arrays[0], (1, 2, 2, 2)))
    np.testing.assert_array_equal(arrays[2], averaged(arrays[1], (1, 2, 2, 2)))
    assert made.shapes == tuple(array.shape for array in arrays)
    # A chunk of zeros is stored where what is not stored means 7.
    zeros = image(tmp_path / "z.zarr", np.zeros((4, 8, 8), np.float32), chunks=(2, 4, 4), fill_value=7)
    blockwise.write_levels(zeros, 2)
    assert not values(zeros / "1").any()


def test_levels_that_are_there_stay(tmp_path):
    data = np.random.default_rng(4).normal(size=(8, 16, 16)).astype(np.float32)
    path = image(tmp_path / "i.zarr", data, sizes=(4, 4, 4), chunks=(2, 2, 2))
    first = blockwise.write_levels(path, 2)
    assert (len(first.shapes), first.computed > 0) == (2, True)
    before = digests(path)
    for asked in (1, 2):
        again = blockwise.write_levels(path, asked)
        assert (again.computed, again.resumed, len(again.shapes)) == (0, 0, 2)
        assert digests(path) == before
    more = blockwise.write_levels(path)
    assert more.shapes == ((8, 16, 16), (4, 8, 8), (2, 4, 4), (1, 2, 2))
    once = image(tmp_path / "once" / "i.zarr", data, sizes=(4, 4, 4), chunks=(2, 2, 2))
    blockwise.write_levels(once)
    assert digests(once) == digests(path)


@pytest.mark.parametrize("version", FORMATS)
def test_at_once_or_afterwards(tmp_path, version):
    source = create(tmp_path / "labels.zarr", LABELS, version)
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    blockwise.write(source, tmp_path / "a" / "t.zarr", **OPTIONS, dtype="int8", levels="auto")
    blockwise.write(source, tmp_path / "b" / "t.zarr", **OPTIONS, dtype="int8")
    blockwise.write_levels(tmp_path / "b" / "t.zarr", "auto", workers=2)
    # The number of levels is no parameter: the same call with another number goes on.
    for levels in (1, 3, "auto", 1):
        written = blockwise.write(source, tmp_path / "c" / "t.zarr", **OPTIONS, dtype="int8", levels=levels)
    assert written.computed == 0
    assert digests(tmp_path / "a") == digests(tmp_path / "b") == digests(tmp_path / "c")


@pytest.mark.parametrize(
    ("shape", "sizes", "chunk"),
    [
        ((300, 1000, 1001), (40, 4, 4), (64, 64, 64)),
        ((300, 1000, 1001), (30, 8, 8), (64, 64, 64)),
        ((512, 512, 512), (1, 1, 1), (128, 128, 128)),
        ((4096, 100), (0.5, 1.3), (256, 256)),
        ((64, 64, 64), (1, 1, 1), (64, 64, 64)),
    ],
)
def test_factors_are_those_of_worldarray(shape, sizes, chunk):
    from worldarray import level_factors

    found = factors_of_levels(shape, sizes, chunk, "auto", "here")
    assert found == level_factors(sizes, stop_shape=chunk, shape=shape)
    assert factors_of_levels(shape, sizes, chunk, len(found) + 2, "here")[: len(found)] == found


def test_an_axis_of_one_voxel_is_not_halved():
    assert factors_of_levels((1, 40, 40), (1, 4, 4), (1, 10, 10), "auto", "here") == [(1, 2, 2)] * 2
    with pytest.raises(ValueError, match=r"here: levels=9: \(4, 1, 3\) voxels have at most 3 levels"):
        factors_of_levels((4, 1, 3), (1, 1, 1), (1, 1, 1), 9, "here")


@pytest.mark.parametrize("version", FORMATS)
def test_consolidated_metadata_are_renewed(tmp_path, version):
    chosen = {} if ZARR_2 else {"zarr_format": version}
    zarr.open_group(str(tmp_path / "outer.zarr"), mode="w", **chosen)
    data = np.random.default_rng(5).normal(size=(4, 8, 8)).astype(np.float32)
    path = image(tmp_path / "outer.zarr" / "i", data, version, (4, 4, 4), chunks=(2, 2, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that format 3 does not define them
        for group in (path, tmp_path / "outer.zarr"):
            zarr.consolidate_metadata(str(group), **chosen)
    blockwise.write_levels(path)
    inner = zarr.open_consolidated(str(path))
    assert [inner[level].shape for level in "012"] == [(4, 8, 8), (2, 4, 4), (1, 2, 2)]
    outer = zarr.open_consolidated(str(tmp_path / "outer.zarr"))
    assert outer["i/2"].shape == (1, 2, 2)
    for group in (inner, outer["i"]):
        attributes = dict(group.attrs)
        assert len(attributes.get("ome", attributes)["multiscales"][0]["datasets"]) == 3
