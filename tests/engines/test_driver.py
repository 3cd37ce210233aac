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

from inner_distance_gpu.engines.cuda import driver, report

SCRIPT = Path(driver.__file__)


def asked(folder, *arguments):
    """What the Makefile sees: the script, run by a bare Python, with `folder` searched for libraries and packages."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder), "PYTHONPATH": str(folder)}
    command = [sys.executable, "-S", str(SCRIPT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.strip(), done.stderr.strip()


def make_driver(folder, version, status=0):
    source = f"int cuDriverGetVersion(int *version) {{ *version = {version}; return {status}; }}"
    command = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", folder / "libcuda.so.1"]
    subprocess.run(command, input=source, text=True, check=True)


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
    make_driver(tmp_path, version, status)
    printed, why = asked(tmp_path)
    assert printed == extra
    assert reason in why


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to make a driver")
@pytest.mark.parametrize(
    ("version", "cuda", "extra", "reason"),
    [
        (13000, "12.8", "cuda12", "supports CUDA 13.0, torch is built with CUDA 12.8: extra cuda12"),
        (13000, "13.0", "cuda13", "supports CUDA 13.0, torch is built with CUDA 13.0: extra cuda13"),
        (12080, "13.0", "cuda12", "supports CUDA 12.8, torch is built with CUDA 13.0: extra cuda12"),
        (13000, "11.8", "cuda13", "supports CUDA 13.0: extra cuda13"),
        (13000, None, "cuda13", "supports CUDA 13.0: extra cuda13"),
        (11080, "12.8", "", "need 12 or newer"),
    ],
)
def test_torch_chooses_the_extra_where_the_driver_runs_it(tmp_path, version, cuda, extra, reason):
    make_driver(tmp_path, version)
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise AssertionError('nobody imports torch to ask for its CUDA')")
    (package / "version.py").write_text(f"cuda = {cuda!r}\n")
    printed, why = asked(tmp_path)
    assert printed == extra
    assert reason in why


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc to make a driver")
def test_the_driver_alone(tmp_path):
    assert asked(tmp_path, "--driver")[0] in ("None", str(driver.driver_version()))
    make_driver(tmp_path, 13020)
    assert asked(tmp_path, "--driver")[0] == "(13, 2)"


def test_the_cuda_of_the_installed_torch():
    command = [sys.executable, "-c", f"import runpy; print(runpy.run_path({str(SCRIPT)!r})['torch_cuda']())"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(driver.torch_cuda())


MAKING = """#!/bin/sh
# In place of python and pip: notes its call, makes environments of itself, and runs the script.
echo "$(basename "$0") $*" >> calls
case "$1" in
-m) mkdir -p .venv/bin && cp "$0" .venv/bin/python && cp "$0" .venv/bin/pip ;;
*driver.py) exec {python} -S "$@" ;;
esac
"""


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("gcc")), reason="needs make, and gcc to make a driver")
def test_the_environment_is_made_anew_for_another_index_or_driver(tmp_path):
    tree = Path(__file__).parents[2]
    for name in (
        "Makefile",
        "pyproject.toml",
        "constraints.txt",
        "CMakeLists.txt",
        "inner_distance_gpu/engines/cuda/driver.py",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tree / name, tmp_path / name)
    (tmp_path / "python").write_text(MAKING.format(python=sys.executable))
    (tmp_path / "python").chmod(0o755)
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("PIP_", "MAKE", "MFLAGS"))}
    calls = tmp_path / "calls"

    def make(**changed):
        calls.write_text("")
        environment = plain | {"LD_LIBRARY_PATH": "", "PYTHONPATH": ""} | changed
        command = ["make", f"PYTHON={tmp_path / 'python'}", ".venv/ready"]
        subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
        return [line for line in calls.read_text().splitlines() if "--driver" not in line]

    first = make()
    assert first[1].startswith("pip install")
    assert first[1].split()[-1] == "torch"
    assert first[2] == "python inner_distance_gpu/engines/cuda/driver.py"
    assert [line for line in first if "--editable" in line] == [first[3]], "compiled once, for the demo"
    assert ",test," in first[-1]
    assert ",test," not in "".join(first[:-1]), "which does without the tests' packages"
    assert make() == []
    index = {"PIP_EXTRA_INDEX_URL": "https://user:password@example.org/cu126"}
    assert make(**index)[0] == "python -m venv --clear .venv"
    assert make(**index) == []
    assert "password" not in (tmp_path / "build/asked").read_text()
    make_driver(tmp_path, 12080)
    index["LD_LIBRARY_PATH"] = str(tmp_path)
    again = make(**index)
    assert again[0] == "python -m venv --clear .venv"
    assert "cuda12" in again[3]
    assert make(**index) == []
    (tmp_path / "pyproject.toml").touch()
    assert make(**index)[0] == "python -m venv .venv"


def test_the_extras_are_those_of_the_package():
    offered = importlib.metadata.metadata("inner_distance_gpu").get_all("Provides-Extra")
    assert {driver.extra_for((major, 0))[0] for major in (12, 13)} <= set(offered)
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    assert SCRIPT.is_file()
    assert "$$($(BIN)/python inner_distance_gpu/engines/cuda/driver.py)" in makefile
    assert re.search(r"\$\$\{extra:-(\w+)\}", makefile)[1] in offered


@pytest.fixture
def machine(own_driver, monkeypatch, tmp_path):
    """A machine with one GPU and everything installed."""
    properties = types.SimpleNamespace(name="NVIDIA H200", total_memory=139.8 * 2**30, major=9, minor=0)
    module = tmp_path / "version"
    module.write_text("580.65.06\n")
    versions = {"cupy-cuda13x": "14.2.0", "cucim-cu13": "26.10.0", "nvidia-cuda-nvrtc": "13.0.88"}
    monkeypatch.setattr(driver, "_KERNEL_MODULE", module)
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


def test_info_goes_by_the_cuda_of_torch(machine):
    machine.patch(torch.version, "cuda", "12.8")
    said = dict(report.rows())
    why = "the NVIDIA driver supports CUDA 13.0, torch is built with CUDA 12.8"
    assert said["extra that fits"] == f"cuda12 ({why})"
    assert said["CuPy"].endswith("cuda12 fits, uninstall it and pip install 'inner_distance_gpu[cuda12]'")


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
