"""DaCapo: our predictors where DaCapo's stand. Written against dacapo-ml 0.3.5.

Importing this module imports DaCapo and makes our `Predictor` a virtual subclass of DaCapo's.
"""

from __future__ import annotations

from typing import Any

from .. import arrays
from ..parameters import check_voxel_size
from ..predictors import DistancePredictor, HotDistancePredictor, InnerDistancePredictor, Predictor

try:
    from dacapo.experiments.tasks import predictors as _predictors
    from funlib.geometry import Coordinate
    from funlib.persistence import Array
except ImportError as error:
    raise ImportError(
        f"inner_distance_gpu.compat.dacapo needs DaCapo, which cannot be imported here ({error}): pip install dacapo-ml"
    ) from error

_predictors.Predictor.register(Predictor)
_OURS: dict[type, Any] = {
    _predictors.InnerDistancePredictor: InnerDistancePredictor,
    _predictors.DistancePredictor: DistancePredictor,
    _predictors.HotDistancePredictor: HotDistancePredictor,
}


def use_in_task(task: Any, *, device: Any = "auto", engine: str = "auto") -> Any:
    """Put our predictor into a task of DaCapo's, with the parameters of the predictor that is there.

    Parameters
    ----------
    task : dacapo.experiments.tasks.InnerDistanceTask, DistanceTask or HotDistanceTask
        Such as `run.task`. Its predictor is replaced; loss, post-processor and evaluator stay.
    device, engine
        As in `InnerDistancePredictor`.

    Returns
    -------
    task
        The same object.

    Raises
    ------
    TypeError
        The task predicts something other than distances to boundaries.

    Examples
    --------
    >>> from dacapo.experiments.tasks import InnerDistanceTask, InnerDistanceTaskConfig
    >>> config = InnerDistanceTaskConfig(
    ...     name="nuclei", channels=["nucleus"], clip_distance=80, tol_distance=8, scale_factor=50
    ... )
    >>> use_in_task(InnerDistanceTask(config)).predictor.dt_scale_factor
    50
    """
    theirs = getattr(task, "predictor", None)
    for kind, ours in _OURS.items():
        if isinstance(theirs, (kind, ours)):
            task.predictor = ours(*_parameters(theirs), device=device, engine=engine)
            return task
    raise TypeError(
        f"{type(task).__name__} has the predictor {type(theirs).__name__}: expected a task whose predictor is one of "
        f"{', '.join(kind.__name__ for kind in _OURS)}, as of InnerDistanceTask, DistanceTask and HotDistanceTask; "
        "other predictors have other targets"
    )


def _parameters(predictor: Any) -> tuple[Any, ...]:
    """What the constructor of a predictor was given; `epsilon` and `threshold` are constants there."""
    if hasattr(predictor, "kernel_size"):
        # The names twice over: classes first, then their distances.
        channels = predictor.channels[: predictor.classes]
        return channels, predictor.dt_scale_factor, predictor.mask_distances, predictor.kernel_size
    common = predictor.channels, predictor.dt_scale_factor
    if hasattr(predictor, "clipmin"):
        return *common, predictor.mask_distances, predictor.clipmin, predictor.clipmax
    return common


def to_dacapo_array(array: Any) -> Any:
    """A target or weight as DaCapo's array class, `funlib.persistence.Array`.

    Parameters
    ----------
    array : SpatialArray
        Or any object with `.data` (NumPy, torch or CuPy), `.voxel_size`, `.roi` and `.axis_names`.

    Returns
    -------
    funlib.persistence.Array
        On the host; it wraps the data of a host array without a copy.

    Raises
    ------
    ValueError
        A voxel size or an offset with fractions, which that class would cut off.
    """
    sizes = check_voxel_size(array.voxel_size)
    offset = tuple(float(x) for x in array.roi.offset)
    if not all(x.is_integer() for x in (*sizes, *offset)):
        raise ValueError(
            f"voxel_size={sizes}, offset {offset}, data of shape {tuple(array.data.shape)}: expected whole numbers, "
            "DaCapo's arrays cut off fractions; choose a smaller world unit"
        )
    data = arrays.to_host(arrays.accept(array.data, "array.data"))
    names = list(array.axis_names)
    types = ["channel" if name.endswith("^") else "space" for name in names]
    return Array(data, Coordinate(map(int, offset)), Coordinate(map(int, sizes)), names, types=types)
