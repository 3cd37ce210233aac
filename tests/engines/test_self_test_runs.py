"""When does the known-answer test run, what does it remember, and who asks for it?"""

import importlib.util
import threading
import time
import types

import numpy as np
import pytest
import torch
from host_launcher import HostLauncher

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, inner_distance
from inner_distance_gpu.engines.cuda import cache, compiler, self_test
from inner_distance_gpu.engines.cuda import run as cuda
from inner_distance_gpu.engines.cuda.self_test import SelfTestError

HOST, DEVICE = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def launcher(on_host):
    return on_host(HostLauncher())


@pytest.fixture
def machine(launcher, monkeypatch, tmp_path):
    """A device that is a host; `runs` counts tests, `found` is their outcome where it is not the real one."""
    state = types.SimpleNamespace(
        runs=0, found=None, capturing=False, debug=0, driver="580.1", uuid="GPU-1", version=(13, 0)
    )
    difference = self_test.difference

    def run(device, start):
        state.runs += 1
        time.sleep(0.05)
        return state.found or difference(HOST, start)

    properties = types.SimpleNamespace(name="Some GPU", major=9, minor=0)
    monkeypatch.setattr(self_test, "difference", run)
    monkeypatch.setattr(self_test, "settled", {})
    monkeypatch.setattr(self_test.driver, "text", lambda: state.driver)
    monkeypatch.setattr(cache, "kernels_version", lambda: (compiler.OPTIONS, state.version, "0123456789abcdef"))
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: state.capturing)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: state.debug)
    monkeypatch.setattr(
        torch.cuda,
        "get_device_properties",
        lambda device: types.SimpleNamespace(**vars(properties), uuid=state.uuid),
    )
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(self_test.VARIABLE, raising=False)
    state.restart = self_test.settled.clear
    return state


def test_it_runs_once_and_is_remembered(machine):
    assert self_test.state(DEVICE).startswith("not run yet")
    for _ in range(3):
        self_test.check(DEVICE, cuda.start)
    assert machine.runs == 1
    machine.restart()
    assert self_test.state(DEVICE) == "passed"
    self_test.check(DEVICE, cuda.start)
    assert machine.runs == 1


@pytest.mark.parametrize(
    ("what", "other"), [("driver", "581.2"), ("uuid", "GPU-2"), ("version", (13, 1))], ids=["driver", "device", "NVRTC"]
)
def test_what_was_never_seen_together_is_tested(machine, what, other):
    self_test.check(DEVICE, cuda.start)
    machine.restart()
    setattr(machine, what, other)
    self_test.check(DEVICE, cuda.start)
    assert machine.runs == 2


def test_a_damaged_memory_is_none(machine):
    self_test.check(DEVICE, cuda.start)
    (file,) = cache.folder().iterdir()
    file.write_bytes(file.read_bytes()[:-1])
    machine.restart()
    self_test.check(DEVICE, cuda.start)
    assert machine.runs == 2


