"""Targets of volumes larger than memory, block by block with a halo (Dask over Zarr, extra `volumes`)."""

from .grid import halo_of
from .lazy import inner_distance
from .plan import Plan, plan
from .schedule import Progress
from .writing import Written, run, write

__all__ = ["Plan", "Progress", "Written", "halo_of", "inner_distance", "plan", "run", "write"]
