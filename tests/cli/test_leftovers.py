"""Is nothing lost and nothing left: pictures, the demo's folder, signals?"""

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import sysconfig
import time
import weakref
from pathlib import Path

import numpy as np
import pytest
from forked import CAN_FORK, Forked, run_program
from PIL import Image
from zarr_stores import create, digests

from inner_distance_gpu.cli import demo, figures, terminal
from inner_distance_gpu.storage import disk, files
from inner_distance_gpu.storage.target import Target

PROGRAM = str(Path(sysconfig.get_path("scripts"), "inner-distance-gpu"))
LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
OPTIONS = ["--voxel-size", "30,4,4.5", "--scale", "20"]


@pytest.fixture
def source(tmp_path):
    return create(tmp_path / "l.zarr", LABELS)


def foreign_picture(path):
    Image.new("RGB", (3, 3)).save(path)
    return path.read_bytes()


@pytest.mark.parametrize("content", ["picture", "no picture", "empty"])
def test_volume_replaces_no_picture_of_others(call, source, tmp_path, content):
    picture = tmp_path / "p.png"
    before = foreign_picture(picture) if content == "picture" else content[:-5].encode() * (content != "empty")
    picture.write_bytes(before)
    command = ["volume", source, tmp_path / "t.zarr", *OPTIONS, "--preview", picture]
    code, _, error = call(*command)
    assert code == 2
    assert "p.png: exists already; --overwrite replaces it" in error
    assert picture.read_bytes() == before
    assert not (tmp_path / "t.zarr").exists(), "said before anything is computed"
    assert call(*command, "--overwrite")[0] == 0
    assert figures.mark_of(picture) == figures.mark("volume", tmp_path / "t.zarr")


def test_the_same_command_replaces_its_picture(call, source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    picture = tmp_path / "p.png"
    command = ["volume", source, "t µ.zarr", *OPTIONS, "--preview", picture]
    assert call(*command)[0] == 0
    picture.rename(tmp_path / "moved.png")
    (tmp_path / "moved.png").rename(picture)
    assert call(*command)[0] == 0
    assert call("volume", source, tmp_path / "t µ.zarr", *OPTIONS, "--preview", picture)[0] == 0, "another spelling"
    before = picture.read_bytes()
    for other in (
        ["volume", source, "other.zarr", *OPTIONS, "--preview", picture],
        ["run", source, "t.npy", *OPTIONS, "--preview", picture],
    ):
        code, _, error = call(*other)
        assert code == 2
        assert "p.png: exists already" in error
    assert picture.read_bytes() == before


def test_run_draws_again_what_it_drew(call, source, tmp_path):
    command = ["run", source, tmp_path / "t.npy", *OPTIONS, "--preview", tmp_path / "p.png"]
    assert call(*command)[0] == 0
    for name in ("t.npy", "t.json"):
        (tmp_path / name).unlink()
    assert call(*command)[0] == 0


@pytest.fixture
def masks(tmp_path, monkeypatch):
    """The masks of the demo, small."""
    import tifffile

    images = tmp_path / "images"
    images.mkdir()
    tifffile.imwrite(images / "mask3d.tif", LABELS)
    tifffile.imwrite(images / "mask2d.tif", LABELS[2])
    monkeypatch.setattr(demo, "images_folder", lambda: images)


def test_the_demo_replaces_its_own_files(call, masks, tmp_path):
    for _ in range(2):
        assert call("demo", "--out", tmp_path / "demo")[0] == 0
    (tmp_path / "demo" / "mine.txt").write_text("mine")
    (tmp_path / "demo" / "nuclei_2d_instances_target.json").unlink()
    (tmp_path / "demo" / "nuclei_2d_instances_target.npy").unlink()
    assert call("demo", "--out", tmp_path / "demo")[0] == 0, "as after an interruption"
    assert (tmp_path / "demo" / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["demo.png", "nuclei_3d_binary_target.npy", "nuclei_2d_instances_weight.json"])
def test_the_demo_replaces_no_file_of_others(call, masks, tmp_path, name):
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / name).write_text("{}")
    code, _, error = call("demo", "--out", folder)
    assert code == 2
    assert "exists already, and not from an earlier demo" in error
    assert digests(folder).keys() == {name}
    assert (folder / name).read_text() == "{}"


@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("output", ["t.npy", "t.zarr", "t.tif", "t.h5", "t.nii.gz"])
def test_a_signal_leaves_no_hidden_files(tmp_path, number, output):
    if number != signal.SIGTERM and output not in ("t.npy", "t.zarr"):
        pytest.skip("the same with SIGTERM")
    np.save(tmp_path / "many.npy", np.random.default_rng(0).integers(0, 3, (1500, 24, 24, 24), np.uint8))
    command = ["run", "many.npy", output, "--voxel-size", "1,1,1", "--scale", "3", "--engine", "reference"]
    command += ["--weight", f"w{output[1:]}"]
    if CAN_FORK and (output, number) != ("t.npy", signal.SIGTERM):
        program = Forked(run_program, *command, cwd=tmp_path)
    else:  # to the end of an interpreter
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        program = subprocess.Popen([PROGRAM, *command], cwd=tmp_path, **pipes)
    while len(os.listdir(tmp_path)) < 2 and program.poll() is None:
        time.sleep(0.01)
    assert any(name.startswith(".") for name in os.listdir(tmp_path)), "it was at work"
    program.send_signal(number)
    said = program.communicate(timeout=60)[1]
    assert "Traceback" not in said or output == "t.zarr", "threads of zarr-python may say that they were interrupted"
    assert program.returncode == 128 + number
    assert os.listdir(tmp_path) == ["many.npy"]


