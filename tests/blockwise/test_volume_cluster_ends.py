"""Is the end of a cluster one line and exit code 2, and do tasks of a killed run leave the next output alone?"""

import json
import os
import re
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from zarr_stores import create, digests, values

from inner_distance_gpu import blockwise, inner_distance

pytest.importorskip("distributed", reason="distributed is not installed (extra 'cluster')")

SCRIPTS = Path(sysconfig.get_path("scripts"))
OPTIONS = ["--voxel-size", "1,1,1", "--scale", "1", "--blocks", "8,8,8", "--chunks", "8,8,8"]
LABELS = np.kron(np.random.default_rng(0).integers(0, 3, (6, 6, 6)), np.ones((8, 8, 8))).astype(np.uint8)
QUIET = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def wait_for(true, what, seconds=120):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.02)


@pytest.fixture
def scheduler(tmp_path):
    """The process of a scheduler without workers, and its address."""
    file = tmp_path / "scheduler.json"
    command = [SCRIPTS / "dask", "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    process = subprocess.Popen([*command, "--scheduler-file", file], **QUIET)
    wait_for(lambda: file.exists() and file.stat().st_size, "a scheduler")
    yield process, json.loads(file.read_text())["address"]
    process.kill()
    process.wait()


@pytest.fixture
def worker(tmp_path, scheduler):
    command = [SCRIPTS / "dask", "worker", scheduler[1], "--nworkers", "1", "--nthreads", "1", "--no-nanny"]
    process = subprocess.Popen([*command, "--no-dashboard", "--local-directory", tmp_path / "worker"], **QUIET)
    joined = "import sys; from distributed import Client; Client(sys.argv[1]).wait_for_workers(1, 120)"
    subprocess.run([sys.executable, "-c", joined, scheduler[1]], check=True, **QUIET)
    yield process
    process.kill()
    process.wait()


def started(folder, address, patience="3s"):
    """The command, and where it keeps what is done."""
    command = [SCRIPTS / "inner-distance-gpu", "volume", folder / "labels.zarr", folder / "target.zarr", *OPTIONS]
    environment = os.environ | {"DASK_INNER_DISTANCE_GPU__NO_WORKERS_TIMEOUT": patience}
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    program = subprocess.Popen([*command, "--scheduler", address], env=environment, **pipes)
    return program, folder / "target.zarr/0/.unfinished/done"


def check_ended(program, said):
    try:
        error = program.communicate(timeout=60)[1]
    finally:
        program.kill()  # where it waits for ever
    assert program.returncode == 2, error
    # Dask's own loop may say more while Python ends.
    assert re.search(rf"^Error: tcp://[^\n]*{said}[^\n]*$", error, re.MULTILINE), error
    assert "the same command" in error.lower()


@pytest.mark.parametrize("which", ["scheduler", "worker"])
def test_a_process_of_the_cluster_dies(tmp_path, scheduler, worker, which):
    create(tmp_path / "labels.zarr", LABELS)
    program, journal = started(tmp_path, scheduler[1])
    wait_for(lambda: (journal.exists() and journal.stat().st_size > 1000) or program.poll() is not None, "blocks")
    (scheduler[0] if which == "scheduler" else worker).kill()
    check_ended(program, "cannot be reached any more" if which == "scheduler" else "has had no workers for")
    assert sorted(os.listdir(journal.parent)) == ["done", "runs"]
    assert os.listdir(journal.parent / "runs") == []
    marked = journal.read_bytes().count(b"\n")
    written = blockwise.write(
        tmp_path / "labels.zarr", tmp_path / "target.zarr", (1, 1, 1), scale=1, blocks=(8,) * 3, chunks=(8,) * 3
    )
    assert written.resumed == marked > 0
    np.testing.assert_array_equal(values(tmp_path / "target.zarr/0"), inner_distance(LABELS, (1, 1, 1), scale=1))


def test_no_workers_at_all(tmp_path, scheduler):
    create(tmp_path / "labels.zarr", LABELS)
    check_ended(started(tmp_path, scheduler[1])[0], "has had no workers for")


CLUSTER = """
import os, signal, subprocess, sys, time
from pathlib import Path

where = Path(sys.argv[-1])
OPTIONS = dict(voxel_size=(1, 1, 1), blocks=(24,) * 3, chunks=(24,) * 3)


def hold_old_blocks(where):
    from inner_distance_gpu.blockwise import task
    real = task._store

    def store(job, *arguments):
        if job.parameters.scale != 300:
            return real(job, *arguments)
        (where / f"begun {os.getpid()}").touch()
        while not (where / "second ended").exists():
            time.sleep(0.05)
        try:
            return real(job, *arguments)
        finally:
            (where / f"ended {os.getpid()}").touch()

    task._store = store


def wait_for(pattern):
    while len(list(where.glob(pattern))) < 2:
        time.sleep(0.05)


def main():
    from distributed import Client, LocalCluster
    from inner_distance_gpu import blockwise
    if sys.argv[1] == "first":
        blockwise.write(where / "labels.zarr", where / "target.zarr", scale=300, scheduler=sys.argv[2], **OPTIONS)
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster:
        with Client(cluster) as client:
            client.run(hold_old_blocks, where)
        first = subprocess.Popen([sys.executable, __file__, "first", cluster.scheduler_address, where])
        wait_for("begun *")
        first.kill()  # the workers hold a block each, and go on with it later
        first.wait()
        # Here, not on the cluster, whose threads are busy with the old blocks.
        blockwise.write(where / "labels.zarr", where / "target.zarr", scale=2, overwrite=True, **OPTIONS)
        (where / "second ended").touch()
        wait_for("ended *")
        print(len(list(where.glob("ended *"))), "tasks of the killed run went on and ended")


if __name__ == "__main__":
    main()
"""


def test_tasks_of_a_killed_run_write_nothing_into_the_next_output(tmp_path):
    """Both workers hold a computed block of the old scale until the new output is complete, and then go on."""
    create(tmp_path / "labels.zarr", LABELS, chunks=(24, 24, 24))
    program = tmp_path / "abandon.py"
    program.write_text(CLUSTER)
    done = subprocess.run([sys.executable, program, tmp_path], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 tasks of the killed run went on and ended\n", done.stderr
    np.testing.assert_array_equal(values(tmp_path / "target.zarr/0"), inner_distance(LABELS, (1, 1, 1), scale=2))
    assert not [name for name in digests(tmp_path / "target.zarr") if "unfinished" in name or ".partial" in name]
