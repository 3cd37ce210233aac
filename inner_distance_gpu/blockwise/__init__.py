"""Targets of volumes larger than memory, block by block with a halo (Dask over Zarr, extra `volumes`)."""

from .grid import halo_of
from .lazy import inner_distance
from .levels import Levels, write_levels
from .plan import Plan, plan
from .schedule import Progress
from .writing import Written, run, write

__all__ = [
    "Levels",
    "Plan",
    "Progress",
    "Written",
    "halo_of",
    "inner_distance",
    "plan",
    "run",
    "write",
    "write_levels",
]
