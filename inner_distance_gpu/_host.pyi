# The extension module; see kernels/host.cpp.
from typing_extensions import Buffer

class Meaning:
    def __init__(self, kind: str, foreign: bool, has_ignored: bool, ignored: int) -> None: ...

class Plan:
    def __init__(
        self,
        voxel_size: tuple[float, ...],
        scale: float,
        background: int,
        saturate: bool,
        fill: float,
        level: str,
        always_float: bool,
    ) -> None: ...

def levels() -> list[str]: ...
def targets(plan: Plan, labels: Buffer, meaning: Meaning, out: Buffer, threads: int) -> int: ...

# Annotated labels with a fraction; whether an integer mask counts a voxel more than once.
def targets_and_weights(
    plan: Plan,
    labels: Buffer,
    meaning: Meaning,
    out: Buffer,
    mask: Buffer | None,
    mask_kind: str,
    weights: Buffer,
    numerators: Buffer,
    denominators: Buffer,
    clip: tuple[float, float],
    border: bool,
    threads: int,
) -> tuple[int, bool]: ...
def class_weights(
    labels: Buffer,
    meaning: Meaning,
    mask: Buffer,
    mask_kind: str,
    weights: Buffer,
    numerators: Buffer,
    denominators: Buffer,
    classes: int,
    foreground: bool,
    slab: tuple[int, ...],
    clip: tuple[float, float],
    threads: int,
) -> bool: ...
