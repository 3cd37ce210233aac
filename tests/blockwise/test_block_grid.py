"""Is the layout of blocks counted in a closed form, and does that count what the blocks are?"""

import itertools
import sys

import pytest

from inner_distance_gpu.blockwise.grid import VOXELS, Grid, default_block


@pytest.mark.parametrize("halo", [0, 1, 2, 3, 5, 8, 30])
def test_overhead_and_largest_block_are_those_of_the_blocks(halo):
    for extent, block in itertools.product(range(1, 20), range(1, 22)):
        grid = Grid((), (extent,), (block,), (halo,))
        covered = [axis.stop - axis.start for axis in (grid.place(i).around[0] for i in range(len(grid)))]
        assert grid.largest == max(covered), (extent, block)
        assert grid.overhead == sum(covered) / extent, (extent, block)


def calls(function, *arguments):
    """How many calls Python sees, of generators every step."""
    seen = 0

    def count(frame, event, argument):
        nonlocal seen
        seen += event == "call"

    sys.setprofile(count)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return seen


def test_planning_does_not_visit_the_blocks():
    """Chunks of one voxel: planning begins with 10¹⁰ blocks, and ends with fewer calls than one axis has of them."""
    spatial = (100, 100, 10**6)
    assert calls(default_block, spatial, (1, 1, 1), (10, 10, 10)) < spatial[2]


def test_line_shaped_chunks_get_thick_blocks():
    """As thick as memory allows, both ways: a block of one line would be 441 times what it holds."""
    spatial, unit, halo = (1000, 1000, 31623), (1, 1, 31623), (10, 10, 10)
    grid = Grid((), spatial, default_block(spatial, unit, halo), halo)
    assert grid.overhead <= 2.1
    assert grid.largest <= VOXELS


def test_lines_in_a_wide_halo_do_not_stay_alone():
    """One line with its halo is more than a block should hold; alone it would be computed for 31,000 others."""
    spatial, unit, halo = (2048, 2048, 31623), (1, 1, 31623), (90, 90, 90)
    alone = Grid((), spatial, unit, halo)
    grid = Grid((), spatial, default_block(spatial, unit, halo), halo)
    assert alone.largest > VOXELS
    assert grid.largest <= 2 * alone.largest
    assert grid.overhead < 20 < 30_000 < alone.overhead
    assert grid.block[2] == 31623
