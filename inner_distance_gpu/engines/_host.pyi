# The extension module; see kernels/host.cpp and kernels/host_launches.cpp.
from collections.abc import Sequence

from typing_extensions import Buffer

class ElementFormat:
    def __init__(self, kind: str, width: int, foreign: bool, has_ignored: bool, ignored: int) -> None: ...

class Task:
    def __init__(
        self, voxel_size: Sequence[float], scale: float, background: int, saturate: bool, fill: float
    ) -> None: ...

class CpuTask(Task):
    def __init__(self, task: Task, level: str, always_float: bool) -> None: ...

def levels() -> list[str]: ...

class ClassMap:
    def __init__(self, width: int, codes: Sequence[Sequence[int]]) -> None: ...
    def bytes(self) -> bytes: ...

# With `classes` the labels have an axis of classes in front of the spatial ones, with stride 0.
def targets(
    task: CpuTask,
    labels: Buffer,
    format: ElementFormat,
    out: Buffer,
    threads: int,
    classes: ClassMap | None = None,
) -> int: ...

# Annotated labels with a fraction; whether an integer mask counts a voxel more than once.
def targets_and_weights(
    task: CpuTask,
    labels: Buffer,
    format: ElementFormat,
    out: Buffer,
    mask: Buffer | None,
    mask_format: ElementFormat,
    weights: Buffer,
    numerators: Buffer,
    denominators: Buffer,
    clip: tuple[float, float],
    border: bool,
    threads: int,
    classes: ClassMap | None = None,
) -> tuple[int, bool]: ...
def class_weights(
    labels: Buffer,
    format: ElementFormat,
    mask: Buffer,
    mask_format: ElementFormat,
    weights: Buffer,
    numerators: Buffer,
    denominators: Buffer,
    classes: int,
    foreground: bool,
    slab: Sequence[int],
    clip: tuple[float, float],
    threads: int,
    of_labels: ClassMap | None = None,
) -> bool: ...

class Layout:
    def __init__(self, shape: Sequence[int], strides: Sequence[int], format: ElementFormat) -> None: ...

class WeightTask:
    def __init__(self, classes: int, foreground: bool, slab: Sequence[int], low: float, high: float) -> None: ...

class Limits:
    def __init__(self, multiprocessors: int, shared_bytes: int, scan_bytes: int, packs: bool) -> None: ...

class Launch:
    file: str
    kernel: str
    grid: int
    block: tuple[int, int, int]
    shared_bytes: int
    weighs: bool

class LaunchCall:
    job: int
    weighing: int
    job_arguments: int
    weighing_arguments: int
    class_weight: int
    def sample(self, grid: int, distances: int, volume: int) -> None: ...
    def weigh_with(self, class_weight: int) -> None: ...

class LaunchPlan:
    launches: list[Launch]
    scratch_bytes: int
    cleared_bytes: int
    grid_shape: list[int]
    spacing: list[float]
    pieces: list[tuple[str, int, int]]
    slabs: int
    volumes: int
    def call(
        self,
        labels: int,
        mask: int,
        target: int,
        weight: int,
        scratch: int,
        numerators: int,
        denominators: int,
        classes: int = 0,
    ) -> LaunchCall: ...

def plan_targets(
    task: Task,
    labels: Layout,
    target: Layout,
    mask: Layout | None,
    weight: Layout | None,
    weighing: WeightTask | None,
    bordered: bool,
    limits: Limits,
    classes: ClassMap | None = None,
) -> LaunchPlan | None: ...
def plan_weights(
    labels: Layout, mask: Layout | None, weighing: WeightTask, dims: int = 0, classes: ClassMap | None = None
) -> LaunchPlan | None: ...
def plan_doubled(
    task: Task,
    labels: Layout,
    target: Layout,
    mask: Layout | None,
    weight: Layout | None,
    slabs: int,
    bordered: bool,
    classes: ClassMap | None = None,
) -> LaunchPlan | None: ...
def kernel_names() -> list[tuple[str, str]]: ...

class CountsLock:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...

def renew_counts_lock() -> None: ...
