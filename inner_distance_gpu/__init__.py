"""Exact distance-to-boundary targets and class-balanced weights for training segmentation networks."""

from . import engines, operators
from .api import balanced_weights, inner_distance
from .counts import ClassCounts
from .engines.notices import LabelWarning
from .loader import TargetLoader
from .predictors import DistancePredictor, HotDistancePredictor, InnerDistancePredictor
from .storage import open_labels
from .transform import InnerDistanceTransform

__version__ = "0.1.0"

__all__ = [
    "ClassCounts",
    "DistancePredictor",
    "HotDistancePredictor",
    "InnerDistancePredictor",
    "InnerDistanceTransform",
    "LabelWarning",
    "TargetLoader",
    "__version__",
    "balanced_weights",
    "engines",
    "inner_distance",
    "open_labels",
    "operators",
]
