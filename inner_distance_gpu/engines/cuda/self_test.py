"""A known-answer test of the kernels: the first call on a device never seen with this driver and these kernels.

`known_answers.npz` holds small labels, a mask, and the bits that the same kernels give on a host
(tests/record_known_answers.py makes it). The second volume has no site. That a device passed is remembered beside the
compiled kernels, or while the process lives where that cannot be written. INNER_DISTANCE_GPU_SELF_TEST=0 switches the
test off, `always` runs it in every process.
"""

from __future__ import annotations

import hashlib
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ...parameters import TargetParameters, Task, WeightParameters
from .. import Arrays, available
from . import cache, driver
from .launcher import Launch

VARIABLE = "INNER_DISTANCE_GPU_SELF_TEST"
FILE = resources.files(__package__) / "known_answers.npz"
Start = Callable[[Task, Arrays], Sequence[Launch]]  # makes the launches of a call, and returns them


class SelfTestError(RuntimeError):
    """A device does not compute what it should. The message says what differs and which engines can be used instead."""


@dataclass(frozen=True)
class Case:
    """One call. `parameters` make targets, `weighing` weights and counts, for which there is a mask."""

    name: str
    parameters: TargetParameters | None
    weighing: WeightParameters | None = None
    volumes: int = 2  # of the recorded ones
    classes: tuple[tuple[int, ...], ...] | None = None


_SHAPE = (2, 38, 13, 37)  # of the recorded labels
CASES = (
    Case("packed", TargetParameters.checked((4, 4, 4), 12, "zero", "extent", None, 0.0)),
    Case("float", TargetParameters.checked((40, 32, 32), 120, "signed", "extent", None, 0.0)),
    Case(
        "masked",
        TargetParameters.checked((4, 4, 4), 12, "zero", "extent", 3, -1.0),
        WeightParameters(2, True, _SHAPE, (0.05, 0.95), 3),
    ),
    Case("classes", TargetParameters.checked((4, 4, 4), 1, "zero", "extent", None, 0.0), None, 1, ((1, 2), (3,))),
    # Slabs that end within the first volume, and one class per label: neither is the way of the case before.
    Case("weights", None, WeightParameters(4, False, (1, 20, 7, 37), (0.05, 0.95), 3), volumes=1),
)


@dataclass(frozen=True)
class Result:
    """What one array of a case came out as, and the kernel that wrote it."""

    name: str
    values: npt.NDArray[Any]
    kernel: str


settled: dict[int, str] = {}  # device -> what is wrong with it, or nothing
_lock = threading.Lock()


def check(device: torch.device, start: Start) -> None:
    """Raise SelfTestError where the device failed; run the test where nobody knows. Kernels on a host need none."""
    if device.type != "cuda":
        return
    wrong = settled.get(device.index)
    if wrong is None:
        wrong = _settle(device, start)
    if wrong:
        raise SelfTestError(wrong)


def state(device: torch.device) -> str:
    """In words for `info`: whether the device passed, without running anything."""
    if _mode() == "0":
        return f"switched off by {VARIABLE}=0"
    wrong = settled.get(device.index)
    if wrong:
        return wrong
    try:
        passed = wrong == "" or _remembered(_identity(device))
    except (ImportError, OSError, RuntimeError) as error:  # CuPy is there, but does not load
        return f"unknown: {error}"
    return "passed" if passed else "not run yet: the first call on the device does"


