"""The short form of kills.py, in a process without threads, which it forks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from zarr_stores import FORMATS


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("version", FORMATS)
def test_kills_at_random_file_events(version):
    program = Path(__file__).parents[1] / "kills.py"
    command = [sys.executable, program, "--kills", "12", "--version", str(version), "--seed", str(version)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == f"format {version}: 12 kills, 0 outputs that differ\n"
