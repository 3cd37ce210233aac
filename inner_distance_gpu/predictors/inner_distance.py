"""InnerDistancePredictor: DaCapo's predictor contract on top of the functional API."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from funlib.geometry import Coordinate

from .. import arrays, dispatch, engines
from ..arrays import Array
from ..counts import ClassCounts
from ..parameters import CLIP, TargetParameters, Task, WeightParameters, check_scale, check_threads, check_voxel_size
from .contract import DistanceArray, Predictor, register_with_dacapo
from .spatial import SpatialArray, default_axis_names, materialised

__all__ = ["DistanceArray", "InnerDistancePredictor", "Predictor", "SpatialArray"]

_HOST_ENGINES, _DEVICE_ENGINES = ("cpu", "reference"), ("cuda", "cucim")


class InnerDistancePredictor(Predictor):
    """Predict the distance to the object boundary inside each object, 0 outside, after tanh.

    A drop-in for the class of that name in DaCapo 0.3.5: same members, same targets and weights to 1e-6,
    on the engines of this package. docs/differences.md lists where the two differ.

    Parameters
    ----------
    channels : list of str
        Names of the label channels; their number is the number of output channels.
    scale_factor : positive number
        World units: the target is `tanh(d / scale_factor) * label`.
    device : {"auto", "cpu", "cuda", "cuda:0", ...} or torch.device
        Where to compute. "auto" is where the data are. Results always come back to where the labels were.
    engine : {"auto", "cuda", "cucim", "cpu", "reference"}
        As in `inner_distance`.

    Attributes
    ----------
    norm, dt_scale_factor, max_distance, epsilon, threshold
        As in DaCapo: "tanh", `scale_factor`, `scale_factor`, 0.05 and 0.8.

    Raises
    ------
    TypeError, ValueError
        Channels that are no list of names, a scale factor that is not positive, an unknown device or engine,
        an engine that does not run on the device.

    Examples
    --------
    >>> import numpy as np
    >>> predictor = InnerDistancePredictor(["nucleus"], scale_factor=10)
    >>> gt = SpatialArray(np.array([[[0, 1, 1, 1]]], np.uint8), voxel_size=(4, 4))
    >>> target = predictor.create_target(gt)
    >>> [round(value, 3) for value in target.data[0, 0].tolist()], target.axis_names
    ([0.0, 0.197, 0.537, 0.762], ['c^', 'y', 'x'])
    >>> weight, counts = predictor.create_weight(gt, target, mask=None)
    >>> counts.to_dicts()
    [{0: (1, 5.0), 1: (3, 5.0)}]
    """

    def __init__(self, channels: list[str], scale_factor: float, *, device: Any = "auto", engine: str = "auto") -> None:
        self.channels = _check_channels(channels)
        self.norm = "tanh"
        if scale_factor is None:
            raise TypeError("scale_factor=None: expected a positive finite number in world units")
        check_scale(scale_factor)
        self.dt_scale_factor = scale_factor
        self.max_distance = 1 * scale_factor
        self.epsilon = 5e-2
        self.threshold = 0.8
        self.engine = engines.check_name(engine)
        self.device = _check_device(device, self.engine)
        register_with_dacapo()

    @property
    def embedding_dims(self) -> int:
        """The number of channels."""
        return len(self.channels)

    @property
    def output_array_type(self) -> Any:
        """A `DistanceArray` of `embedding_dims` classes: DaCapo's where DaCapo is imported, else ours."""
        dacapo = sys.modules.get("dacapo.experiments.arraytypes")
        kind = DistanceArray if dacapo is None else dacapo.DistanceArray
        return kind(self.embedding_dims)

    def create_model(self, architecture: Any) -> Any:
        """The architecture and a 1×1 (2D) or 1×1×1 (3D) convolution to `embedding_dims` channels.

        Parameters
        ----------
        architecture : torch.nn.Module
            With `.dims` (2 or 3) and `.num_out_channels`.

        Returns
        -------
        torch.nn.Module
            DaCapo's `Model` for an architecture of DaCapo's, else a `torch.nn.Sequential`.

        Raises
        ------
        ValueError
            Another number of dims.
        """
        heads = {2: torch.nn.Conv2d, 3: torch.nn.Conv3d}
        if architecture.dims not in heads:
            # DaCapo: UnboundLocalError.
            raise ValueError(f"architecture.dims={architecture.dims!r}: expected 2 or 3")
        head = heads[architecture.dims](architecture.num_out_channels, self.embedding_dims, kernel_size=1)
        dacapo = sys.modules.get("dacapo.experiments")
        if dacapo is not None and isinstance(architecture, dacapo.architectures.architecture.Architecture):
            return dacapo.Model(architecture, head)
        return torch.nn.Sequential(architecture, head)

    def create_target(self, gt: Any) -> SpatialArray:
        """The target of `gt`, where `gt` lies.

        Parameters
        ----------
        gt : array object
            `.data` (c, *spatial) or (b, c, *spatial): NumPy, torch, CuPy or Dask, dtypes as in `inner_distance`.
            `.voxel_size` in world units, fractions kept. `.roi`.

        Returns
        -------
        SpatialArray
            float32, shape and kind of the labels (Dask comes back as NumPy).

        Raises
        ------
        TypeError, ValueError
            Labels of another rank, empty axes, dtypes that are no labels.
        """
        sizes = check_voxel_size(gt.voxel_size)
        values = self._targets(gt.data, sizes, check_scale(self.dt_scale_factor), leading=(1, 2))
        return SpatialArray(values, gt.voxel_size, gt.roi)

    def create_weight(
        self, gt: Any, target: Any, mask: Any, moving_class_counts: Any = None
    ) -> tuple[SpatialArray, Any]:
        """Weights that balance label = 0 against label ≠ 0, channel by channel, on the region of the target.

        Parameters
        ----------
        gt, target, mask : array objects
            `gt` and `mask` cover `target.roi`. The mask's leading axes may be 1 or missing. `mask=None` is ones.
        moving_class_counts : ClassCounts, list of dicts, or None
            What the call for the batch before returned. Not changed.

        Returns
        -------
        weight : SpatialArray
            float32, at `target.roi`, of the kind of the labels.
        counts : ClassCounts or list of dicts
            The kind that was passed in: a list of `{class: (numerator, denominator)}` for a list (also an
            empty one), `ClassCounts` for None. Whoever only hands them on, as DaCapo's pipeline does, need not care.

        Raises
        ------
        TypeError, ValueError
            A mask or counts that do not fit the labels; mask values that are negative or not finite.
        """
        sizes = check_voxel_size(gt.voxel_size)
        labels = dispatch.accept_volumes(materialised(gt[target.roi]), sizes)
        weighing = None if mask is None else materialised(mask[target.roi])
        names = getattr(gt, "axis_names", None) or default_axis_names(labels.shape, len(sizes))
        if len(names) != len(labels.shape):
            raise ValueError(f"gt.axis_names={list(names)}: expected one name per axis of labels {labels.shape}")
        slab = tuple(1 if name == "c^" else n for name, n in zip(names, labels.shape, strict=True))
        task = Task(weighing=WeightParameters(2, True, slab, CLIP, None, len(sizes)))
        before = _as_counts(moving_class_counts)
        if self.device is not None and self.device.type == "cpu" and weighing is not None:
            weighing = arrays.to_host(arrays.accept(weighing, "mask"))

        def run(accepted: Array, engine: str) -> tuple[Any, ClassCounts | None]:
            _, weight, after = dispatch.run(accepted, task, weighing, before, engine=engine, threads=_threads())
            return weight, after

        values, after = self._on_device(labels, run)
        counts = after.to_dicts() if isinstance(moving_class_counts, list) else after
        # DaCapo: at gt.roi.offset, though cropped to target.roi.
        return SpatialArray(values, gt.voxel_size, target.roi), counts

    def process(self, labels: Any, voxel_size: Any, normalize: str | None = None, normalize_args: Any = None) -> Any:
        """Signed distances times the label: the inner distance, 0 in the background.

        Parameters
        ----------
        labels : array of shape (c, *spatial)
            NumPy, torch, CuPy or Dask.
        voxel_size : 2 or 3 positive numbers
        normalize : {None, "tanh"}
        normalize_args : positive number
            The scale in world units of "tanh".

        Returns
        -------
        float32 array
            Shape and kind of the labels (Dask comes back as NumPy).

        Raises
        ------
        TypeError, ValueError
            Another rank, an empty axis, another normalisation, no scale.
        """
        if normalize not in (None, "tanh"):
            raise ValueError(f"normalize={normalize!r}: expected None or 'tanh'")
        if normalize == "tanh" and normalize_args is None:
            raise TypeError("normalize_args=None: expected the scale of 'tanh', a positive number in world units")
        scale = None if normalize is None else check_scale(normalize_args)
        return self._targets(labels, check_voxel_size(voxel_size), scale, leading=(1,))

    def gt_region_for_roi(self, target_spec: Any) -> Any:
        """The region of the target: a copy of `target_spec` where it can be copied.

        DaCapo's method reads an attribute that its class never sets, and raises AttributeError.
        """
        return target_spec.copy() if hasattr(target_spec, "copy") else target_spec

    def padding(self, gt_voxel_size: Any) -> Coordinate:
        """`max_distance` along every axis, in whole world units (a Coordinate cuts off fractions)."""
        return Coordinate((self.max_distance,) * len(tuple(gt_voxel_size)))

    def _targets(self, data: Any, voxel_size: tuple[float, ...], scale: float | None, leading: tuple[int, ...]) -> Any:
        labels = dispatch.accept_volumes(materialised(data), voxel_size)
        if len(labels.shape) - len(voxel_size) not in leading:
            # DaCapo: obscure errors from SciPy.
            raise ValueError(
                f"labels have shape {labels.shape}: expected (channels, {'z, ' * (len(voxel_size) == 3)}y, x) "
                f"for voxel_size={voxel_size}"
            )
        task = Task(TargetParameters(voxel_size, scale, "times_label", "extent", None, 0.0))

        def run(accepted: Array, engine: str) -> tuple[Any, None]:
            return dispatch.run(accepted, task, engine=engine, threads=_threads()).target, None

        return self._on_device(labels, run)[0]

    def _on_device(self, labels: Array, run: Callable[[Array, str], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Call `run` with the labels and an engine for `self.device`; its array goes back to where the labels are."""
        if self.device is None:
            return run(labels, self.engine)
        if self.device.type == "cpu":
            values, rest = run(Array(arrays.to_host(labels), "numpy", "cpu"), self.engine)
            return arrays.from_host(values, labels), rest
        if not labels.on_host and self.device.index is not None and labels.device != str(self.device):
            raise ValueError(
                f"labels of shape {labels.shape} are on {labels.device}, the predictor has "
                f"device={str(self.device)!r}: expected labels there or on the host"
            )
        engine = "cuda" if self.engine == "auto" else self.engine
        engines.require(engine, f"device={str(self.device)!r}")
        with torch.cuda.device(self.device):
            return run(labels, engine)


def _threads() -> int:
    """As torch, but one in a process that multiprocessing started, such as a data fetcher of DaCapo's."""
    return 1 if multiprocessing.parent_process() is not None else check_threads(None)


def _check_channels(channels: Any) -> list[str]:
    if isinstance(channels, (str, bytes)) or not isinstance(channels, Iterable):
        raise TypeError(f"channels={channels!r}: expected a list of names, such as ['nucleus']")
    names = list(channels)
    if not names or not all(isinstance(name, str) for name in names):
        raise (TypeError if names else ValueError)(f"channels={channels!r}: expected at least one name, all strings")
    return names


def _check_device(device: Any, engine: str) -> torch.device | None:
    expected = "expected 'auto' (where the data are), 'cpu', 'cuda', 'cuda:0' or a torch.device of that kind"
    if isinstance(device, str) and device == "auto":
        return None
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f"device={device!r}: {expected}")
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise ValueError(f"device={device!r}: {expected}") from None
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device={device!r}: {expected}")
    if engine in (_DEVICE_ENGINES if chosen.type == "cpu" else _HOST_ENGINES):
        raise ValueError(f"engine={engine!r} does not run on device={str(device)!r}: expected one that does, or 'auto'")
    return chosen


def _as_counts(counts: Any) -> ClassCounts | None:
    if counts is None or isinstance(counts, ClassCounts):
        return counts
    if isinstance(counts, list):
        return ClassCounts.from_dicts(counts) if counts else None
    raise TypeError(f"moving_class_counts={counts!r}: expected ClassCounts, DaCapo's list of dicts, or None")
