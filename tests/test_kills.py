"""The short form of kills.py."""

import pytest
from kills import OPTIONS, rounds
from zarr_stores import FORMATS


@pytest.mark.parametrize("version", FORMATS)
def test_kills_at_random_file_events(tmp_path, version):
    done, wrong = rounds(tmp_path, 5, version, OPTIONS, seed=version)
    assert done == 5
    assert not wrong
