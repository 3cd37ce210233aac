"""Do Dask's threads and processes read labels through tensorstore, and does a forked one say what to do instead?"""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from label_stores import LABELS, precomputed
from zarr_stores import digests

from inner_distance_gpu import blockwise, open_labels

pytest.importorskip("worldarray", reason="worldarray is not installed (extra 'volumes')")
OPTIONS = {"scale": 12, "blocks": (32, 128, 96), "chunks": (32, 64, 96)}

# In a process of its own: a cluster leaves threads and warnings behind. The labels are read here before workers start.
PROGRAM = """
import sys
from inner_distance_gpu import blockwise, open_labels


def main():
    import dask
    from distributed import LocalCluster

    source, folder = sys.argv[1:3]
    open_labels(source).read((0, 0, 0), (1, 1, 1))
    for method in sys.argv[3:]:
        dask.config.set({"distributed.worker.multiprocessing-method": method})
        with LocalCluster(n_workers=1, threads_per_worker=2, processes=True, dashboard_address=":0") as cluster:
            target = f"{folder}/{method}/t.zarr"
            try:
                print(method, blockwise.write(source, target, scheduler=cluster.scheduler_address, OPTIONS).computed)
            except ValueError as error:
                print(method, error)


if __name__ == "__main__":
    main()
"""


def test_workers_of_a_cluster(tmp_path):
    pytest.importorskip("distributed", reason="distributed is not installed (extra 'cluster')")
    source, program = precomputed(tmp_path), tmp_path / "program.py"
    program.write_text(PROGRAM.replace("OPTIONS", ", ".join(f"{name}={value}" for name, value in OPTIONS.items())))
    methods = [name for name in ("spawn", "forkserver", "fork") if name in multiprocessing.get_all_start_methods()]
    for folder in ("there", *methods):
        (tmp_path / folder).mkdir()
    command = [sys.executable, program, source, tmp_path, *methods]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert sorted(said) == sorted(methods), done.stderr
    if "fork" in said:
        error = said.pop("fork")
        assert error.startswith(f"{source}: cannot read it in this forked process")
        assert "Dask: its setting distributed.worker.multiprocessing-method" in error
    blockwise.write(source, tmp_path / "there" / "t.zarr", **OPTIONS)
    for method, blocks in said.items():
        assert blocks == "2"
        assert digests(tmp_path / method / "t.zarr") == digests(tmp_path / "there" / "t.zarr")


def test_threads_that_read_while_a_volume_is_written(tmp_path):
    """Those of Dask, of `write`, and of a caller who opened the same labels."""
    dask = pytest.importorskip("dask", reason="dask is not installed (extra 'volumes')")
    source = precomputed(tmp_path)
    labels = open_labels(source)
    boxes = [((z, 0, 0), (z + 16, 128, 96)) for z in (0, 16, 32, 48)] * 4
    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(blockwise.write, source, tmp_path / "t.zarr", workers=2, **OPTIONS)
        lazy = [dask.delayed(labels.read)(*box) for box in boxes]
        found = dask.compute(*lazy, scheduler="threads", num_workers=2)
        assert written.result(timeout=100).computed == 2
    for (begin, end), values in zip(boxes, found, strict=True):
        np.testing.assert_array_equal(values, LABELS[begin[0] : end[0]])
