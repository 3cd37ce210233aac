"""Does `volume` read whatever `run` reads, with the same result at the place that the labels state?"""

import json

import numpy as np
import pytest
from label_stores import STORES, ome
from remote_servers import http_server

from inner_distance_gpu import open_labels

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
READ = [store for store in STORES if store.name in ("ome-tiff", "hdf5", "nifti", "n5", "precomputed", "zip", "lz4")]


@pytest.mark.parametrize("store", READ, ids=lambda store: store.name)
def test_volume_computes_what_run_computes(call, tmp_path, store):
    where = store.write(tmp_path)
    scale = ["--scale", str(3 * min(store.voxel_size))]
    key = [] if store.key is None else ["--key", store.key]
    code, _, error = call("run", where, tmp_path / "t.npy", *scale, *key)
    assert code == 0, error
    code, _, error = call("volume", where, tmp_path / "t.zarr", *scale, *key, "--blocks", "64,64,64")
    assert code == 0, error
    target = open_labels(tmp_path / "t.zarr")
    assert target.axes == ("z", "y", "x")
    assert target.voxel_size == pytest.approx(store.voxel_size)
    assert target.unit == store.unit
    assert target.translation == pytest.approx(store.translation or (0, 0, 0))
    np.testing.assert_array_equal(target.read((0, 0, 0), target.shape), np.load(tmp_path / "t.npy"))
    described = json.loads((tmp_path / "t.json").read_text())
    assert described["voxel_size"] == pytest.approx(store.voxel_size)
    assert described["unit"] == store.unit


def test_volume_reads_an_address_and_counts_what_is_missing(call, tmp_path):
    source = ome(tmp_path / "labels.zarr")
    (source / "s0" / "1.1.1").unlink()
    with http_server(tmp_path) as (_, address):
        command = ("volume", f"{address}/labels.zarr", tmp_path / "t.zarr", "--scale", "12")
        code, _, error = call(*command, "--missing", "error")
        assert code == 2
        assert f"{address}/labels.zarr: the chunk at (16, 32, 32) is not stored" in error
        code, out, error = call(*command)
        assert code == 0, error
        assert "1 chunks of the labels are not stored" in out
        code, out, error = call(*command)
        assert "complete already" in out, error
    assert call("volume", source, tmp_path / "u.zarr", "--scale", "12")[0] == 0
    here, there = (open_labels(tmp_path / name) for name in ("t.zarr", "u.zarr"))
    np.testing.assert_array_equal(here.read((0, 0, 0), here.shape), there.read((0, 0, 0), there.shape))
    assert here.translation == there.translation == (400, 80, 80)
