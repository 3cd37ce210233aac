"""What users call today, in the role they give it: from binary labels to a target in [−1, 1], some with a weight.

A row is there where its package can be imported. `same` says whether it computes the same distance; the others measure
to the centre of the nearest voxel outside instead of to the face before it, which is at most half a voxel more: in
`tanh(distance / scale)` at most half a voxel over the scale. A row beyond its limit is wrong, and stops the run.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from cases import Case
from frozen_reference import inner_distance as frozen_reference

from inner_distance_gpu import InnerDistanceTransform, balanced_weights, inner_distance
from inner_distance_gpu.cli import comparison as bench
from inner_distance_gpu.cli.timing import Run

Build = Callable[[Case, int], Run]  # case, threads -> call; raises ImportError where the package is not there


@dataclass(frozen=True)
class Peer:
    """`largest`: voxels per axis beyond which it is too slow to time. `signed`: negative in the background."""

    name: str
    build: Build
    packages: tuple[str, ...] = ()
    same: bool = False
    signed: bool = False
    weight: bool = False
    largest: int = 192
    device: bool = False
    differs: str = "to the nearest voxel outside"

    def version(self) -> str:
        return " ".join(f"{name} {importlib.metadata.version(name)}" for name in self.packages)

    def limit(self, case: Case) -> float:
        """The largest difference from the exact target that is no error."""
        return 1e-5 if self.same else max(case.voxel_size) / 2 / case.scale + 1e-4


def _frozen(case: Case, threads: int) -> Run:
    return lambda: frozen_reference(case.labels, case.voxel_size, case.scale)


def _frozen_with_weights(case: Case, threads: int) -> Run:
    def both() -> Any:
        target = frozen_reference(case.labels, case.voxel_size, case.scale)
        return target, balanced_weights(case.labels, engine="reference")[0]

    return both


def _dacapo(case: Case, threads: int) -> Run:
    from dacapo.experiments.tasks.predictors import InnerDistancePredictor
    from dacapo.utils.balance_weights import balance_weights
    from funlib.geometry import Coordinate

    predictor = InnerDistancePredictor(["object"], case.scale)
    labels, voxel_size = case.labels[None], Coordinate(case.voxel_size)
    slab, masks = (1, -1, -1, -1), [np.ones_like(labels)]

    def both() -> Any:
        target = predictor.process(labels, voxel_size, "tanh", case.scale)
        return target[0], balance_weights(labels, 2, slab=slab, masks=masks)[0][0]

    return both


def edt_on_doubled_grid(case: Case, threads: int) -> Run:
    from edt import edt

    from inner_distance_gpu.engines.reference import sites_on_doubled_grid

    labels = case.labels

    def doubled() -> Any:
        sites = sites_on_doubled_grid(labels, np.ones(labels.shape, bool))
        distance = edt(~sites, anisotropy=[size / 2 for size in case.voxel_size], parallel=threads)
        distance = distance[(slice(None, None, 2),) * 3]
        return np.where(labels != 0, np.tanh(distance / case.scale) if case.scale else distance, 0)

    return doubled


def edt_difference(case: Case, threads: int) -> Run:
    from edt import edt

    def difference() -> Any:
        inside = edt(case.labels, anisotropy=case.voxel_size, parallel=threads)
        outside = edt(case.labels == 0, anisotropy=case.voxel_size, parallel=threads)
        return np.tanh((inside - outside) / case.scale) if case.scale else inside - outside

    return difference


def _plain(build: Callable[..., Run]) -> Build:
    return lambda case, threads: build(case.labels, case.voxel_size, case.scale, threads)


def _toolbox(weights: bool) -> Build:
    def build(case: Case, threads: int) -> Run:
        from dacapo_toolbox.transforms.distances import SignedDistanceTransform
        from dacapo_toolbox.transforms.weight_balancing import BalanceLabels

        if len(set(case.voxel_size)) > 1:
            raise ValueError(f"voxel size {case.voxel_size}: dacapo-toolbox knows none, expected equal sizes")
        target = SignedDistanceTransform(case.scale / case.voxel_size[0])
        weight, labels = BalanceLabels(), torch.from_numpy(case.labels)
        return (lambda: (target(labels), weight(labels))) if weights else (lambda: target(labels))

    return build


def _distmap(case: Case, threads: int) -> Run:
    from distmap import euclidean_distance_transform

    labels = torch.from_numpy(case.labels)
    return lambda: torch.tanh(euclidean_distance_transform(labels, vx=list(case.voxel_size)) / case.scale)


def _pyedt(case: Case, threads: int) -> Run:
    from pyedt import edt_cpu

    voxel_size = tuple(map(float, case.voxel_size))
    return lambda: np.tanh(edt_cpu(case.labels, scale=voxel_size, limit_cpus=threads) / case.scale)


def _on_device(case: Case) -> torch.Tensor:
    return torch.from_numpy(case.labels).cuda()


def _cupyx(case: Case, threads: int) -> Run:
    import cupy
    from cupyx.scipy.ndimage import distance_transform_edt

    labels = cupy.asarray(_on_device(case))
    return lambda: torch.as_tensor(
        cupy.tanh(distance_transform_edt(labels, sampling=case.voxel_size, float64_distances=False) / case.scale)
    )


def _cucim(case: Case, threads: int) -> Run:
    import cupy
    from cucim.core.operations.morphology import distance_transform_edt

    labels = cupy.asarray(_on_device(case))
    return lambda: torch.as_tensor(cupy.tanh(distance_transform_edt(labels, sampling=case.voxel_size) / case.scale))


def _monai_on_device(case: Case, threads: int) -> Run:
    import cucim  # noqa: F401  # without it MONAI goes to the host
    from monai.transforms.post.array import DistanceTransformEDT

    transform, channel = DistanceTransformEDT(sampling=list(case.voxel_size)), _on_device(case)[None].float()
    return lambda: torch.tanh(transform(channel) / case.scale)[0]


def _distmap_on_device(case: Case, threads: int) -> Run:
    from distmap import euclidean_distance_transform

    labels = _on_device(case)
    return lambda: torch.tanh(euclidean_distance_transform(labels, vx=list(case.voxel_size)) / case.scale)


def _jitfields(case: Case, threads: int) -> Run:
    import cupy  # noqa: F401  # its CUDA half; without it the call fails, not the import
    from jitfields.distance import euclidean_distance_transform

    labels = _on_device(case)
    return lambda: torch.tanh(euclidean_distance_transform(labels, vx=list(case.voxel_size)) / case.scale)


PEERS = (
    Peer("frozen reference", _frozen, same=True),
    Peer("DaCapo's algorithm, target + weight", _frozen_with_weights, same=True, weight=True, largest=128),
    Peer("DaCapo, target + weight", _dacapo, ("dacapo-ml",), same=True, weight=True, largest=128),
    Peer("edt on the doubled grid", edt_on_doubled_grid, ("edt",), same=True),
    Peer("edt(x) - edt(x == 0)", edt_difference, ("edt",), signed=True),
    Peer("edt", _plain(bench.edt_plain), ("edt",)),
    Peer("SciPy", _plain(bench.scipy_plain), ("scipy",)),
    Peer("dacapo-toolbox", _toolbox(False), ("dacapo-toolbox", "edt"), signed=True, largest=128),
    Peer(
        "dacapo-toolbox, target + weight",
        _toolbox(True),
        ("dacapo-toolbox", "edt"),
        signed=True,
        weight=True,
        largest=128,
    ),
    Peer("MONAI", _plain(bench.monai_plain), ("monai",), largest=128),
    Peer("torch-distmap", _distmap, ("torch-distmap",), largest=128),
    Peer("pyedt", _pyedt, ("pyedt", "numba"), largest=128),
)
DEVICE_PEERS = (
    Peer("cupyx.scipy.ndimage", _cupyx, device=True),
    Peer("cuCIM, plain grid", _cucim, device=True),
    Peer("MONAI on CUDA", _monai_on_device, ("monai",), device=True),
    Peer("torch-distmap on CUDA", _distmap_on_device, ("torch-distmap",), device=True, largest=128),
    Peer("jitfields", _jitfields, ("jitfields",), device=True),
)


def ours(case: Case, threads: int, engine: str) -> dict[str, tuple[Run, bool]]:
    """Name -> call, whether signed. Everything into new memory, as the peers do."""
    labels: Any = case.labels if engine in ("cpu", "reference") else _on_device(case)
    keywords: dict[str, Any] = {"engine": engine, "threads": threads}
    both = InnerDistanceTransform(case.voxel_size, case.scale, moving=False, **keywords)
    signed = InnerDistanceTransform(case.voxel_size, case.scale, moving=False, background="signed", **keywords)
    return {
        engine: (lambda: inner_distance(labels, case.voxel_size, scale=case.scale, **keywords), False),
        f"{engine}, target + weight": (lambda: both(labels), False),
        f"{engine}, signed target + weight": (lambda: signed(labels), True),
    }


def importable(peers: tuple[Peer, ...], case: Case, threads: int) -> Iterator[tuple[Peer, Run]]:
    """The peers that are installed, with their calls for a case they are not too slow for."""
    for peer in peers:
        if max(case.labels.shape) > peer.largest:
            continue
        try:
            yield peer, peer.build(case, threads)
        except ImportError:
            continue


def check(name: str, result: Any, expected: Any, limit: float) -> float:
    """The largest difference of a target from ours; AssertionError beyond `limit`."""
    target = result[0] if isinstance(result, tuple) else result
    off = bench.largest_difference(target, expected)
    assert off <= limit, f"{name} is off by {off}, which is more than {limit:.3g}"
    return off
