"""Does the command line work on any terminal and with any name: encodings, closed pipes, narrow windows, no home?"""

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import typer.main
from zarr_stores import create

from inner_distance_gpu import inner_distance
from inner_distance_gpu.cli import program as cli
from inner_distance_gpu.cli import terminal
from inner_distance_gpu.engines import native

PROGRAM = str(Path(sysconfig.get_path("scripts"), "inner-distance-gpu"))
LABELS = np.zeros((6, 20, 24), np.uint16)
LABELS[1:4, 3:12, 4:15] = 3
OPTIONS = ["--voxel-size", "30,4,4.5", "--scale", "20"]
ODD = [
    "[bold]bold.npy",
    "[red]red[end].npy",
    "closed [ red].npy",
    ":smiley: $x^{ $.npy",
    "µ ± … 漢.npy",
    "e\u0301 and \u00e9.npy",
    "two\nlines.npy",
    "scale=5 (key=7).npy",
    "x" * 250 + ".npy",
    "ü" * 125 + ".npy",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    np.save(tmp_path / "labels.npy", LABELS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(*arguments, **settings):
    """The installed program in a process of its own."""
    environment = {name: value for name, value in (os.environ | settings).items() if value is not None}
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, check=False, env=environment)


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_names_are_printed_as_they_are(call, folder, name):
    os.mkdir(folder / "[dim]")
    (folder / "labels.npy").rename(folder / name)
    target, picture = folder / "[dim]" / name, folder / "[dim]" / f"{name[:60]}.png"
    code, out, error = call("run", name, target, *OPTIONS, "--preview", picture, "--unit", "µm")
    assert (code, error) == (0, "")
    assert out.startswith(f"{name}: uint16 (6, 20, 24), voxel size (30, 4, 4.5) µm; engine ")
    assert f"[dim]/{name}\n" in out
    np.testing.assert_array_equal(np.load(target), inner_distance(LABELS, (30, 4, 4.5), scale=20))
    assert sorted(os.listdir(folder / "[dim]")) == sorted([name, f"{name[:-4]}.json", picture.name])
    code, out, error = call("run", name, target, *OPTIONS)
    assert (code, out) == (2, "")
    assert f"/[dim]/{name}: exists already" in error
    assert f"{name}: uint16" in call("verify", name, *OPTIONS, "--crop", "6")[1]


def test_a_name_that_is_no_text(folder):
    name = os.fsdecode(b"no text \xff.npy")
    os.rename("labels.npy", name)
    done = start("run", name, "t.npy", *OPTIONS, "--preview", "p.png")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"no text \xff.npy: uint16")


@pytest.mark.parametrize("name", ["[bold]", "[/]", "a [red]b"])
def test_names_of_arrays_and_volumes(call, folder, name):
    create(folder / f"{name.strip('/')}x.zarr", LABELS)
    target = folder / f"t{name.replace('/', '')}.zarr"
    code, out, error = call("volume", f"{name.strip('/')}x.zarr", target, *OPTIONS)
    assert code == 0, error
    assert f"{target}: float32 6 × 20 × 24" in out
    assert f"--unit {name}: expected a length" in call("run", "labels.npy", "t.npy", *OPTIONS, "--unit", name)[2]
    code, _, error = call("run", "labels.npy", "t.npy", *OPTIONS, "--key", name)
    assert code == 2
    assert f"--key {name} names" in error
    for option in ("--scale", "--background", "--engine"):
        code, _, error = call("run", "labels.npy", "t.npy", *OPTIONS, option, name)
        assert code == 2
        assert name in error


ENCODINGS = [
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
]


# One process for all commands: each would take seconds to import torch.
EVERY = """
import json, os, sys
from inner_distance_gpu import cli
codes = []
for command in json.loads(sys.argv[1]):
    sys.argv = ["inner-distance-gpu", *(os.fsdecode(word.encode()) for word in command)]
    try:
        cli.main()
    except SystemExit as left:
        codes.append(left.code)
with open("codes.json", "w") as file:
    json.dump(codes, file)
"""


