"""Kill a write at random file events, go on, and compare the final files, names included, with an undisturbed run's.

python tests/kills.py --kills 1000

Every process is forked from this one, which has imported what a write needs and has no threads yet: a kill takes a
fraction of a second. A write begins in an empty folder, or replaces an output of another scale.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from pathlib import Path

import numpy as np
from zarr_stores import ZARR_2, create, digests

from inner_distance_gpu import blockwise
from inner_distance_gpu.blockwise import averaging

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate", "os.listdir", "os.scandir")
OPTIONS = {"voxel_size": (1, 1, 1), "scale": 1, "chunks": (4, 8, 8), "blocks": (4, 8, 8), "workers": 1}
KILLS_OF_ONE = 3  # at most, before the write that is left alone


def in_a_process(function, *arguments):
    """Call a function in a fork of this process; its exit code, which is negative for a signal."""
    assert threading.active_count() == 1, "a fork keeps no other thread than its own"
    child = os.fork()
    if not child:
        try:
            function(*arguments)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write(where, options, moment=0):
    """Write, and be killed before the file event of that number; 0 lets it end and notes how many there were."""
    seen = 0

    def hook(event, arguments):
        nonlocal seen
        said = str(arguments[:2])
        if event in EVENTS and ".zarr" in said and "labels" not in said:
            seen += 1
            if seen == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    blockwise.write(where / "labels.zarr", where / "t.zarr", **options)
    (where / "events").write_text(str(seen))


def rounds(folder, kills, version, options, seed):
    """Writes that are killed up to three times each; the number of kills, and what differs in the end."""
    moments = random.Random(seed)
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (2, 4, 4)), np.ones((4, 4, 4))).astype(np.uint8)
    labels[:4, :8, :8] = 0  # a chunk that is not stored
    assert in_a_process(create, folder / "labels.zarr", labels, version) == 0
    expected, events, old = {}, {}, folder / "other scale" / "t.zarr"
    for name, overwrite in (("other scale", False), ("new", False), ("replaced", True)):
        where = _begin(folder, name, old if overwrite else None)
        chosen = options | {"overwrite": overwrite} | ({"scale": 2} if name == "other scale" else {})
        assert in_a_process(write, where, chosen) == 0
        expected[overwrite], events[overwrite] = digests(where / "t.zarr"), int((where / "events").read_text())
    done, wrong = 0, []
    while done < kills:
        overwrite = moments.random() < 0.3
        where = _begin(folder, "round", old if overwrite else None)
        chosen, moment = options | {"overwrite": overwrite}, []
        while len(moment) < KILLS_OF_ONE and done < kills:
            moment.append(moments.randint(1, events[overwrite]))
            if in_a_process(write, where, chosen, moment[-1]) != -signal.SIGKILL:
                break
            done += 1
        # What replaces an output begins anew each time; what a killed one left is gone on with.
        code = in_a_process(write, where, chosen)
        names = sorted(path.name for path in where.iterdir())
        found = digests(where / "t.zarr") if (where / "t.zarr").exists() else {}
        if code or found != expected[overwrite] or names != ["events", "labels.zarr", "t.zarr"]:
            differing = sorted(name for name, digest in expected[overwrite].items() if found.get(name) != digest)
            wrong.append((overwrite, moment, code, names, differing, sorted(found.keys() - expected[overwrite].keys())))
        shutil.rmtree(where)
    return done, wrong


def _begin(folder, name, old):
    """A folder with the labels, and with an output to replace."""
    where = folder / name
    where.mkdir()
    (where / "labels.zarr").symlink_to(folder / "labels.zarr")
    if old is not None:
        shutil.copytree(old, where / "t.zarr")
    return where


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--levels", action="store_true", help="write a pyramid")
    parser.add_argument("--version", type=int, choices=(2, 3), help="of the Zarr format; both by default")
    asked = parser.parse_args(arguments)
    averaging.VOXELS = 1  # a block of a level is a chunk
    versions = (2,) if ZARR_2 else (2, 3)
    versions = versions if asked.version is None else (asked.version,)
    failed = 0
    for number, version in enumerate(versions):
        with tempfile.TemporaryDirectory() as folder:
            kills = asked.kills * (number + 1) // len(versions) - asked.kills * number // len(versions)
            options = OPTIONS | ({"levels": "auto", "chunks": (2, 4, 4)} if asked.levels else {})
            done, wrong = rounds(Path(folder), kills, version, options, asked.seed)
        print(f"format {version}: {done} kills, {len(wrong)} outputs that differ", *wrong, sep="\n  ", flush=True)
        failed += bool(wrong) or done < kills
    sys.exit(failed)


if __name__ == "__main__":
    main()
