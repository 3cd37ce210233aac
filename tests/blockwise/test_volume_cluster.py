"""Does a dask.distributed cluster write the same bytes, also when it loses a process in the middle?"""

import functools
import operator
import pickle
import subprocess
import sys

import pytest
from volumes import SCALE, VOLUMES, VOXEL
from zarr_stores import create, digests

from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise import cluster

pytest.importorskip("distributed", reason="distributed is not installed (extra 'cluster')")

OPTIONS = {"voxel_size": VOXEL, "scale": SCALE, "background": "signed", "chunks": (2, 8, 8), "blocks": (2, 8, 8)}
# In a process of its own: a cluster leaves threads and warnings behind, and its processes import the main module.
PROGRAM = """
import os, signal, sys
import dask
from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise import writing

def without_gpu():
    from inner_distance_gpu.engines.cuda import driver
    driver.why_not = lambda: "taken away"

def main():
    from distributed import Client, LocalCluster
    source, target = sys.argv[1:3]
    options = dict(voxel_size={voxel}, scale={scale}, background="signed", chunks=(2, 8, 8), blocks=(2, 8, 8))
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        first = cluster.workers[0]
        killed = []

        def kill(progress):
            if progress.computed == 20:
                killed.append(first.pid)
                os.kill(first.pid, signal.SIGKILL)

        written = blockwise.write(source, target, scheduler=cluster.scheduler_address, progress=kill, **options)
        print(len(killed), written.computed, written.plan.blocks)
        with Client(cluster.scheduler_address, set_as_default=False) as client:
            client.run(without_gpu)
        try:
            blockwise.write(source, target, scheduler=cluster.scheduler_address, engine="cucim", **options)
        except ValueError as error:
            print(error)
        options["overwrite"] = True
        print(blockwise.write(source, target, scheduler=cluster.scheduler_address, **options).computed)

if __name__ == "__main__":
    main()
"""


def test_a_process_is_killed_in_the_middle(tmp_path):
    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])
    (tmp_path / "undisturbed").mkdir()
    total = blockwise.write(source, tmp_path / "undisturbed" / "target.zarr", **OPTIONS).computed
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(voxel=VOXEL, scale=SCALE))
    command = [sys.executable, program, source, tmp_path / "target.zarr"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    first, refused, again = done.stdout.splitlines()
    assert first == f"1 {total} {total}"
    assert "'cucim' cannot run on tcp://" in refused
    assert "taken away" in refused
    assert again == str(total)
    assert digests(tmp_path / "target.zarr") == digests(tmp_path / "undisturbed" / "target.zarr")


def test_blocks_that_travel_together_are_done_up_to_the_one_that_fails():
    """What was written counts, and the error is that of the block which fails."""
    failing = pickle.dumps(functools.partial(operator.floordiv, 12))
    assert cluster._in_turn(failing, [3, 4, 0, 6]) == [4, 3]
    with pytest.raises(ZeroDivisionError):
        cluster._in_turn(failing, [0, 6])


def test_an_address_that_nobody_answers(tmp_path):
    import dask

    source = create(tmp_path / "labels.zarr", VOLUMES["instances"])
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "0.2s"}),
        pytest.raises(OSError, match=r"127\.0\.0\.1:1"),
    ):
        blockwise.write(source, tmp_path / "t.zarr", scheduler="tcp://127.0.0.1:1", **OPTIONS)
    assert not (tmp_path / "t.zarr").exists()
