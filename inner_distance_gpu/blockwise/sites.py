"""Whether a volume has any site, where the answer matters: blocks are read until one with a site is found."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..labels import has_site
from . import store
from .journal import Journal
from .plan import Plan
from .run_folder import STATE
from .schedule import Scheduler
from .task import Job


def with_sites(plan: Plan, scheduler: Scheduler) -> npt.NDArray[np.bool_]:
    """Which volumes have a site, shape (leading axes…, channels): looked for until one is found, once per output."""
    found = np.zeros((*plan.job.grid.leading, plan.job.channels), bool)
    if not plan.needs_sites:
        found[...] = True  # the answer does not matter
        return found
    looked_at = np.zeros(plan.blocks, bool)

    def take(record: dict[str, Any]) -> None:
        found[plan.job.grid.place(record["block"]).volume] |= record["sites"]
        looked_at[record["block"]] = True

    def undecided() -> Iterator[int]:
        for number in store.numbers_to_do(looked_at):
            if not found[plan.job.grid.place(number).volume].all():
                yield number

    with Journal(plan.job.destination / STATE / "sites", take).open() as journal:
        scheduler.run(functools.partial(look_for_sites, plan.job), undecided(), journal.append, ahead=1)
    return found


def look_for_sites(job: Job, number: int) -> dict[str, Any]:
    """In which channels a block has a site, the faces to the next blocks included."""
    dims = len(job.grid.spatial)
    place = job.grid.place(number, (1,) * dims)
    ignored = job.parameters.ignore_label
    labels = job.source.read(place)
    found = [bool(has_site(part.labels, dims, ignored).all()) for part in job.volumes(labels)]
    return {"block": number, "sites": found}
