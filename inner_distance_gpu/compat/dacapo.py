"""DaCapo: our predictor where DaCapo's stands. Written against dacapo-ml 0.3.5.

Importing this module imports DaCapo and makes our `Predictor` a virtual subclass of DaCapo's.
"""

from __future__ import annotations

from typing import Any

from .. import arrays
from ..parameters import check_voxel_size
from ..predictors.inner_distance import InnerDistancePredictor, Predictor

try:
    from dacapo.experiments.tasks import predictors as _predictors
    from funlib.geometry import Coordinate
    from funlib.persistence import Array
except ImportError as error:
    raise ImportError(
        f"inner_distance_gpu.compat.dacapo needs DaCapo, which cannot be imported here ({error}): pip install dacapo-ml"
    ) from error

_predictors.Predictor.register(Predictor)


def use_in_task(task: Any, *, device: Any = "auto", engine: str = "auto") -> Any:
    """Put our predictor into an `InnerDistanceTask`, with the channels and the scale factor it has.

    Parameters
    ----------
    task : dacapo.experiments.tasks.InnerDistanceTask
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
        The task predicts something other than inner distances.

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
    if not isinstance(theirs, (_predictors.InnerDistancePredictor, InnerDistancePredictor)):
        raise TypeError(
            f"{type(task).__name__} has the predictor {type(theirs).__name__}: expected a task whose predictor is "
            "an InnerDistancePredictor, as of InnerDistanceTask; other predictors have other targets"
        )
    task.predictor = InnerDistancePredictor(theirs.channels, theirs.dt_scale_factor, device=device, engine=engine)
    return task


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
