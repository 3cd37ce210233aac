"""DaCapo's contract: predictors, and arrays with a place in the world."""

from .contract import DistanceArray, Predictor, ProbabilityArray
from .distance import DistancePredictor
from .hot_distance import HotDistancePredictor
from .inner_distance import InnerDistancePredictor
from .spatial import SpatialArray

__all__ = [
    "DistanceArray",
    "DistancePredictor",
    "HotDistancePredictor",
    "InnerDistancePredictor",
    "Predictor",
    "ProbabilityArray",
    "SpatialArray",
]
