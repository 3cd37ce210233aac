"""Does a script with a TargetLoader end as one with a plain DataLoader does, and leave as few files open?"""

import json
import os
import subprocess
import sys
import textwrap

import pytest

LIVE = """
    import torch
    from torch.utils.data import DataLoader
    from inner_distance_gpu import InnerDistanceTransform, TargetLoader

    samples = [{{"id": i, "labels": torch.eye(64).long()}} for i in range(50)]
    loader = DataLoader(samples, batch_size=2, num_workers={workers})
    if {targets}:
        loader = TargetLoader(loader, InnerDistanceTransform((4, 4), 10))
    batches = iter(loader)
    print(next(batches)["id"].tolist())
    {ending}
"""


@pytest.mark.parametrize("ending", ["pass", "raise SystemExit(3)", "raise KeyboardInterrupt"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_script_that_ends_with_a_live_iterator(workers, ending):
    plain, ahead = (
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(LIVE).format(workers=workers, targets=targets, ending=ending)],
            capture_output=True,
            text=True,
            timeout=100,
        )
        for targets in (False, True)
    )
    assert (ahead.returncode, ahead.stdout) == (plain.returncode, plain.stdout)
    assert ahead.stderr.splitlines()[-1:] == plain.stderr.splitlines()[-1:]


KILLED = """
    import gc, json, multiprocessing, os, signal, sys, threading, time
    import torch
    from torch.utils.data import DataLoader
    from inner_distance_gpu import InnerDistanceTransform, TargetLoader

    samples = [{"id": i, "labels": torch.eye(64).long()} for i in range(60)]
    torch.utils.data.dataloader._MultiProcessingDataLoaderIter._try_get_data.__defaults__ = (0.1,)  # s, instead of 5

    def gone(workers):
        # Torch's handler of SIGCHLD raises for each worker. Here it does no harm; while a loader is taken down, a plain
        # one too, it leaves pipes open.
        dead = False
        while not dead:
            try:
                for worker in workers:
                    os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
                dead = True
                time.sleep(0.01)  # the handler runs
            except RuntimeError:
                pass

    def one_pass(targets, workers):
        loader = DataLoader(samples, batch_size=2, num_workers=workers)
        batches = iter(TargetLoader(loader, InnerDistanceTransform((4, 4), 10)) if targets else loader)
        next(batches)
        workers = multiprocessing.active_children()
        for worker in workers:
            os.kill(worker.pid, signal.SIGKILL)
        gone(workers)
        while True:
            next(batches)

    def killed(targets, workers):
        ends = RuntimeError, OSError, EOFError  # what the queue says when its other end is gone
        try:
            try:
                one_pass(targets, workers)  # a StopIteration ends this script
            except ends:
                pass
        except ends:
            pass  # torch's handler of SIGCHLD raised for a second worker while the first error was caught

    def feeders():
        return [thread for thread in threading.enumerate() if thread.name.startswith("QueueFeeder")]

    def opened():
        # Those of workers that have ended are closed when multiprocessing looks at them, a queue's by its thread.
        late = time.monotonic() + 10
        while (multiprocessing.active_children() or feeders()) and time.monotonic() < late:
            time.sleep(0.01)
        folder = "/proc/self/fd"
        return [os.readlink(f"{folder}/{name}") for name in os.listdir(folder) if os.path.islink(f"{folder}/{name}")]

    grown = {}
    for targets in (False, True):
        killed(targets, 1)  # imports, and torch's own threads
    gc.collect()
    gc.disable()
    for workers in (1, 2):
        for targets in (False, True):
            before = len(opened())
            for _ in range(PASSES):
                killed(targets, workers)
            after = opened()
            grown[f"{workers} {targets}"] = len(after) - before, sum("/dev/shm/" in name for name in after)
            gc.collect()
    print(json.dumps(grown))
"""
PASSES = 6


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts file descriptors in /proc")
def test_killed_workers_leave_no_more_descriptors_open_than_those_of_a_plain_loader():
    """Before any garbage collection: batches that were fetched ahead, the thread and the iterator are gone at once."""
    code = textwrap.dedent(KILLED).replace("PASSES", str(PASSES))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    grown = json.loads(done.stdout)
    for workers in (1, 2):
        (plain, _), (ahead, memory) = (grown[f"{workers} {targets}"] for targets in (False, True))
        assert memory == 0, "the tensors of a batch"
        assert ahead < plain + PASSES, grown  # torch closes some late: less than one more in each pass
