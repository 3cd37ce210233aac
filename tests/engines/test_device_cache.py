"""Are compiled kernels found again, only where they are the same, and is a bad file no harm?"""

import sys
import types

import pytest

from inner_distance_gpu.engines.cuda import cache, compiler
from inner_distance_gpu.engines.cuda.compiler import Kernel, Machine

COUNT, SETTLE = (Kernel("weights.cu", f"half_grid::{name}") for name in ("count", "settle"))


@pytest.fixture
def compiles(monkeypatch, tmp_path):
    """The kernels that were compiled; NVRTC is not asked."""
    made = []

    def compile_kernel(kernel, architecture):
        made.append((kernel, architecture))
        return Machine(f"image {len(made)}\n\0".encode(), f"symbol_{kernel.file}", "log")

    nvrtc = types.SimpleNamespace(getVersion=lambda: (13, 0))
    monkeypatch.setitem(sys.modules, "cupy", types.SimpleNamespace(cuda=types.SimpleNamespace(nvrtc=nvrtc)))
    monkeypatch.setitem(sys.modules, "cupy.cuda", types.SimpleNamespace(nvrtc=nvrtc))
    monkeypatch.setattr(compiler, "compile_kernel", compile_kernel)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache._sources_hash.cache_clear()
    yield types.SimpleNamespace(made=made, nvrtc=nvrtc, files=lambda: sorted(cache.folder().iterdir()))
    cache._sources_hash.cache_clear()


def test_a_kernel_is_compiled_once(compiles):
    first = cache.compiled(SETTLE, "sm_90")
    again = cache.compiled(SETTLE, "sm_90")
    assert (again.image, again.symbol) == (first.image, first.symbol) == (b"image 1\n\0", "symbol_weights.cu")
    assert compiles.made == [(SETTLE, "sm_90")]
    assert len(compiles.files()) == 1


def test_whatever_decides_the_code_is_in_the_name(compiles, monkeypatch):
    def compiled_anew():
        before = len(compiles.made)
        cache.compiled(SETTLE, "sm_90")
        return len(compiles.made) > before

    assert compiled_anew()
    cache.compiled(COUNT, "sm_90")
    cache.compiled(SETTLE, "sm_80")
    cache.compiled(Kernel("scan.cu", SETTLE.name), "sm_90")
    assert len(compiles.made) == 4
    assert not compiled_anew()
    compiles.nvrtc.getVersion = lambda: (13, 1)
    assert compiled_anew()
    monkeypatch.setattr(compiler, "OPTIONS", ("--std=c++17",))
    assert compiled_anew()
    sources = {**compiler.sources(), "job.cuh": "// changed"}
    monkeypatch.setattr(compiler, "sources", lambda: sources)
    cache._sources_hash.cache_clear()
    assert compiled_anew()
    assert not compiled_anew()


@pytest.mark.parametrize("damage", [lambda b: b"", lambda b: b[:-1], lambda b: b[:40], lambda b: b[:-1] + b"!"])
def test_a_damaged_file_is_compiled_anew(compiles, damage):
    cache.compiled(SETTLE, "sm_90")
    (file,) = compiles.files()
    file.write_bytes(damage(file.read_bytes()))
    assert cache.compiled(SETTLE, "sm_90").image == b"image 2\n\0"
    assert cache.compiled(SETTLE, "sm_90").image == b"image 2\n\0"


def test_a_folder_that_cannot_be_written_is_no_error(compiles, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert cache.compiled(SETTLE, "sm_90").symbol == "symbol_weights.cu"
    assert len(compiles.made) == 2


def test_nothing_half_written_is_left(compiles, monkeypatch):
    def fails(*paths):
        raise OSError("no")

    monkeypatch.setattr("os.replace", fails)
    cache.compiled(SETTLE, "sm_90")
    assert compiles.files() == []


@pytest.mark.parametrize("fails", ["write", "replace"])
def test_a_full_disk_leaves_nothing_behind(compiles, monkeypatch, fails):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    cache.compiled(COUNT, "sm_90")
    named = cache.tempfile.NamedTemporaryFile

    def without_space(**keywords):
        file = named(**keywords)
        file.write = full
        return file

    if fails == "write":
        monkeypatch.setattr(cache.tempfile, "NamedTemporaryFile", without_space)
    else:
        monkeypatch.setattr("os.replace", full)
    assert cache.compiled(SETTLE, "sm_90").symbol == "symbol_weights.cu"
    assert [file.suffix for file in compiles.files()] == [".cubin"]


@pytest.mark.parametrize("named", [None, "", "relative/cache"])
def test_an_account_without_a_home_compiles_each_time(compiles, monkeypatch, named):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(cache.Path, "home", no_home)
    if named is None:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert cache.folder() is None
    for _ in range(2):
        assert cache.compiled(SETTLE, "sm_90").symbol == "symbol_weights.cu"
    assert len(compiles.made) == 2


def test_a_relative_path_is_no_cache(compiles, monkeypatch, tmp_path):
    monkeypatch.setattr(cache.Path, "home", lambda: tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.folder() == tmp_path / ".cache" / "inner_distance_gpu"
    monkeypatch.setattr(cache.Path, "home", lambda: cache.Path("elsewhere"))
    assert cache.folder() is None
