"""The predictors under the paths that configurations name, such as `inner_distance_gpu.predictor.DistancePredictor`."""

from .predictors import (
    DistanceArray,
    DistancePredictor,
    HotDistancePredictor,
    InnerDistancePredictor,
    Predictor,
    ProbabilityArray,
    SpatialArray,
)

__all__ = [
    "DistanceArray",
    "DistancePredictor",
    "HotDistancePredictor",
    "InnerDistancePredictor",
    "Predictor",
    "ProbabilityArray",
    "SpatialArray",
]
