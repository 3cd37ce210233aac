"""Are values, voxel size, unit, place and axes of every format those that were written, and is a part a part?"""

import pickle
from pathlib import Path

import numpy as np
import pytest
from label_stores import STORES
from zipped_stores import zipped

from inner_distance_gpu import open_labels

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
COUNTER = Path("/proc/self/io")
HEADERS = 40_000  # bytes
ZARRS = [store for store in STORES if store.remote and store.name not in ("n5", "precomputed")]


@pytest.fixture(params=STORES, ids=lambda store: store.name)
def case(request, tmp_path):
    return request.param, request.param.write(tmp_path)


def test_what_the_store_states(case):
    store, where = case
    labels = open_labels(where, store.key)
    assert (labels.shape, labels.dtype) == (store.values.shape, store.values.dtype)
    assert labels.axes == store.axes
    assert labels.voxel_size == (None if store.voxel_size is None else pytest.approx(store.voxel_size))
    assert labels.unit == store.unit
    assert labels.translation == (None if store.translation is None else pytest.approx(store.translation))
    assert bool(labels.stated_by) == (store.voxel_size is not None)
    assert labels.notice == ""


def test_all_values(case):
    store, where = case
    labels = open_labels(where, store.key)
    read = labels.read((0,) * len(labels.shape), labels.shape)
    np.testing.assert_array_equal(read, store.values)
    assert read.dtype == store.values.dtype
    assert read.dtype.isnative
    assert read.flags.c_contiguous


def test_a_corner_that_is_not_named_is_that_of_the_array(case):
    store, where = case
    labels = open_labels(where, store.key)
    np.testing.assert_array_equal(labels.read(), store.values)
    middle = [n // 2 for n in labels.shape]
    np.testing.assert_array_equal(labels.read(middle), store.values[tuple(slice(n, None) for n in middle)])
    np.testing.assert_array_equal(labels.read(end=middle), store.values[tuple(map(slice, middle))])


def test_a_part_is_clipped(case):
    store, where = case
    labels = open_labels(where, store.key)
    begin = tuple(n // 3 for n in labels.shape)
    part = labels.read(begin, tuple(10 * n for n in labels.shape))
    np.testing.assert_array_equal(part, store.values[tuple(slice(b, None) for b in begin)])
    np.testing.assert_array_equal(labels.read((-5,) * len(begin), begin), store.values[tuple(map(slice, begin))])
    assert 0 in labels.read(labels.shape, tuple(2 * n for n in labels.shape)).shape


def test_it_pickles_as_a_recipe(case, monkeypatch, tmp_path):
    store, where = case
    labels = open_labels(where, store.key)
    labels.read((0,) * len(labels.shape), (1,) * len(labels.shape))
    data = pickle.dumps(labels)
    assert len(data) < 500
    again = pickle.loads(data)
    assert repr(again) == repr(labels)
    np.testing.assert_array_equal(again.read((0,) * len(labels.shape), labels.shape), store.values)


@pytest.mark.skipif(not COUNTER.exists(), reason="counts what this process reads in /proc/self/io")
def test_a_hundredth_reads_no_more_than_a_twentieth(case):
    store, where = case
    labels = open_labels(where, store.key)
    whole = labels.shape
    if not store.in_parts:
        assert labels.chunk == whole, "what cannot be read in parts says so"
        return
    # What a chunk holds is read; the box is one chunk, or as many rows as make a hundredth.
    small = store.values.size // 80
    begin = tuple((n // 2) // c * c for n, c in zip(whole, labels.chunk, strict=True))
    extents = list(labels.chunk)
    for axis in reversed(range(len(whole))):
        if np.prod(extents) < small:
            extents[axis] = min(
                whole[axis] - begin[axis], max(extents[axis], int(extents[axis] * small // np.prod(extents)))
            )
    end = tuple(b + e for b, e in zip(begin, extents, strict=True))
    labels.read(begin, end)  # imports
    before = bytes_read()
    labels.read(begin, end)
    cost = bytes_read() - before
    assert cost <= HEADERS + 0.05 * store.values.nbytes, f"{cost} bytes for {extents} of {whole}"


@pytest.mark.parametrize("store", ZARRS, ids=lambda store: store.name)
def test_zarr_in_a_zip_file(tmp_path, store):
    labels = open_labels(zipped(store.write(tmp_path)))
    stated = (store.voxel_size, store.unit, store.translation, store.axes)
    assert (labels.voxel_size, labels.unit, labels.translation, labels.axes) == stated
    np.testing.assert_array_equal(labels.read((0, 0, 0), labels.shape), store.values)
    if COUNTER.exists():
        before = bytes_read()
        labels.read(labels.chunk, [2 * n for n in labels.chunk])
        assert bytes_read() - before <= HEADERS + 0.05 * store.values.nbytes


def bytes_read():
    return int(COUNTER.read_text().split("rchar: ")[1].split()[0])


def test_relative_places_survive_another_working_directory(tmp_path, monkeypatch):
    np.save(tmp_path / "labels.npy", np.eye(3, dtype=np.uint8))
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(open_labels("labels.npy"))
    monkeypatch.chdir("/")
    assert pickle.loads(data).read((0, 0), (3, 3)).sum() == 3


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("labels.czi", "Load the labels with bioio, then numpy.save('labels.npy', array)"),
        ("labels.mat", "Load the labels with scipy.io, then numpy.save"),
        ("labels.xyz", "Load the labels with the library of their format, then numpy.save"),
        ("labels.JPG", "JPEG changes label ids when it compresses: export the labels anew, as TIFF or PNG"),
    ],
)
def test_what_is_not_read_says_how_to_load_it(tmp_path, name, said):
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ValueError, match="cannot read") as caught:
        open_labels(tmp_path / name)
    assert said in str(caught.value)
