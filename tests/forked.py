"""Processes that are forked from one which has imported the package: a start takes milliseconds instead of seconds.

That one has no threads, and runs nothing. For what happens at the end of an interpreter take `subprocess`: these
processes end without it.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import weakref

CAN_FORK = "forkserver" in multiprocessing.get_all_start_methods()
if CAN_FORK:
    forks = multiprocessing.get_context("forkserver")
    # The server imports these once. They import no tensorstore: a child cannot use one that its parent has used.
    forks.set_forkserver_preload(
        ["inner_distance_gpu.cli.program", "inner_distance_gpu.blockwise", "zarr", "dask.array"]
    )


def run_program(*arguments):
    """The command line of the package."""
    from inner_distance_gpu.cli import program

    sys.argv = ["inner-distance-gpu", *map(str, arguments)]
    program.main()


def _child(function, arguments, folder, streams):
    for number, path in enumerate(streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    try:
        function(*arguments)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


class Forked:
    """A function under way in a process of its own, with what subprocess.Popen has: `poll`, `communicate`, …"""

    def __init__(self, function, *arguments, cwd="."):
        streams = tempfile.mkdtemp()
        weakref.finalize(self, shutil.rmtree, streams, ignore_errors=True)
        self._names = [os.path.join(streams, name) for name in ("out", "error")]
        arguments = function, arguments, str(cwd), self._names
        self._process = forks.Process(target=_child, args=arguments)
        self._process.start()

    @property
    def pid(self):
        return self._process.pid

    @property
    def returncode(self):
        return self._process.exitcode

    def poll(self):
        return self.returncode

    def send_signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self, timeout=None):
        self._process.join(timeout)
        return self.returncode

    def communicate(self, timeout=60):
        """What it printed, as text, once it has ended."""
        if self.wait(timeout) is None:
            raise subprocess.TimeoutExpired("a forked process", timeout)
        texts = []
        for name in self._names:
            with open(name, encoding="utf-8") as stream:
                texts.append(stream.read())
        return tuple(texts)
