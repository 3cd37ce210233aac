"""Registers, spills and shared memory of every CUDA kernel on every architecture, as a Markdown table.

    python benchmarks/kernel_resources.py [--all] [--architectures 80 90]

Needs CuPy's NVRTC, no device. One specialisation of each kernel unless --all (of `scan` two: it stores distances for
`plane` or squares for `pairs`); the numbers are those of ptxas. Dynamic shared memory depends on the shape: see GPU.md.
"""

from __future__ import annotations

import argparse
import re

from inner_distance_gpu.engines.cuda import compiler

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)


def resources(kernel: compiler.Kernel, architecture: int) -> tuple[int, int, int, int]:
    """(registers, bytes spilled, bytes of stack, bytes of static shared memory)"""
    machine = compiler.compile_kernel(kernel, f"sm_{architecture}", ("--ptxas-options=-v",))
    # A file without templates has all its kernels in the log.
    log = machine.log.split(f"entry function '{machine.symbol}'")[1].split("Compiling entry function")[0]

    def number(pattern: str) -> int:
        found = re.search(pattern, log)
        return int(found[1]) if found else 0

    spilled = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
    return number(r"Used (\d+) registers"), spilled, number(r"(\d+) bytes stack"), number(r"(\d+) bytes smem")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_true", help="every specialisation")
    parser.add_argument("--architectures", type=int, nargs="+", default=ARCHITECTURES)
    arguments = parser.parse_args()
    of_each = {
        (kernel.name.split("<")[0], "Square" in kernel.name): kernel for kernel in reversed(compiler.every_kernel())
    }.values()
    print("| kernel | static shared | " + " | ".join(f"sm_{number}" for number in arguments.architectures) + " |")
    print("|---|---|" + "---|" * len(arguments.architectures))
    for kernel in compiler.every_kernel() if arguments.all else reversed(list(of_each)):
        cells = []
        for architecture in arguments.architectures:
            registers, spilled, stack, shared = resources(kernel, architecture)
            cells.append(str(registers) + (f" (spills {spilled} B, stack {stack} B)" if spilled or stack else ""))
        print(f"| `{kernel.name.removeprefix('half_grid::')}` | {shared} B | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