def in_a_callback(thing, folder):
    return weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))


def in_a_class(thing, folder):
    class Signals:
        def __set_name__(self, owner, name):
            signal.raise_signal(signal.SIGTERM)

    type("Made", (), {"signals": Signals()})


def in_an_import(thing, folder):
    text = "import os, signal\ntry:\n    signal.raise_signal(signal.SIGTERM)\nexcept BaseException:\n    pass\n"
    (folder / "forgets_a_signal.py").write_text(text)
    sys.modules.pop("forgets_a_signal", None)
    importlib.import_module("forgets_a_signal")


@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")
@pytest.mark.parametrize("where", [in_a_callback, in_a_class, in_an_import])
def test_a_signal_whose_exception_is_lost_ends_the_command_all_the_same(where, tmp_path, monkeypatch):
    """As in imports: Python ignores exceptions in callbacks, and makes others of those where a class is made."""
    monkeypatch.syspath_prepend(tmp_path)

    went_on = []

    def command():
        thing = type("Thing", (), {})()
        kept = where(thing, tmp_path)
        del thing
        time.sleep(5)
        went_on.append(kept)

    with pytest.raises(SystemExit) as left, terminal.surroundings():
        command()
    assert left.value.code == 128 + signal.SIGTERM
    assert not went_on


@pytest.mark.skipif(os.name == "nt", reason="Windows ends processes without a signal")
def test_a_command_that_has_done_its_work_says_so_whatever_came_in_between():
    def command():
        with contextlib.suppress(SystemExit):  # as other code may
            signal.raise_signal(signal.SIGTERM)
        sys.exit(0)

    with pytest.raises(SystemExit) as left, terminal.surroundings():
        command()
    assert left.value.code == 0


@pytest.mark.skipif(not CAN_FORK, reason="no forkserver")
@pytest.mark.parametrize("output", ["t.npy", "t.nii.gz", "t.zarr"])
def test_what_a_kill_leaves_is_gone_after_a_rerun(tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    np.save(tmp_path / "many.npy", np.random.default_rng(0).integers(0, 3, (40, 24, 24, 24), np.uint8))
    command = ["run", "many.npy", output, "--voxel-size", "1,1,1", "--scale", "3", "--engine", "reference"]
    pattern = f".{Path(output).stem}-*{Path(output).suffix}"
    program = Forked(run_program, *command)
    while not list(tmp_path.glob(pattern)) and program.poll() is None:
        time.sleep(0.01)
    if output == "t.zarr":
        while not list(tmp_path.glob(f"{pattern}/working")) and program.poll() is None:
            time.sleep(0.01)
    program.kill()
    program.wait()
    left = list(tmp_path.glob(pattern))
    assert left, "it was at work"
    locked = left[0] / "working" if output == "t.zarr" else left[0]
    with locked.open("r+b") as file:  # as a process that lives
        disk.lock(file, left[0])
        assert Forked(run_program, *command).wait() == 0
        assert left[0].exists(), "another process writes it"
    assert Forked(run_program, *command, "--overwrite").wait() == 0
    described = {"t.npy": ["t.json"], "t.nii.gz": ["t.nii.gz.json"]}.get(output, [])
    assert sorted(os.listdir(tmp_path)) == sorted(["many.npy", output, *described])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no limit for files")
@pytest.mark.parametrize("output", ["t.npy", "t.tif", "t.h5", "t.nii", "t.nii.gz", "t.zarr"])
def test_a_disk_that_fills_up_leaves_what_was_there(call, tmp_path, output):
    """Targets and weights are 92 kB here, and more than 4 kB as they are stored; metadata are less."""
    import resource

    labels = np.random.default_rng(0).integers(0, 3, (8, 48, 60), np.uint8)
    np.save(tmp_path / "l.npy", labels)
    options = ["--voxel-size", "1,1,1", "--scale", "3", "--overwrite"]
    command = ["run", tmp_path / "l.npy", tmp_path / output, *options]
    assert call(*command)[0] == 0
    before = digests(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, limits[1]))
    try:
        code, _, error = call(*command, "--weight", tmp_path / f"w{output[1:]}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2
    assert "File too large" in error
    assert output in error or f"w{output[1:]}" in error
    assert digests(tmp_path) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has other signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2"])
def test_signals_that_end_a_command(name):
    number = getattr(signal, name)
    with pytest.raises(SystemExit) as left, terminal.surroundings():
        os.kill(os.getpid(), number)
    assert left.value.code == 128 + number
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with terminal.surroundings():
            os.kill(os.getpid(), signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_disk_is_an_error_that_names_the_output(tmp_path):
    with (
        open("/dev/full", "wb", buffering=0) as full,
        files.writing_target(tmp_path / "t.npy", Target((2, 2))) as target,
    ):
        target.file, file = full, target.file
        with pytest.raises(OSError, match="cannot be written") as raised:
            target[...] = np.ones((2, 2), np.float32)
        target.file = file
    assert raised.value.filename == str(tmp_path / "t.npy")


def test_parts_of_an_array_lie_where_they_belong(tmp_path):
    expected = np.random.default_rng(0).random((2, 3, 4, 5), np.float32)
    with files.writing_target(tmp_path / "t.npy", Target(expected.shape)) as target:
        for i, j in [(1, 2), (0, 0), (1, 0), (0, 2), (1, 1), (0, 1)]:
            target[i, j] = expected[i, j]
    np.testing.assert_array_equal(np.load(tmp_path / "t.npy", mmap_mode="r"), expected)
