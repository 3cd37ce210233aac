"""Can the suite's own rules fail: those of `--engines-on-host`, of its launcher, and of the marks for devices?"""

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import devices
import host_launcher
import numpy as np
import pytest
import torch
from host_launcher import HostLauncher

from inner_distance_gpu import inner_distance
from inner_distance_gpu.engines.cuda.launcher import Limits
from inner_distance_gpu.parameters import TargetParameters

SUITE = """
import numpy as np
import pytest
from inner_distance_gpu import engines, inner_distance

@pytest.mark.parametrize("engine", ["cuda", "cucim"])
def test_named_and_not_run(engine):
    pass

@pytest.mark.parametrize("engine", ["cuda", "cucim", "cpu"])
def test_named_and_run(engine):
    inner_distance(np.eye(3), (1, 1), engine=engine)

def test_chosen_and_run():
    inner_distance(np.eye(3), (1, 1), engine="cuda")

def test_chosen_and_not_run():
    engines.choose("cuda", True, (3, 3))

@pytest.mark.no_kernel
@pytest.mark.parametrize("engine", ["cuda"])
def test_rightly_without(engine):
    pass
"""


def test_a_test_of_a_device_engine_fails_where_no_kernel_ran(tmp_path):
    (tmp_path / "test_it.py").write_text(SUITE)
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "engines_on_host", "-p", "no:cacheprovider", "-rA"]
    command += ["--engines-on-host", "--rootdir", tmp_path, "-c", os.devnull, tmp_path]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path)
    said = {line.split("::")[1].split(" ")[0]: line.split()[0] for line in done.stdout.splitlines() if "::test" in line}
    assert {name for name, how in said.items() if how == "PASSED"} == {
        "test_named_and_run[cuda]",
        "test_named_and_run[cucim]",
        "test_named_and_run[cpu]",
        "test_chosen_and_run",
        "test_rightly_without[cuda]",
    }, done.stdout
    for name in ("test_named_and_not_run[cuda]", "test_named_and_not_run[cucim]", "test_chosen_and_not_run"):
        assert f"{name} asks for a device engine, and no kernel ran" in done.stdout


def test_threads_take_turns_at_the_launcher(on_host, monkeypatch):
    """Never two kernels at once, whose blocks and shared memory are the library's globals; every launch is counted."""
    launcher = on_host(HostLauncher())
    real, inside, most = host_launcher.library(), [], []

    class Watched:
        def run_kernel(self, *arguments):
            inside.append(1)
            most.append(len(inside))
            try:
                return real.run_kernel(*arguments)
            finally:
                inside.pop()

    monkeypatch.setattr(host_launcher, "library", Watched)
    volumes = [np.random.default_rng(i).integers(0, 2, (24, 24, 40)) for i in range(4)]
    expected = [inner_distance(labels, (4, 1, 1), engine="cuda") for labels in volumes]
    before, same = host_launcher.kernels_run(), {}
    runs = len(launcher.launches)

    def work(i):
        same[i] = [inner_distance(volumes[i], (4, 1, 1), engine="cuda") for _ in range(5)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(result, expected[i]) for i in range(4) for result in same[i])
    assert set(most) == {1}
    assert host_launcher.kernels_run() - before == len(launcher.launches) - runs == 4 * 5 * runs // 4


def test_no_device_where_torch_warns_of_an_old_driver(monkeypatch):
    def available():
        warnings.warn("The NVIDIA driver on your system is too old", UserWarning, stacklevel=1)
        return False

    def count():
        raise RuntimeError("The NVIDIA driver on your system is too old")

    monkeypatch.setattr(torch.cuda, "is_available", available)
    assert devices.cuda_devices.__wrapped__() == 0
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", count)
    assert devices.cuda_devices.__wrapped__() == 0


def test_a_failure_does_not_leave_the_synchronisation_check_on(monkeypatch):
    modes = []

    def warns(mode):
        modes.append(mode)
        if mode == "error":
            warnings.warn("Synchronization debug mode is a prototype feature", UserWarning, stacklevel=1)

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", warns)
    with pytest.raises(KeyError), devices.no_synchronisation():
        raise KeyError
    assert modes == ["error", "default"]


@pytest.mark.parametrize("shape", [(64, 64, 64), (5, 1024, 512), (2, 3, 3, 90_000)])
def test_memory_of_a_call(shape):
    parameters = TargetParameters((1.0, 1.0, 1.0), 2.0, "zero", "extent", None, 0.0)
    limits = Limits(multiprocessors=132, shared_bytes=227 << 10)
    needed = devices.call_bytes(shape, torch.uint8, parameters, limits)
    voxels = int(np.prod(shape))
    assert 5 * voxels < needed
    more = devices.call_bytes((2 * shape[0], *shape[1:]), torch.uint8, parameters, limits)
    assert more >= needed + 5 * voxels
