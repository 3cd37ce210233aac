"""Kill a write at random file events, go on, and compare the final files, names included, with an undisturbed run's.

python tests/kills.py --kills 1000
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from zarr_stores import ZARR_2, create, digests

EVENTS = ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate")
CHILD = """
import json, os, signal, sys
from inner_distance_gpu import blockwise
where, left, events, options = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4])
def hook(event, arguments):
    global left
    said = str(arguments[:2])
    if event in events and ".zarr" in said and "labels" not in said:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
blockwise.write(where + "/labels.zarr", where + "/t.zarr", **options)
print(left)
"""
OPTIONS = {"voxel_size": (1, 1, 1), "scale": 1, "chunks": (4, 8, 8), "blocks": (4, 8, 8), "workers": 1}


def call(where, left, options):
    command = [sys.executable, "-c", CHILD, str(where), str(left), json.dumps(EVENTS), json.dumps(options)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rounds(folder, kills, version, options, seed):
    """Writes that are killed up to three times each; the number of kills, and what differs in the end."""
    moments = random.Random(seed)
    labels = np.kron(np.random.default_rng(0).integers(0, 2, (2, 4, 4)), np.ones((4, 4, 4))).astype(np.uint8)
    labels[:4, :8, :8] = 0  # a chunk that is not stored
    create(folder / "labels.zarr", labels, version)
    (folder / "u").mkdir()
    (folder / "u" / "labels.zarr").symlink_to(folder / "labels.zarr")
    options = options | {"key": None}
    events = -int(call(folder / "u", 0, options).stdout)
    expected, done, wrong = digests(folder / "u" / "t.zarr"), 0, []
    for number in range(kills):
        where = folder / str(number)
        where.mkdir()
        (where / "labels.zarr").symlink_to(folder / "labels.zarr")
        moment = []
        for _ in range(3):
            if done == kills:
                break
            moment.append(moments.randint(1, events))
            ended = call(where, moment[-1], options)
            if ended.returncode != -signal.SIGKILL:
                break
            done += 1
        last = call(where, 0, options)
        names = sorted(path.name for path in where.iterdir())
        if last.returncode or digests(where / "t.zarr") != expected or names != ["labels.zarr", "t.zarr"]:
            wrong.append((number, moment, names, last.stderr[-300:]))
        if done == kills:
            break
    return done, wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    failed = 0
    for version in (2,) if ZARR_2 else (2, 3):
        with tempfile.TemporaryDirectory() as folder:
            kills = asked.kills // (1 if ZARR_2 else 2)
            done, wrong = rounds(Path(folder), kills, version, OPTIONS, asked.seed)
        print(f"format {version}: {done} kills, {len(wrong)} outputs that differ", *wrong, sep="\n  ")
        failed += bool(wrong) or done < kills
    return failed


if __name__ == "__main__":
    sys.exit(main())
