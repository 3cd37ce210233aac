"""Do the threads of engine `cpu` stay between calls, no more than were asked for, and end before a fork?"""

import concurrent.futures
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from inner_distance_gpu import InnerDistanceTransform, engines, inner_distance
from inner_distance_gpu.engines import native

pytestmark = pytest.mark.skipif(engines.available()["cpu"] is not None, reason=str(engines.available()["cpu"]))
TASKS = Path("/proc/self/task")
on_linux = pytest.mark.skipif(not TASKS.exists(), reason="looks at threads as Linux shows them")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
LABELS = (np.random.default_rng(0).random((2, 40, 50, 60)) < 0.9).astype(np.uint8)


def answer(threads=1, i=0):
    return inner_distance(LABELS[i], (8, 8, 8), scale=50, engine="cpu", threads=threads).tobytes()


def threads_now():
    return {path.name for path in TASKS.iterdir()}


def settled(wanted):
    """The threads there are, once `wanted` is true of them: one that ends is seen a moment longer."""
    for _ in range(500):
        if wanted(threads_now()):
            break
        time.sleep(0.01)
    return threads_now()


@on_linux
def test_threads_stay_and_take_no_signals():
    before = threads_now()
    expected = answer()
    assert answer(4) == expected
    stay = threads_now()
    for threads in (2, 4, 3):
        assert answer(threads) == expected
    assert threads_now() == stay
    for new in stay - before:
        for _ in range(500):  # until it has begun: a call does not wait for threads that come late
            (line,) = [line for line in (TASKS / new / "status").read_text().split("\n") if line.startswith("SigBlk")]
            mask = int(line.split()[1], 16)
            if not mask >> (signal.SIGSEGV - 1) & 1:
                break
            time.sleep(0.01)
        assert not mask >> (signal.SIGSEGV - 1) & 1
        assert all(mask >> (number - 1) & 1 for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD))


@on_linux
def test_no_more_stay_than_one_call_asked_for():
    expected = [answer(i=i) for i in range(2)]
    answer(4)
    most = len(threads_now())
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for i, result in enumerate(pool.map(answer, [4] * 32, [0, 1] * 16)):
            assert result == expected[i % 2]
    assert len(settled(lambda now: len(now) <= most)) <= most
    assert answer(4) == expected[0]


@forks
@on_linux
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("others", [0, 3])
def test_forks_between_and_in_the_middle_of_calls(others):
    """A child, its child, and the parent give the right result; idle threads are gone when a process has forked."""
    expected, stop = answer(), threading.Event()

    def busy():
        while not stop.is_set():
            answer(3, 1)

    def forked(depth):
        child = os.fork()
        if child == 0:
            try:
                right = len(threads_now()) == 1 and answer(3) == expected and (depth == 0 or forked(depth - 1))
            finally:
                os._exit(0 if right else 1)
        return os.waitpid(child, 0)[1] == 0

    callers = [threading.Thread(target=busy) for _ in range(others)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(2):
            assert answer(4) == expected
            with_idle = len(threads_now())
            assert forked(1)
            if not others:
                assert len(settled(lambda now, idle=with_idle: len(now) <= idle - 3)) <= with_idle - 3
    finally:
        stop.set()
        for caller in callers:
            caller.join()


EXIT = """
import importlib.machinery, importlib.util, sys, threading
import numpy as np

loader = importlib.machinery.ExtensionFileLoader("_host", sys.argv[1])
host = importlib.util.module_from_spec(importlib.util.spec_from_loader("_host", loader))
loader.exec_module(host)
task = host.CpuTask(host.Task((1.0, 1.0, 1.0), 0.0, 0, False, 0.0), "auto", False)
labels = np.eye(60, dtype=np.uint8)[None].repeat(40, 0)

def call(threads=3):
    out = np.empty(labels.shape, np.float32)
    host.targets(task, labels, host.ElementFormat("u", 1, False, False, 0), out, threads)
    return out

def busy():
    while True:
        call()

first = call()
threading.Thread(target=busy, daemon=True).start()
print((first == call(1)).all())
"""


def test_a_process_ends_with_its_threads():
    """Idle ones, and those of a call in a daemon thread."""
    command = [sys.executable, "-c", EXIT, native.module.__file__]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\n", "")


def test_a_batch_that_ends_with_help_is_its_volumes():
    """The first volume takes as long as all others, so it gets help, while no thread begins another in its memory.

    Without that, about one call in 25 was wrong on two cores; ThreadSanitizer sees it (sanitize.sh).
    """
    labels = np.zeros((32, 3, 100, 500), np.uint8)
    labels[:2] = np.random.default_rng(0).random(labels[:2].shape) < 0.998
    expected = [inner_distance(part, (100, 100, 0.1), engine="cpu", threads=1) for part in labels[:2]]
    target = np.empty(labels.shape, np.float32)
    for _ in range(40):
        inner_distance(labels, (100, 100, 0.1), engine="cpu", threads=2, out=target)
        np.testing.assert_array_equal(target[:2], expected)


@pytest.mark.parametrize("border", ["keep", "mask"])
@pytest.mark.parametrize("ignore_label", [None, 3])
def test_a_batch_is_its_volumes(border, ignore_label):
    """Threads take volumes of their own where there are enough: with more and less to do, and none without a site.

    Seven threads are as many as there are volumes, and each volume is large enough for one. Some come late, so others
    take more than one volume.
    """
    rng = np.random.default_rng(3)
    labels = np.stack([rng.random((20, 24, 36)) < share for share in (0.99, 0, 0.5, 1, 0.02, 0.9, 0.97)]).astype(
        np.uint8
    )
    labels[4:, 3, 5, 7] = 3
    mask = rng.integers(0, 2, labels.shape).astype(np.uint8)
    keywords = {"border": border, "ignore_label": ignore_label, "engine": "cpu", "moving": False}
    alone = InnerDistanceTransform((8, 8, 8), 50, threads=1, **keywords)
    for given in (None, mask):
        parts = [alone(part, None if given is None else given[i]) for i, part in enumerate(labels)]
        expected = [np.stack(results) for results in zip(*parts, strict=True)]
        for threads in (1, 2, 5, 7):
            together = InnerDistanceTransform((8, 8, 8), 50, channels=len(labels), threads=threads, **keywords)
            for result, same in zip(together(labels, given), expected, strict=True):
                np.testing.assert_array_equal(result, same)
        pair = InnerDistanceTransform((8, 8, 8), 50, channels=2, threads=2, **keywords)
        for _ in range(5):  # one thread may take both
            for result, same in zip(pair(labels[5:], None if given is None else given[5:]), expected, strict=True):
                np.testing.assert_array_equal(result, same[5:])
    targets = [inner_distance(labels, (8, 8, 8), classes=[1, (0, 3), 7], engine="cpu", threads=t) for t in (1, 2, 5)]
    for k, ids in enumerate(([1], [0, 3], [7])):
        one = [inner_distance(np.isin(part, ids), (8, 8, 8), engine="cpu", threads=1) for part in labels]
        for target in targets:
            np.testing.assert_array_equal(target[:, k], one)
