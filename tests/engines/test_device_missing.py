"""Do engines `cuda` and `cucim` say what this machine lacks for them, and how to get it?"""

import sys

import pytest
import torch

from inner_distance_gpu import engines
from inner_distance_gpu.engines.cuda import compiler, driver


@pytest.fixture
def machine(own_driver, monkeypatch):
    """A machine on which everything is there."""
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(driver, "driver_version", lambda: (13, 1))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(compiler, "_capability", lambda index: (9, index))
    monkeypatch.setattr(driver, "installed", lambda package: True)
    return monkeypatch


def test_everything_is_there(machine):
    assert engines.available()["cuda"] is None
    assert engines.available()["cucim"] is None
    assert engines.fastest() == "cuda"


def test_a_compiler_that_begins_above_the_device_is_said(machine):
    machine.setattr(compiler, "supported", lambda: (75, 80, 90))
    assert engines.available()["cuda"] is None
    machine.setattr(compiler, "_capability", lambda index: (6 + index, 0))
    for engine in ("cuda", "cucim"):
        assert "compute capability 7.5 and above, the device has 7.0" in engines.available()[engine]
    machine.setenv("PYTORCH_NVML_BASED_CUDA_CHECK", "1")
    assert engines.available()["cuda"] is None, "nothing may be started"
    machine.delenv("PYTORCH_NVML_BASED_CUDA_CHECK")
    machine.setattr(compiler, "_capability", lambda index: (7, 5 * index))
    assert engines.available()["cuda"] is None


def test_a_device_that_cannot_be_started_is_said(machine):
    def busy(index):
        raise RuntimeError("CUDA-capable device(s) is/are busy or unavailable")

    machine.setattr(compiler, "_capability", busy)
    assert "torch cannot start CUDA: CUDA-capable device(s) is/are busy" in engines.available()["cuda"]


def test_what_is_missing_is_said(machine):
    machine.setattr(driver, "installed", lambda package: package != "cucim")
    assert engines.available()["cuda"] is None
    assert "cuCIM is not installed: pip install 'inner_distance_gpu[cuda13]'" in engines.available()["cucim"]
    machine.setattr(driver, "installed", lambda package: False)
    assert "CuPy is not installed: pip install 'inner_distance_gpu[cuda13]'" in engines.available()["cuda"]
    machine.setattr(driver, "driver_version", lambda: (12, 8))
    machine.setattr(torch.version, "cuda", "12.8")
    assert "[cuda12]" in engines.available()["cuda"]
    machine.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in engines.available()["cucim"]
    machine.setattr(driver, "driver_version", lambda: (11, 4))
    assert "driver is too old: it supports CUDA 11.4, this torch needs 12.0" in engines.available()["cuda"]
    machine.setattr(driver, "driver_version", lambda: None)
    assert "no NVIDIA driver was found" in engines.available()["cuda"]
    machine.setattr(torch.version, "cuda", None)
    assert "built without CUDA" in engines.available()["cuda"]


def test_packages_are_looked_for_without_importing_them(own_driver, monkeypatch):
    assert driver.installed("numpy")
    assert not driver.installed("no_such_package")
    monkeypatch.setitem(sys.modules, "numpy", None)
    assert not driver.installed("numpy")
