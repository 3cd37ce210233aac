"""The short form of kills.py, in a process without threads, which it forks."""

import kills
import pytest
from forked import CAN_FORK, Forked
from zarr_stores import FORMATS


@pytest.mark.skipif(not CAN_FORK, reason="no forkserver")
@pytest.mark.parametrize(("number", "levels"), [(8, False), (4, True)])
@pytest.mark.parametrize("version", FORMATS)
def test_kills_at_random_file_events(version, number, levels):
    arguments = ["--kills", number, "--version", version, "--seed", version, *["--levels"] * levels]
    process = Forked(kills.main, list(map(str, arguments)))
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, out + error
    assert out == f"format {version}: {number} kills, 0 outputs that differ\n"
