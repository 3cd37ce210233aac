"""Does the driver's version decide what `make demo` installs, and does `info` say what is there or missing?"""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch

from inner_distance_gpu.device import driver, report

SCRIPT = Path(driver.__file__)


def asked(folder):
    """What the Makefile sees: the script, run by a bare Python, with `folder` searched for libraries first."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    command = [sys.executable, "-I", "-S", str(SCRIPT)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.strip(), done.stderr.strip()


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to make a driver")
@pytest.mark.parametrize(
    ("status", "version", "extra", "reason"),
    [
        (0, 11080, "", "the NVIDIA driver supports CUDA 11.8, the CUDA engines need 12 or newer"),
        (0, 12000, "cuda12", "supports CUDA 12.0: extra cuda12"),
        (0, 12090, "cuda12", "supports CUDA 12.9: extra cuda12"),
        (0, 13000, "cuda13", "supports CUDA 13.0: extra cuda13"),
        (0, 14020, "cuda13", "supports CUDA 14.2: extra cuda13"),
        (0, 0, "", "no NVIDIA driver was found"),  # a stub
        (999, 13000, "", "no NVIDIA driver was found"),
    ],
)
def test_a_driver_chooses_the_extra(tmp_path, status, version, extra, reason):
    source = f"int cuDriverGetVersion(int *version) {{ *version = {version}; return {status}; }}"
    library = tmp_path / "libcuda.so.1"
    subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", library], input=source, text=True, check=True)
    printed, why = asked(tmp_path)
    assert printed == extra
    assert reason in why


def test_the_extras_are_those_of_the_package():
    offered = importlib.metadata.metadata("inner_distance_gpu").get_all("Provides-Extra")
    assert {driver.extra_for((major, 0))[0] for major in (12, 13)} <= set(offered)
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert SCRIPT.is_file()
    assert "$(PYTHON) inner_distance_gpu/device/driver.py" in makefile
    assert re.search(r"\$\$\{extra:-(\w+)\}", makefile)[1] in offered


@pytest.fixture
def machine(own_driver, monkeypatch, tmp_path):
    """A machine with one GPU and everything installed."""
    properties = types.SimpleNamespace(name="NVIDIA H200", total_memory=139.8 * 2**30, major=9, minor=0)
    module = tmp_path / "version"
    module.write_text("580.65.06\n")
    versions = {"cupy-cuda13x": "14.2.0", "cucim-cu13": "26.10.0", "nvidia-cuda-nvrtc": "13.0.88"}
    monkeypatch.setattr(report, "_KERNEL_MODULE", module)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(driver, "driver_version", lambda: (13, 0))
    monkeypatch.setattr(driver, "installed", lambda package: True)

    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    return types.SimpleNamespace(patch=monkeypatch.setattr, versions=versions)


def test_info_of_a_machine_with_a_gpu(machine):
    said = dict(report.rows())
    assert said["NVIDIA driver"] == "580.65.06, supports CUDA up to 13.0"
    assert said["torch"].endswith("built with CUDA 13.0")
    assert said["cuda:0"] == "NVIDIA H200, 139.8 GiB, compute capability 9.0"
    assert said["CuPy"] == "cupy-cuda13x 14.2.0"
    assert said["cuCIM"] == "cucim-cu13 26.10.0"
    assert said["NVRTC"] == "nvidia-cuda-nvrtc 13.0.88"


def test_info_names_what_to_install(machine):
    machine.versions.clear()
    machine.patch(driver, "driver_version", lambda: (12, 8))
    machine.patch(torch.version, "cuda", "12.8")
    said = dict(report.rows())
    for name in ("CuPy", "cuCIM", "NVRTC"):
        assert said[name] == "not installed: pip install 'inner_distance_gpu[cuda12]'"


def test_info_of_two_cupys(machine):
    machine.versions["cupy-cuda12x"] = "14.2.0"
    assert "uninstall all but one" in dict(report.rows())["CuPy"]


def test_info_of_a_gpu_and_a_torch_without_cuda(machine):
    machine.patch(torch.version, "cuda", None)
    machine.patch(torch.cuda, "is_available", lambda: False)
    said = dict(report.rows())
    assert "built without CUDA: it has no CUDA tensors; one that is built with it: https://pytorch.org" in said["torch"]
    assert "built without CUDA" in said["CUDA devices"]


def test_info_without_a_driver(machine):
    machine.versions.clear()
    machine.patch(driver, "driver_version", lambda: None)
    machine.patch(torch.cuda, "is_available", lambda: False)
    said = dict(report.rows())
    assert "not found (libcuda.so.1 does not load)" in said["NVIDIA driver"]
    assert said["CuPy"].startswith("not installed (no NVIDIA driver was found")


def test_info_prints_it(machine, call):
    machine.versions |= {"numpy": "2", "scipy": "1"}
    code, printed, _ = call("info")
    assert code == 0
    assert "NVIDIA H200, 139.8 GiB" in printed
    assert "580.65.06" in printed
    machine.patch(driver, "installed", lambda package: False)
    _, printed, _ = call("info")
    assert "[cuda13]" in printed  # which rich does not take for markup


@pytest.mark.skipif(importlib.util.find_spec("stardist") is None, reason="stardist is not installed")
def test_the_demo_says_why_it_is_not_on_the_gpu(no_gpu, call, tmp_path):
    code, printed, _ = call("demo", "--out", tmp_path / "demo")
    assert code == 0
    assert f"not cuda: {driver.why_not()}" in printed
