"""Does every kernel compile for every architecture, without a device, and do errors say what the compiler said?"""

import re

import pytest

from inner_distance_gpu.engines.cuda import compiler
from inner_distance_gpu.engines.cuda.compiler import Kernel

try:
    from cupy.cuda import nvrtc

    nvrtc.getVersion()
except Exception as error:  # CuPy is not installed, or finds no NVRTC
    pytest.skip(f"needs CuPy's NVRTC: {error}", allow_module_level=True)

OF_EACH = [
    Kernel(f"{file}.cu", f"half_grid::{name}")
    for file, name in (
        ("classify", "classify<unsigned char>"),
        ("scan", "scan<unsigned char, unsigned char>"),
        ("scan", "scan<half_grid::ClassBits, unsigned char>"),
        ("scan", "scan<half_grid::ClassBits, half_grid::Square>"),
        ("plane", "plane<unsigned char, false>"),
        ("scan", "scan<unsigned char, half_grid::Square>"),
        ("pairs", "pairs"),
        ("doubled", "mark<unsigned char>"),
        ("doubled", "sample"),
        *(("weights", name) for name in ("count", "settle", "weigh")),
    )
]
SETTLE = OF_EACH[-2]


def check(machine):
    """Machine code, whose registers hold all that it keeps."""
    assert machine.image[:4] == b"\x7fELF"
    assert set(re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", machine.log)) == {"0"}


@pytest.mark.parametrize("kernel", compiler.every_kernel(), ids=lambda kernel: kernel.name.removeprefix("half_grid::"))
def test_every_specialisation_compiles_and_nothing_spills(kernel):
    machine = compiler.compile_kernel(kernel, "sm_80", ("--ptxas-options=-v",))
    check(machine)
    assert kernel.name.removeprefix("half_grid::").split("<")[0] in machine.symbol
    assert "warning" not in machine.log


def test_all_specialisations_are_listed():
    kernels = compiler.every_kernel()
    assert len(set(kernels)) == len(kernels) == 39
    assert {kernel.name.split("<")[0] for kernel in kernels} == {kernel.name.split("<")[0] for kernel in OF_EACH}


@pytest.mark.parametrize("architecture", [75, 89, 90, 100, 120])
def test_every_architecture_compiles_and_nothing_spills(architecture):
    if architecture not in nvrtc.getSupportedArchs():
        pytest.skip(f"NVRTC {'.'.join(map(str, nvrtc.getVersion()))} does not compile for sm_{architecture}")
    for kernel in OF_EACH:
        check(compiler.compile_kernel(kernel, f"sm_{architecture}", ("--ptxas-options=-v",)))


def test_ptx_where_there_is_no_machine_code():
    machine = compiler.compile_kernel(SETTLE, "compute_75")
    assert b".target sm_75" in machine.image


def test_errors_come_with_the_log(monkeypatch):
    files = compiler.sources()
    broken = {**files, "scan.cu": files["scan.cu"].replace("atomicOr(", "atomicOtter(")}
    monkeypatch.setattr(compiler, "sources", lambda: broken)
    with pytest.raises(
        compiler.CompileError, match=r'(?s)scan<.*sm_80 with NVRTC \d+\.\d+.*"atomicOtter" is undefined'
    ):
        compiler.compile_kernel(OF_EACH[1], "sm_80")
    with pytest.raises(compiler.CompileError, match="no_such_kernel"):
        compiler.compile_kernel(Kernel("doubled.cu", "half_grid::no_such_kernel"), "sm_80")
