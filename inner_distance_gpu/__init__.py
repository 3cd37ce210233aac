"""Exact distance-to-boundary targets and class-balanced weights for training segmentation networks."""

from . import engines
from .api import balanced_weights, inner_distance
from .counts import ClassCounts
from .loader import TargetLoader
from .transform import InnerDistanceTransform

__version__ = "0.1.0"

__all__ = [
    "ClassCounts",
    "InnerDistanceTransform",
    "TargetLoader",
    "__version__",
    "balanced_weights",
    "engines",
    "inner_distance",
]