def test_once_per_process_where_nothing_can_be_written(machine, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for runs in (1, 2):
        self_test.check(DEVICE, cuda.start), self_test.check(DEVICE, cuda.start)
        assert machine.runs == runs
        machine.restart()


def test_every_device_for_itself(machine):
    self_test.check(DEVICE, cuda.start)
    machine.uuid = "GPU-2"
    self_test.check(torch.device("cuda", 1), cuda.start)
    assert machine.runs == 2


@pytest.mark.no_kernel
def test_the_error_says_everything(machine):
    machine.found = "Kernel pairs, case 'packed', target: 1 of 5 values differ"
    for _ in range(2):  # the second call does not compute on the device either
        with pytest.raises(SelfTestError) as error:
            self_test.check(DEVICE, cuda.start)
        for part in ("cuda:0, Some GPU (GPU-1)", "driver 580.1", "NVRTC 13.0", machine.found, "'cpu', 'reference'"):
            assert part in str(error.value)
        assert "'cuda'," not in str(error.value)
    assert machine.runs == 1
    assert machine.found in self_test.state(DEVICE)
    machine.restart()
    assert self_test.state(DEVICE).startswith("not run yet"), "a failure is not remembered as anything else"


def test_a_device_that_breaks_is_forgotten(machine, monkeypatch):
    self_test.check(DEVICE, cuda.start)
    machine.restart()
    monkeypatch.setenv(self_test.VARIABLE, "always")
    machine.found = "Kernel pairs"
    with pytest.raises(SelfTestError):
        self_test.check(DEVICE, cuda.start)
    machine.restart()
    monkeypatch.delenv(self_test.VARIABLE)
    with pytest.raises(SelfTestError):
        self_test.check(DEVICE, cuda.start)


@pytest.mark.no_kernel
@pytest.mark.parametrize(("mode", "runs"), [("0", 0), ("1", 1), ("", 1), ("always", 2)])
def test_the_variable(machine, monkeypatch, mode, runs):
    monkeypatch.setenv(self_test.VARIABLE, mode)
    for _ in range(2):
        self_test.check(DEVICE, cuda.start), self_test.check(DEVICE, cuda.start)
        machine.restart()
    assert machine.runs == runs
    assert ("switched off" in self_test.state(DEVICE)) == (mode == "0")


@pytest.mark.no_kernel
def test_another_value_of_the_variable(machine, monkeypatch):
    monkeypatch.setenv(self_test.VARIABLE, "yes")
    with pytest.raises(ValueError, match="INNER_DISTANCE_GPU_SELF_TEST='yes': expected 0, 1 or always"):
        self_test.check(DEVICE, cuda.start)


@pytest.mark.parametrize("what", ["capturing", "debug"])
def test_where_nothing_may_be_read_back_it_waits_for_another_call(machine, what):
    setattr(machine, what, 1)
    self_test.check(DEVICE, cuda.start)
    assert machine.runs == 0
    assert self_test.state(DEVICE).startswith("not run yet")
    setattr(machine, what, 0)
    self_test.check(DEVICE, cuda.start)
    assert machine.runs == 1


@pytest.mark.no_kernel
@pytest.mark.parametrize("found", [None, "Kernel pairs"])
def test_threads_that_come_together_get_one_answer(machine, found):
    machine.found, errors, start = found, [], threading.Barrier(8)

    def first_call():
        start.wait()
        try:
            self_test.check(DEVICE, cuda.start)
        except SelfTestError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=first_call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert machine.runs == 1
    assert len(errors) == (8 if found else 0)


def test_an_error_on_the_way_settles_nothing(machine):
    def fails(device, start):
        raise MemoryError

    run, self_test.difference = self_test.difference, fails
    with pytest.raises(MemoryError):
        self_test.check(DEVICE, cuda.start)
    self_test.difference = run
    self_test.check(DEVICE, cuda.start)
    assert machine.runs == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda engine: inner_distance(np.eye(3), (1, 1), engine=engine),
        lambda engine: balanced_weights(np.eye(3), engine=engine),
        lambda engine: InnerDistanceTransform((1, 1), 1, engine=engine)(np.eye(3)),
    ],
    ids=["inner_distance", "balanced_weights", "transform"],
)
def test_engine_cuda_asks_before_it_works(launcher, monkeypatch, call):
    def refuses(device, start):
        raise SelfTestError(f"on {device}")

    monkeypatch.setattr(self_test, "check", refuses)
    with pytest.raises(SelfTestError, match="on cpu"):
        call("cuda")
    assert launcher.launches == []
    for engine in ("cucim", "cpu", "reference"):
        call(engine)


def test_nothing_is_loaded_for_it_before(monkeypatch):
    """Neither importing the module nor asking for a host reads the recorded answers."""
    monkeypatch.setattr(np, "load", None)
    spec = importlib.util.spec_from_file_location(self_test.__name__, self_test.__file__)
    anew = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(anew)
    anew.check(HOST, cuda.start)


def test_info_says_it(machine, monkeypatch, call):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    machine_properties = types.SimpleNamespace(name="Some GPU", total_memory=2**34, major=9, minor=0, uuid="GPU-1")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: machine_properties)
    assert "known-answer test on cuda:0 not run yet" in " ".join(call("info")[1].split())
    self_test.check(DEVICE, cuda.start)
    assert "known-answer test on cuda:0 passed" in " ".join(call("info")[1].split())


@pytest.mark.no_kernel
def test_info_survives_a_cupy_that_does_not_load(machine, monkeypatch):
    def broken():
        raise ImportError("libnvrtc.so.13 is missing")

    monkeypatch.setattr(cache, "kernels_version", broken)
    assert self_test.state(DEVICE) == "unknown: libnvrtc.so.13 is missing"


def test_verify_says_it(machine, monkeypatch, call, tmp_path):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    np.save(tmp_path / "labels.npy", np.eye(8, dtype=np.uint8))
    self_test.check(DEVICE, cuda.start)
    code, out, _ = call("verify", tmp_path / "labels.npy", "--voxel-size", "1,1", "--scale", "2")
    assert code == 0
    assert "known-answer test on cuda:0: passed" in out