def compute(
    case: Case, labels: npt.NDArray[Any], mask: npt.NDArray[Any], device: torch.device, start: Start
) -> Iterator[Result]:
    """The arrays of a case, those of earlier kernels first."""
    labels, mask = labels[: case.volumes], mask[: case.volumes]
    given = torch.from_numpy(labels).to(device)
    target = weight = weights_mask = counts = None
    if case.parameters is not None:
        shape = Task(case.parameters, classes=case.classes).shape_of(labels.shape)
        target = torch.empty(shape, dtype=torch.float32, device=device)
    if case.weighing is not None:
        weights_mask = torch.from_numpy(mask).to(device)
        weight = torch.empty(given.shape, dtype=torch.float32, device=device)
        slabs = math.prod(-(-n // extent) for n, extent in zip(labels.shape, case.weighing.slab, strict=True))
        numerators = torch.zeros(slabs, case.weighing.num_classes, dtype=torch.float64, device=device)
        counts = (numerators, torch.ones_like(numerators))
    task = Task(case.parameters, case.weighing, "keep" if case.weighing is None else "mask", classes=case.classes)
    arrays = Arrays(given, weights_mask, target, weight, counts)
    kernels = [launch.kernel.name for launch in start(task, arrays)]
    if counts is not None:
        *_, count, settle, _ = kernels
        yield Result("numerators", counts[0].cpu().numpy(), count)
        yield Result("denominators", counts[1].cpu().numpy(), settle)
    for name, tensor in (("target", target), ("weight", weight)):
        if tensor is not None:
            yield Result(name, tensor.cpu().numpy(), kernels[-1])


def difference(device: torch.device, start: Start) -> str | None:
    """What differs first from the recorded bits, or None."""
    with FILE.open("rb") as file, np.load(file) as recorded:
        labels, mask = recorded["labels"], recorded["mask"]
        for case in CASES:
            for result in compute(case, labels, mask, device, start):
                expected = recorded[f"{case.name}/{result.name}"]
                bits = f"u{expected.itemsize}"
                differ = np.argwhere(result.values.view(bits) != expected.view(bits))
                if len(differ):
                    at = tuple(differ[0].tolist())
                    where = "voxel" if expected.ndim >= labels.ndim else "(slab, class)"
                    return (
                        f"Kernel {result.kernel}, case {case.name!r}, {result.name}: {len(differ)} of {expected.size} "
                        f"values differ, the first at {where} {at}: {result.values[at]} instead of {expected[at]}"
                    )
    return None


def _settle(device: torch.device, start: Start) -> str:
    """Nothing where the device passed, or has to go untested now; else what is wrong with it."""
    mode = _mode()
    if mode == "0" or torch.cuda.is_current_stream_capturing() or torch.cuda.get_sync_debug_mode():
        return ""  # results are read back, which neither a capture nor torch's synchronisation check allows
    with _lock:  # threads that come second wait for the answer
        wrong = settled.get(device.index)
        if wrong is not None:
            return wrong
        identity = _identity(device)
        if mode == "always" or not _remembered(identity):
            found = difference(device, start)
            if found is not None:
                cache.remove(_name(identity))
                settled[device.index] = wrong = _message(f"{device}, {identity}", found)
                return wrong
            cache.write(_name(identity), identity.encode())
        settled[device.index] = ""
        return ""


def _mode() -> str:
    mode = os.environ.get(VARIABLE) or "1"
    if mode not in ("0", "1", "always"):
        raise ValueError(f"{VARIABLE}={mode!r}: expected 0, 1 or always")
    return mode


def _message(identity: str, found: str) -> str:
    others = [name for name, reason in available().items() if reason is None and name != "cuda"]
    return (
        f"engine='cuda' does not compute what it should on {identity}. {found}. Engines that can be used instead: "
        f"{', '.join(map(repr, others))}. Please report this message; {VARIABLE}=0 skips the test"
    )


def _identity(device: torch.device) -> str:
    """The device, the driver and the kernels, in words; where one is another, the device has to pass again."""
    found = torch.cuda.get_device_properties(device)
    options, nvrtc, sources = cache.kernels_version()
    return (
        f"{found.name} ({getattr(found, 'uuid', 'no uuid')}), compute capability {found.major}.{found.minor}, NVIDIA "
        f"driver {driver.text()}, NVRTC {'.'.join(map(str, nvrtc))}, kernels {sources[:12]} {' '.join(options)}"
    )


def _name(identity: str) -> str:
    return f"{hashlib.sha256(identity.encode()).hexdigest()}.passed"


def _remembered(identity: str) -> bool:
    return cache.read(_name(identity)) == identity.encode()