@pytest.mark.parametrize("settings", ENCODINGS, ids=["ascii", "POSIX"])
def test_a_terminal_without_utf_8(folder, settings):
    os.rename("labels.npy", "µ ± 漢.npy")
    create(folder / "l.zarr", LABELS)
    commands = [["--help"], ["info"], ["verify", "µ ± 漢.npy", *OPTIONS], ["run", "µ ± 漢.npy", "t µ.npy", *OPTIONS]]
    commands += [[name, "--help"] for name in ("run", "volume", "verify", "bench", "demo")]
    commands += [["volume", "l.zarr", "t.zarr", *OPTIONS], ["bench", "µ ± 漢.npy", *OPTIONS, "--quick"]]
    wrong = [["run", "nowhere µ 漢.npy", "t.npy", *OPTIONS], ["run", "µ ± 漢.npy", "t.npy", *OPTIONS, "µ"]]
    done = subprocess.run(
        [sys.executable, "-c", EVERY, json.dumps([*commands, *wrong])],
        capture_output=True,
        check=False,
        env=os.environ | settings,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert json.loads((folder / "codes.json").read_text()) == [0] * len(commands) + [2] * len(wrong)
    assert (folder / "t µ.npy").exists()


@pytest.mark.filterwarnings("always")
def test_the_slow_engine_is_said_in_a_line(call, folder, monkeypatch, no_gpu):
    monkeypatch.setattr(native, "module", None)
    monkeypatch.setattr(native, "_missing", ModuleNotFoundError("gone"), raising=False)
    code, _, error = call("run", "labels.npy", "t.npy", *OPTIONS)
    assert code == 0
    assert error.startswith("Warning: engine='auto' takes 'reference'")
    assert error.count("\n") == 1


def test_symbols_have_a_spelling():
    text = "6 × 2 ≠ 1 … \udcff 漢"
    assert text.encode("ascii", terminal._ERRORS) == b"6 x 2 != 1 ... \xff \\u6f22"


@pytest.mark.parametrize("command", [["--help"], ["verify", "labels.npy", *OPTIONS]])
def test_a_reader_that_leaves(folder, command):
    program = subprocess.Popen([PROGRAM, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    program.stdout.close()
    said = program.stderr.read()
    program.stderr.close()
    assert said == b""
    assert program.wait() in (0, 1)


def test_the_work_goes_on_when_the_reader_leaves(folder):
    program = subprocess.Popen([PROGRAM, "run", "labels.npy", "t.npy", *OPTIONS], stdout=subprocess.PIPE)
    program.stdout.close()
    assert program.wait() == 0
    np.testing.assert_array_equal(np.load("t.npy"), inner_distance(LABELS, (30, 4, 4.5), scale=20))


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-", "> /dev/full"])
def test_closed_streams(folder, closed):
    line = f"{PROGRAM} run labels.npy t.npy {' '.join(OPTIONS)} {closed}"
    assert subprocess.run(["sh", "-c", line], capture_output=True, check=False).returncode == 0
    np.testing.assert_array_equal(np.load("t.npy"), inner_distance(LABELS, (30, 4, 4.5), scale=20))


def test_output_in_a_file_has_no_control_characters(folder):
    create(folder / "l.zarr", LABELS)
    for command in (["run", "labels.npy", "t.npy", *OPTIONS], ["volume", folder / "l.zarr", "t.zarr", *OPTIONS]):
        done = start(*command, TERM="dumb")
        assert done.returncode == 0
        assert done.stderr == b""
        assert b"\x1b" not in done.stdout
        assert str(folder / "l.zarr").encode() in done.stdout or command[0] == "run", "paths are not folded"


@pytest.mark.parametrize("columns", [1, 30])
def test_a_narrow_terminal_shows_every_number(call, folder, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = call("verify", "labels.npy", *OPTIONS)
    for word in ("reference", "target", "distance", "within"):
        assert word in out
    assert "Traceback" not in call("run")[2]


def test_no_home(folder):
    done = start("run", "labels.npy", "t.npy", *OPTIONS, "--preview", "p.png", HOME=None, XDG_CACHE_HOME=None)
    assert done.returncode == 0, done.stderr


READS = [["run", "ADDRESS", "t.npy", *OPTIONS], ["volume", "ADDRESS", "t.zarr", *OPTIONS]]
READS += [["verify", "ADDRESS", *OPTIONS], ["bench", "ADDRESS"]]


# Where nobody answers, each reading takes seconds.
@pytest.mark.parametrize(
    ("address", "reads"),
    [("s3://bucket/l.zarr/labels", READS[:1]), ("http://127.0.0.1:1/l.zarr", READS[1:2]), ("file:///nowhere/l", READS)],
)
def test_addresses_keep_their_spelling(call, folder, monkeypatch, address, reads):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    for command in (
        *reads,
        ["run", "labels.npy", "ADDRESS", *OPTIONS],
        ["run", "labels.npy", "t.npy", *OPTIONS, "--preview", "ADDRESS"],
        ["volume", "labels.npy", "ADDRESS", *OPTIONS],
        ["demo", "--out", "ADDRESS"],
    ):
        code, out, error = call(*(address if word == "ADDRESS" else word for word in command))
        assert (code, out) == (2, "")
        assert error.startswith(f"Error: {address}: ")
    assert os.listdir(folder) == ["labels.npy"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("labls.tif", None, "no such file"),
        ("labels.h5", b"x", "cannot read it"),
        ("labels.n5", b"x", "cannot read .n5"),
        ("labels", b"x", "cannot read a file without suffix"),
        ("labels.nd2", b"x", "cannot read .nd2"),
        ("labls.h5", None, "no such file"),
        ("labls.zarr", None, "no such file or store"),
    ],
)
def test_what_cannot_be_read_is_said_before_a_voxel_size_is_asked_for(call, folder, name, content, said):
    if content is not None:
        (folder / name).write_bytes(content)
    for command in (["run", name, "t.npy", "--scale", "5"], ["verify", name, "--scale", "5"], ["bench", name]):
        code, _, error = call(*command)
        assert code == 2
        assert f"{name}: {said}" in error
        assert "voxel" not in error


def test_paths_that_go_up_and_links(call, folder):
    (folder / "below").mkdir()
    (folder / "link.npy").symlink_to("labels.npy")
    (folder / "out.npy").symlink_to("below/real.npy")
    (folder / "loop.npy").symlink_to("loop.npy")
    assert call("run", "below/../link.npy", "out.npy", *OPTIONS)[0] == 0
    assert (folder / "out.npy").is_symlink()
    np.testing.assert_array_equal(np.load("below/real.npy"), inner_distance(LABELS, (30, 4, 4.5), scale=20))
    assert call("run", "labels.npy", "out.npy", *OPTIONS)[0] == 2, "it exists"
    code, _, error = call("run", "labels.npy", "link.npy", *OPTIONS, "--overwrite")
    assert code == 2
    assert "also an input" in error
    for arguments in (["loop.npy", "t.npy"], ["labels.npy", "loop.npy"]):
        code, _, error = call("run", *arguments, *OPTIONS)
        assert code == 2
        assert "loop.npy" in error


def test_a_place_in_a_group_from_within_it(call, folder, monkeypatch):
    create(folder / "store.zarr", LABELS)
    monkeypatch.chdir(folder / "store.zarr")
    code, _, error = call("run", "../labels.npy", "../../store.zarr/t.npy", *OPTIONS)
    assert code == 2
    assert "does not exist" in error
    code, _, error = call("run", "../store.zarr", "../t.zarr", *OPTIONS)
    assert code == 0, error


def test_keywords_become_options():
    options = {"blocks", "missing", "ids", "binary", "scale", "fill", "ignore_label"}
    said = [
        ("blocks=(5, 5, 5): expected no (missing='x y')", "--blocks 5,5,5: expected no (--missing x y)"),
        ("ids=[1, 2] and binary=True: one", "--ids 1,2 and --binary: one"),
        ("scale=None; blocks=(4,)", "--scale none; --blocks 4"),
        ("fill=-3: name ignore_label= for", "--fill -3: name --ignore-label for"),
        ("/data/scale=5/l.npy, rescale=3", "/data/scale=5/l.npy, rescale=3"),
    ]
    for python, command_line in said:
        assert terminal._in_options(python, options) == command_line


def test_what_the_user_typed_is_no_keyword(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["inner-distance-gpu", "my scale=5 labels.npy"])
    assert terminal._in_options("my scale=5 labels.npy: scale=7", {"scale"}) == "my scale=5 labels.npy: --scale 7"


def test_every_option_is_known_to_errors():
    assert {"voxel_size", "scale", "halo", "blocks", "key", "engine", "crop"} <= cli._keywords()
    commands = {"run", "volume", "levels", "verify", "bench", "scale", "info", "demo"}
    assert set(typer.main.get_command(cli.app).commands) == commands
