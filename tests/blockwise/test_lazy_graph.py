"""What does a lazy target read, and how large is its graph?"""

import collections
import pickle
import sys

import dask.array as da
import numpy as np
import pytest

from inner_distance_gpu import blockwise, inner_distance


def counted(labels, chunks):
    """A Dask array of `labels`, and how often each of its chunks was read."""
    reads = collections.Counter()

    def load(block_info=None):
        place = tuple(slice(*ends) for ends in block_info[None]["array-location"])
        reads[tuple(axis.start for axis in place)] += 1
        return labels[place]

    chunks = da.core.normalize_chunks(chunks, labels.shape)
    meta = np.empty((0,) * labels.ndim, labels.dtype)
    return da.map_blocks(load, chunks=chunks, dtype=labels.dtype, meta=meta), reads


def tasks(array):
    return len(dict(array.__dask_graph__()))


@pytest.mark.parametrize("no_boundary", ["extent", "saturate"])
def test_a_chunk_reads_its_neighbours_alone(no_boundary):
    """Half the extent is 30 / 0.5 scales away: it does not matter whether the volume has a site."""
    labels = np.random.default_rng(0).integers(0, 2, (60, 60, 60), np.uint8)
    source, reads = counted(labels, 6)
    lazy = blockwise.inner_distance(source, (1, 1, 1), scale=0.5, no_boundary=no_boundary)
    part = lazy[6:12, 30:36, :6].compute(scheduler="sync")
    np.testing.assert_array_equal(part, inner_distance(labels, (1, 1, 1), scale=0.5)[6:12, 30:36, :6])
    assert sorted(reads) == [(z, y, x) for z in (0, 6, 12) for y in (24, 30, 36) for x in (0, 6)]


@pytest.mark.parametrize("scale", [0.3, 2])
def test_every_chunk_is_read_once(scale):
    """With the large scale it matters whether a volume has a site: the second one has none."""
    labels = np.zeros((2, 10, 10, 80), np.int32)
    labels[0, 3:5] = 1
    source, reads = counted(labels, (1, 5, 5, 5))
    lazy = blockwise.inner_distance(source, (1, 1, 1), scale=scale, background="signed")
    np.testing.assert_array_equal(
        lazy.compute(scheduler="threads"), inner_distance(labels, (1, 1, 1), scale=scale, background="signed")
    )
    assert len(reads) == 128
    assert set(reads.values()) == {1}


def test_a_volume_does_not_read_another_one():
    source, reads = counted(np.ones((3, 8, 8), np.uint8), (1, 4, 4))
    blockwise.inner_distance(source, (1, 1), scale=10)[1, :4, :4].compute(scheduler="sync")
    assert {place[0] for place in reads} == {1}


@pytest.mark.parametrize(("chunk", "scale"), [(16, 16 / 9.02 - 0.01), (16, 0.5), (4, 1)])
def test_tasks_per_chunk(chunk, scale):
    """A halo of one chunk, of less, and of more than two: chunks are merged then."""
    source = da.zeros((chunk * 8,) * 3, chunks=chunk, dtype=np.uint8)
    lazy = blockwise.inner_distance(source, (1, 1, 1), scale=scale)
    assert (tasks(lazy) - tasks(source)) / source.npartitions <= 8


def test_tasks_where_sites_matter():
    source = da.zeros((32, 512, 512), chunks=16, dtype=np.uint8)
    lazy = blockwise.inner_distance(source, (1, 1, 1), scale=16 / 9.02 + 0.01)
    assert any("sites" in str(key) for key in dict(lazy.__dask_graph__()))
    assert (tasks(lazy) - tasks(source)) / source.npartitions <= 8


def test_volumes_in_one_chunk_have_one_task_each():
    labels = np.stack([np.zeros((9, 9), np.uint8), np.eye(9, dtype=np.uint8)])
    source = da.from_array(labels, chunks=(1, 9, 9))
    lazy = blockwise.inner_distance(source, (1, 1), scale=10, background="signed")
    assert tasks(lazy) - tasks(source) == 2
    np.testing.assert_array_equal(lazy, inner_distance(labels, (1, 1), scale=10, background="signed"))


@pytest.mark.parametrize("scale", [0.3, 1])
def test_the_graph_travels(scale):
    labels = np.random.default_rng(0).integers(0, 2, (6, 40), np.uint8)
    lazy = blockwise.inner_distance(da.from_array(labels, chunks=3), (1, 1), scale=scale)
    there = pickle.loads(pickle.dumps(dict(lazy.__dask_graph__())))
    same = da.Array(there, lazy.name, lazy.chunks, lazy.dtype)
    np.testing.assert_array_equal(same, inner_distance(labels, (1, 1), scale=scale))


def test_versions_of_dask_without_task_classes(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.task_spec", None)
    labels = np.random.default_rng(0).integers(0, 2, (20, 20), np.uint8)
    lazy = blockwise.inner_distance(da.from_array(labels, chunks=3), (1, 1), scale=0.5)
    layer = dict(lazy.__dask_graph__().layers[lazy.name])
    assert {type(task) for task in layer.values()} == {tuple}
    np.testing.assert_array_equal(lazy, inner_distance(labels, (1, 1), scale=0.5))


def test_equal_arguments_have_equal_names():
    source = da.zeros((8, 8), chunks=4, dtype=np.uint8)
    one, same = (blockwise.inner_distance(source, (1, 1), scale=1) for _ in range(2))
    others = [
        blockwise.inner_distance(source, *arguments, **keywords)
        for arguments, keywords in [
            (((1, 1),), {"scale": 2}),
            (((1, 2),), {"scale": 1}),
            (((1, 1),), {"scale": 1, "halo": 0.5}),
            (((1, 1),), {"scale": 1, "engine": "reference"}),
            (((1, 1),), {"scale": 1, "fill": 1}),
        ]
    ]
    assert one.name == same.name
    assert len({one.name, *(other.name for other in others)}) == 6


def test_chunks_without_voxels():
    labels = np.random.default_rng(0).integers(0, 2, (12, 10), np.uint8)
    source = da.from_array(labels, chunks=((0, 6, 0, 6), (0, 10, 0)))
    lazy = blockwise.inner_distance(source, (1, 1), scale=0.3)
    assert lazy.chunks == source.chunks
    np.testing.assert_array_equal(lazy, inner_distance(labels, (1, 1), scale=0.3))


def test_small_chunks_are_computed_in_blocks_as_long_as_the_halo():
    """A block of one voxel would compute 21 × 21 of them for the halo."""
    lazy = blockwise.inner_distance(da.zeros((63, 63), chunks=1, dtype=np.uint8), (1, 1), scale=1)
    blocks = {key for key in dict(lazy.__dask_graph__()) if key[0] == f"{lazy.name}-block"}
    assert len(blocks) == 36, "six along each axis, of 10 voxels and a rest"
