"""DaCapo's contract: predictors, and arrays with a place in the world."""

from .inner_distance import DistanceArray, InnerDistancePredictor, Predictor, SpatialArray

__all__ = ["DistanceArray", "InnerDistancePredictor", "Predictor", "SpatialArray"]
