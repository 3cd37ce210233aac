"""Does what is built from the tree hold what its users need, and say what it lacks? `make dist` compiles it."""

import configparser
import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

import inner_distance_gpu

pytest.importorskip("scikit_build_core", reason="builds with scikit-build-core")
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CMAKE = shutil.which("cmake", path=sysconfig.get_path("scripts")) or shutil.which("cmake")


def build(what, folder, source):
    """`sdist`, or a wheel without compiling, from the tree in `source`; returns the file."""
    call = {
        "sdist": "build.build_sdist(sys.argv[1])",
        "wheel": "build.build_wheel(sys.argv[1], {'wheel.cmake': 'false'})",
    }[what]
    code = f"import sys; from scikit_build_core import build; print(); print({call})"
    done = subprocess.run([sys.executable, "-c", code, folder], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build("sdist", tmp_path_factory.mktemp("sdist"), ROOT)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory, sdist):
    """Made from the sdist, as pip does."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(sdist) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # unknown to Python 3.11.2
        archive.extractall(folder)
    (source,) = folder.iterdir()
    return build("wheel", folder, source)


def files_under(folder, prefix):
    files = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    # An editable install may have left an engine there.
    return {prefix + path.relative_to(ROOT / folder).as_posix() for path in files if path.suffix not in (".so", ".pyd")}


def test_the_wheel_holds_the_package_the_kernels_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    package = {name for name in names if ".dist-info/" not in name}
    expected = files_under("inner_distance_gpu", "inner_distance_gpu/")
    expected |= files_under("kernels", "inner_distance_gpu/kernels/")
    assert package == expected
    for name in ("py.typed", "engines/_host.pyi", "kernels/half_grid.hpp", "kernels/cuda/plane.cu", "kernels/host.cpp"):
        assert f"inner_distance_gpu/{name}" in package
    for name in ("LICENSE", "NOTICE"):
        assert any(other.endswith(f".dist-info/licenses/{name}") for other in names)


def test_the_metadata_are_those_of_the_project(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/entry_points.txt"))
        commands = configparser.ConfigParser()
        commands.read_string(archive.read(name).decode())
    assert metadata["Version"] == inner_distance_gpu.__version__
    assert metadata["License-Expression"] == "BSD-3-Clause"
    assert metadata["Requires-Python"] == PROJECT["project"]["requires-python"]
    assert set(PROJECT["project"]["optional-dependencies"]) == set(metadata.get_all("Provides-Extra"))
    assert commands["console_scripts"]["inner-distance-gpu"] == "inner_distance_gpu.cli:main"


def test_the_sdist_holds_what_it_takes_to_build_and_to_test(sdist):
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for folder in ("inner_distance_gpu", "kernels", "tests"):
        missing = files_under(folder, f"{folder}/") - names
        tracked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=False)
        assert not missing & set(tracked.stdout.split() or missing)
    for name in ("CMakeLists.txt", "pyproject.toml", "README.md", "LICENSE", "NOTICE", "Makefile", "constraints.txt"):
        assert name in names
    assert not {name for name in names if name.split("/")[0] in ("build", ".venv", ".git", "demo")}


@pytest.mark.skipif(CMAKE is None or sys.platform == "win32", reason="needs CMake, and a PATH without a compiler")
def test_a_missing_compiler_is_named(tmp_path):
    for tool in ("ninja", "make", "sh", "env"):
        found = shutil.which(tool, path=f"{sysconfig.get_path('scripts')}:{os.defpath}:/bin:/usr/bin")
        if found:
            (tmp_path / tool).symlink_to(found)
    environment = {key: value for key, value in os.environ.items() if key not in ("CC", "CXX", "CMAKE_GENERATOR")}
    done = subprocess.run(
        [CMAKE, "-S", ROOT, "-B", tmp_path / "build"],
        env=environment | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert "takes a C++17 compiler, and none was found" in said
    assert "apt-get install g++" in said


@pytest.mark.skipif(CMAKE is None or sys.platform == "win32", reason="needs CMake and a compiler of Unix")
def test_missing_headers_of_python_are_named(tmp_path):
    places = [f"-DPython_EXECUTABLE={sys.executable}", f"-DPython_INCLUDE_DIR={tmp_path}"]
    done = subprocess.run(
        [CMAKE, "-S", ROOT, "-B", tmp_path / "build", *places], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    said = " ".join(done.stderr.split())
    assert "takes Python 3.11 or newer with its headers" in said
    assert sys.executable in said
    assert "apt-get install python3-dev" in said


def test_wheels_are_built_for_every_python_that_is_named():
    named = {line.rpartition(" ")[2] for line in PROJECT["project"]["classifiers"] if re.search(r"3\.\d+$", line)}
    built = {re.sub(r"cp3(\d+)-\*", r"3.\1", name) for name in PROJECT["tool"]["cibuildwheel"]["build"]}
    assert named == built
    assert min(named) == PROJECT["project"]["requires-python"].removeprefix(">=")


@pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="an sdist has no files whose names begin with a dot")
def test_versions_are_said_alike_wherever_they_stand():
    """In the citation, which the release is cited by, and in the hooks, which format as `make check` does."""
    yaml = pytest.importorskip("yaml")
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == inner_distance_gpu.__version__
    assert citation["license"] == PROJECT["project"]["license"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    used = {pin for hook in hooks for pin in hook.get("additional_dependencies", [])}
    assert len(used) == 2
    assert used <= set((ROOT / "constraints.txt").read_text().splitlines())


@pytest.mark.skipif(not (ROOT / ".github").is_dir(), reason="an sdist has no files whose names begin with a dot")
@pytest.mark.parametrize("name", ["bug", "feature"])
def test_whoever_reports_is_asked_what_runs_there(name):
    yaml = pytest.importorskip("yaml")
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{name}.yml").read_text(encoding="utf-8"))
    assert any("inner-distance-gpu info" in field["attributes"]["label"] for field in form["body"])


def test_every_package_of_the_cuda_extras_is_pinned():
    """But for NVRTC and the headers of CUDA 12: each build of torch for it asks for its own."""
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for extra in ("cuda12", "cuda13"):
        names = {re.match(r"[\w-]+", text)[0] for text in PROJECT["project"]["optional-dependencies"][extra]}
        assert names - set(pinned) <= {"nvidia-cuda-nvrtc-cu12", "nvidia-cuda-runtime-cu12"}
    assert pinned["cupy-cuda12x"] == pinned["cupy-cuda13x"]
    assert pinned["cucim-cu12"] == pinned["cucim-cu13"]


@pytest.mark.parametrize("system", ["Windows", "Linux"])
def test_cucim_is_asked_for_where_it_has_wheels(wheel, system):
    requirements = pytest.importorskip("packaging.requirements")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    for extra in ("cuda12", "cuda13"):
        where = {"extra": extra, "platform_system": system}
        asked = [requirements.Requirement(text) for text in metadata.get_all("Requires-Dist")]
        asked = {one.name for one in asked if one.marker and one.marker.evaluate(where)}
        assert any(name.startswith("cupy") for name in asked)
        assert any(name.startswith("cucim") for name in asked) == (system == "Linux")
