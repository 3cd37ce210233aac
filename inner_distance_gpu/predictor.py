"""`inner_distance_gpu.predictor.InnerDistancePredictor`, as configurations of DaCapo name it."""

from .predictors import DistanceArray, InnerDistancePredictor, Predictor, SpatialArray

__all__ = ["DistanceArray", "InnerDistancePredictor", "Predictor", "SpatialArray"]
