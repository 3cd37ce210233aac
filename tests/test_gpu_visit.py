"""Does the script of a visit to a GPU run from end to end, so that no minute there is lost? Kernels run on the host."""

import contextlib
import importlib.util
import json
import re
import sys
import types
from pathlib import Path

import pytest
import torch
from host_launcher import HostLauncher

from inner_distance_gpu.engines.cuda import run as cuda


def script(monkeypatch):
    """The program as a module. Its `cases` is not that of the tests."""
    folder = Path(__file__).parents[1] / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    for name in ("cases", "gpu_visit"):
        spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # where dataclasses and imports look
        spec.loader.exec_module(module)
    return module


@pytest.fixture
def visit(on_host, monkeypatch, tmp_path):
    """Runs the script; returns its exit code and the report it wrote."""
    launcher = on_host(HostLauncher())
    module = script(monkeypatch)
    streams = {
        "Stream": object,
        "stream": lambda stream: contextlib.nullcontext(),
        "CUDAGraph": lambda: types.SimpleNamespace(replay=lambda: None),
        "graph": lambda graph: contextlib.nullcontext(),
        "synchronize": lambda: None,
        "reset_peak_memory_stats": lambda: None,
        "memory_allocated": lambda: 0,
        "max_memory_allocated": lambda: 12_000,
    }
    for name, stand_in in streams.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    monkeypatch.setattr(module, "copy_bandwidth", lambda measured=module.copy_bandwidth: measured(1 << 16, "cpu"))
    small = [
        module.Recipe((7, 8, 9), 0.5, (40.0, 4.0, 4.0), 48.0, True),
        module.Recipe((2, 9, 33), 0.02, (4.0, 4.0), 48.0, False),
    ]
    assert len(module.recipes()) == 39
    monkeypatch.setattr(module, "recipes", lambda: small)

    def run(*arguments):
        out = tmp_path / "visit.json"
        monkeypatch.setattr(sys, "argv", ["gpu_visit.py", "--no-tests", "--out", str(out), *arguments])
        code = module.main()
        assert module.launching.launcher is launcher  # as it was
        return code, json.loads(out.read_text()) if out.is_file() else None

    return run


def test_every_engine_is_timed_and_agrees(visit, capsys):
    code, report = visit("--rounds", "2")
    assert code == 0
    assert [case["name"] for case in report["cases"]] == ["7x8x9 50% 40x4x4", "2x9x33 2% 4x4"]
    for case in report["cases"]:
        assert set(case["engines"]) == {"cpu", "cucim", "cuda", "cuda graph"}
        assert all(entry["median_ms"] >= 0 for entry in case["engines"].values())
        assert all(case["engines"][name]["agrees"] for name in ("cpu", "cucim", "cuda"))
        assert case["engines"]["cuda"]["peak_bytes_per_voxel"] == 12_000 / case["voxels"]
        assert list(case["kernel_ms"]) == ["scan<unsigned char, half_grid::Square>", "settle", "pairs"]
        assert all(ms >= 0 for ms in case["kernel_ms"].values())
    said = capsys.readouterr().out
    assert "2x9x33 2% 4x4" in said
    assert re.search(r"yes  scan [\d.]+ settle [\d.]+ pairs [\d.]+", said)


def test_quick_takes_the_small_cases(visit):
    assert len(visit("--quick")[1]["cases"]) == 1


def test_a_wrong_engine_is_seen(visit, monkeypatch, capsys):
    right = cuda.run

    def wrong(task, arrays, threads):
        right(task, arrays, threads)
        if arrays.target is not None:
            arrays.target.add_(1e-3)

    monkeypatch.setattr(cuda, "run", wrong)
    code, report = visit("--quick")
    assert code == 1
    assert not report["cases"][0]["engines"]["cuda"]["agrees"]
    assert "NO" in capsys.readouterr().out


def test_an_engine_that_fails_does_not_end_the_visit(visit, monkeypatch):
    def fails(*arguments):
        raise RuntimeError("too large")

    monkeypatch.setattr(cuda, "run", fails)
    _, report = visit("--quick")
    engines = report["cases"][0]["engines"]
    assert engines["cuda"] == {"failed": "RuntimeError: too large"}
    assert "median_ms" in engines["cucim"]


def test_em_labels_are_timed(visit, tmp_path):
    import numpy as np

    labels = np.random.default_rng(0).integers(0, 3, (5, 6, 7)).astype(np.uint32)
    np.savez(tmp_path / "em.npz", labels=labels, voxel_size=[40, 32, 32])
    _, report = visit("--quick", "--em", str(tmp_path / "em.npz"))
    assert report["cases"][1]["name"].startswith("5x6x7")


@pytest.mark.no_kernel
def test_a_dry_run_lists_the_cases(visit, capsys):
    assert visit("--dry") == (0, None)
    assert "7x8x9" in capsys.readouterr().out
