"""What the predictors share: a model with a head, targets of the engines, balanced weights, and where they compute."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy.typing as npt
import torch
from funlib.geometry import Coordinate

from .. import arrays, dispatch, engines
from ..arrays import Array
from ..counts import ClassCounts
from ..parameters import (
    CLIP,
    Background,
    TargetParameters,
    Task,
    WeightParameters,
    check_scale,
    check_threads,
    check_voxel_size,
)
from .contract import DistanceArray, Predictor, register_with_dacapo
from .spatial import SpatialArray, default_axis_names, materialised, stated_axis_names

_HOST_ENGINES, _DEVICE_ENGINES = ("cpu", "reference"), ("cuda", "cucim")


class Weighed(NamedTuple):
    """What `create_weight` weighs: labels and mask on the region of the target, as arrays that were accepted.

    `slab` holds the block extents on every axis: one slab per channel where an axis has the name `c^`.
    """

    labels: Array
    mask: Array | None
    slab: tuple[int, ...]
    voxel_size: tuple[float, ...]

    @property
    def channel_axis(self) -> int:
        return len(self.labels.shape) - len(self.voxel_size) - 1


class DistancesToBoundaries(Predictor):
    """A predictor of distances to object boundaries, after tanh. The base of those with a name in DaCapo.

    A subclass says in `_background` what becomes of the negative side of the distance.
    """

    _background: Background

    @property
    def _kernel_size(self) -> int:
        """Voxels along an edge of the head's convolution, which is not padded."""
        return 1

    def __init__(self, channels: list[str], scale_factor: float, device: Any, engine: str) -> None:
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
        """The number of channels that a model predicts."""
        return len(self.channels)

    @property
    def output_array_type(self) -> Any:
        """A `DistanceArray` of `embedding_dims` classes: DaCapo's where DaCapo is imported, else ours."""
        return kind_of_array("DistanceArray", DistanceArray)(self.embedding_dims)

    def create_model(self, architecture: Any) -> Any:
        """The architecture and a convolution to `embedding_dims` channels: 1×1 (2D), 1×1×1 (3D), or of `kernel_size`.

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
        if architecture.dims not in heads:  # DaCapo: UnboundLocalError
            raise ValueError(f"architecture.dims={architecture.dims!r}: expected 2 or 3")
        head = heads[architecture.dims](architecture.num_out_channels, self.embedding_dims, self._kernel_size)
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
            float32, kind of the labels (Dask comes back as NumPy), `embedding_dims` channels where the labels have
            as many as the predictor has names.

        Raises
        ------
        TypeError, ValueError
            Labels of another rank, empty axes, dtypes that are no labels.
        """
        sizes = check_voxel_size(gt.voxel_size)
        stated_axis_names(gt, tuple(gt.data.shape), len(sizes))
        values = self._targets(gt.data, sizes, check_scale(self.dt_scale_factor), leading=(1, 2))
        return SpatialArray(values, gt.voxel_size, gt.roi)

    def process(self, labels: Any, voxel_size: Any, normalize: str | None = None, normalize_args: Any = None) -> Any:
        """The values of a target, without a place.

        Parameters
        ----------
        labels : array of shape (c, *spatial)
            NumPy, torch, CuPy or Dask.
        voxel_size : 2 or 3 positive numbers
        normalize : {None, "tanh"}
            None leaves world units.
        normalize_args : positive number
            The scale in world units of "tanh".

        Returns
        -------
        float32 array
            As `create_target(...).data`: kind of the labels (Dask comes back as NumPy).

        Raises
        ------
        TypeError, ValueError
            Another rank, an empty axis, another normalisation, no scale.
        """
        scale = check_normalisation(normalize, normalize_args)
        return self._targets(labels, check_voxel_size(voxel_size), scale, leading=(1,))

    def gt_region_for_roi(self, target_spec: Any) -> Any:
        """The labels needed for a target: its own region, as a copy of `target_spec` where it can be copied."""
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
        task = Task(TargetParameters(voxel_size, scale, self._background, "extent", None, 0.0))

        def run(accepted: Array, engine: str) -> tuple[Any, None]:
            return dispatch.run(accepted, task, engine=engine, threads=_threads())[0], None

        return self._on_device(labels, run)[0]

    def _weighed(self, gt: Any, target: Any, mask: Any, check: bool = False) -> Weighed:
        """Labels and mask on the region of the target; a mask that does not fit the labels is a ValueError.

        With `check` so are values of the mask that are negative or not finite. Otherwise the engine's call looks.
        """
        sizes = check_voxel_size(gt.voxel_size)
        labels = dispatch.accept_volumes(materialised(gt[target.roi]), sizes)
        given = None if mask is None else materialised(mask[target.roi])
        names = stated_axis_names(gt, labels.shape, len(sizes)) or default_axis_names(labels.shape, len(sizes))
        slab = tuple(1 if name == "c^" else n for name, n in zip(names, labels.shape, strict=True))
        return Weighed(labels, self._fitting_mask(given, labels, len(sizes), check), slab, sizes)

    def _fitting_mask(self, mask: Any, labels: Array, dims: int, check: bool) -> Array | None:
        """The mask where it is used; ValueError where it does not fit the labels."""
        if mask is None or not self._on_cpu():
            return dispatch.accept_mask(mask, labels, dims, check)
        there = arrays.on_host(arrays.accept(mask, "mask"))
        return dispatch.accept_mask(there.data, Array(labels.data, labels.kind, there.device), dims, check)

    def _on_cpu(self) -> bool:
        """Whether everything is computed on the host, wherever labels and masks are."""
        return self.device is not None and self.device.type == "cpu"

    def _placed(self, mask: npt.NDArray[Any], labels: Array) -> Array:
        """A mask that was computed on the host, where it is used with these labels."""
        return arrays.accept(mask if self._on_cpu() else arrays.from_host(mask, labels), "mask")

    def _balanced(
        self, weighed: Weighed, before: ClassCounts | None, clip: tuple[float, float] = CLIP
    ) -> tuple[Any, ClassCounts]:
        """Weights of two classes, label = 0 and label ≠ 0, and the counts afterwards."""
        weighing = WeightParameters(2, True, weighed.slab, clip, None, len(weighed.voxel_size))
        given = None if weighed.mask is None else weighed.mask.data

        def run(accepted: Array, engine: str) -> tuple[Any, ClassCounts | None]:
            task = Task(weighing=weighing)
            _, weight, after = dispatch.run(accepted, task, given, before, engine=engine, threads=_threads())
            return weight, after

        return self._on_device(weighed.labels, run)

    def _on_device(self, labels: Array, run: Callable[[Array, str], tuple[Any, Any]]) -> tuple[Any, Any]:
        """Call `run` with the labels and an engine for `self.device`; its array goes back to where the labels are."""
        if self.device is None:
            return run(labels, self.engine)
        if self._on_cpu():
            values, rest = run(arrays.on_host(labels), self.engine)
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


def check_normalisation(normalize: Any, normalize_args: Any) -> float | None:
    """The scale of "tanh", None without normalisation; ValueError or TypeError for anything else."""
    if normalize not in (None, "tanh"):
        raise ValueError(f"normalize={normalize!r}: expected None or 'tanh'")
    if normalize == "tanh" and normalize_args is None:
        raise TypeError("normalize_args=None: expected the scale of 'tanh', a positive number in world units")
    return None if normalize is None else check_scale(normalize_args)


def as_counts(counts: Any) -> ClassCounts | None:
    """Counts that a caller hands on, whichever way they are written; None before the first batch."""
    if counts is None or isinstance(counts, ClassCounts):
        return counts
    if isinstance(counts, list):
        return ClassCounts.from_dicts(counts) if counts else None
    raise TypeError(f"moving_class_counts={counts!r}: expected ClassCounts, DaCapo's list of dicts, or None")


def kind_of_array(name: str, ours: type) -> Any:
    """DaCapo's array type of that name where DaCapo is imported, else ours."""
    dacapo = sys.modules.get("dacapo.experiments.arraytypes")
    return ours if dacapo is None else getattr(dacapo, name)


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
