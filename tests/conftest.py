import signal
import sys

import pytest
from devices import cuda_devices
from engines_on_host import own_driver, pytest_addoption, pytest_configure, pytest_pyfunc_call, pytest_report_header
from host_launcher import on_host

from inner_distance_gpu import engines
from inner_distance_gpu.cli import program as cli
from inner_distance_gpu.engines import notices
from inner_distance_gpu.engines.cuda import driver

__all__ = [
    "on_host",
    "own_driver",
    "pytest_addoption",
    "pytest_configure",
    "pytest_pyfunc_call",
    "pytest_report_header",
]


def pytest_sessionstart():
    """Under nohup SIGHUP is ignored, here and in what the tests start."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_collection_modifyitems(items):
    """Skips tests that need more CUDA devices than there are: `gpu` is one, `gpu(2)` two."""
    for item in items:
        mark = item.get_closest_marker("gpu")
        needed = (mark.args or (1,))[0] if mark else 0
        if needed > cuda_devices():
            item.add_marker(pytest.mark.skip(reason=f"needs {needed} CUDA device(s), torch sees {cuda_devices()}"))


@pytest.fixture(autouse=True)
def as_in_a_new_process():
    """What is said once per process may be said in every test, and every engine is asked whether it runs."""
    notices.forget()
    engines.forget()


@pytest.fixture
def no_gpu(monkeypatch):
    """A machine without a device engine, whatever this one has."""
    monkeypatch.setattr(driver, "why_not", lambda: "no device in this test")
    engines.forget()


@pytest.fixture
def call(monkeypatch, capsys):
    """Run the program in this process; returns exit code, standard output and error output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["inner-distance-gpu", *map(str, arguments)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        printed = capsys.readouterr()
        return left.value.code, printed.out, printed.err

    return run
