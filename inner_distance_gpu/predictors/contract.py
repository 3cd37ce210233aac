"""The Predictor contract of DaCapo 0.3.5, as a class of our own, and how DaCapo comes to know it."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from funlib.geometry import Coordinate


class Predictor(ABC):
    """What a training pipeline asks of a predictor: a model, a target, a weight. The contract of DaCapo 0.3.5.

    Arrays are objects with `.data`, `.voxel_size`, `.roi`, `.axis_names` and `array[roi]`.
    """

    @abstractmethod
    def create_model(self, architecture: Any) -> Any:
        """A model: the architecture and a head that makes its output fit the target."""

    @abstractmethod
    def create_target(self, gt: Any) -> Any:
        """The target of a label array."""

    @abstractmethod
    def create_weight(self, gt: Any, target: Any, mask: Any, moving_class_counts: Any = None) -> tuple[Any, Any]:
        """The weight of every voxel of the target, and the class counts to pass in with the next batch."""

    @property
    @abstractmethod
    def output_array_type(self) -> Any:
        """What the target holds; `.interpolatable` says whether it may be resampled linearly."""

    def gt_region_for_roi(self, target_spec: Any) -> Any:
        """The labels needed for a target in `target_spec.roi`: by default the same region."""
        return target_spec

    def padding(self, gt_voxel_size: Any) -> Coordinate:
        """World units of labels wanted around the target: by default none."""
        return Coordinate((0,) * len(tuple(gt_voxel_size)))


@dataclass(frozen=True)
class DistanceArray:
    """Array type of distances, with the members of DaCapo's class of that name.

    Parameters
    ----------
    classes : int
        The number of channels. (DaCapo documents a dict of names; its predictors pass the number.)
    """

    classes: int

    @property
    def interpolatable(self) -> bool:
        """True: distances may be resampled linearly."""
        return True


@dataclass(frozen=True)
class ProbabilityArray:
    """Array type of probabilities, with the members of DaCapo's class of that name that its pipeline asks for.

    Parameters
    ----------
    classes : int
        The number of channels. (DaCapo documents a list of names; its predictors pass the number.)
    """

    classes: int

    @property
    def interpolatable(self) -> bool:
        """True: probabilities may be resampled linearly."""
        return True


def register_with_dacapo() -> None:
    """Make our predictors DaCapo's, where DaCapo is imported; importing it on speculation would take seconds."""
    dacapo = sys.modules.get("dacapo.experiments.tasks.predictors")
    if dacapo is not None and hasattr(dacapo, "Predictor"):
        dacapo.Predictor.register(Predictor)
