"""How long `import inner_distance_gpu` takes beyond torch and NumPy: the best of some runs, in seconds.

Exit code 1 when it is more than the limit. Not a test: it looks at a clock.
"""

import re
import subprocess
import sys

LIMIT = 0.3
RUNS = 5


def beyond_torch(module):
    """Seconds of one import in a new process whose torch and NumPy are imported already."""
    code = f"import numpy, torch, sys, time; t = time.perf_counter(); import {module}; print(time.perf_counter() - t)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def slowest(module):
    """What the import of the module spends its time on, torch apart."""
    code = ["-X", "importtime", "-c", f"import numpy, torch; import {module}"]
    done = subprocess.run([sys.executable, *code], capture_output=True, text=True, check=True)
    lines = done.stderr[done.stderr.rindex("| torch\n") :].splitlines()
    rows = [re.match(r"import time:\s+(\d+) \|\s+(\d+) \|(\s*)(\S+)", line) for line in lines]
    return sorted(((int(row[1]) / 1e6, row[4]) for row in rows if row), reverse=True)[:8]


if __name__ == "__main__":
    module = "inner_distance_gpu"
    best = min(beyond_torch(module) for _ in range(RUNS))
    print(f"import {module}: {best:.3f} s beyond torch and NumPy (best of {RUNS}; limit {LIMIT} s)")
    for seconds, name in slowest(module):
        print(f"  {seconds:.3f} s  {name}")
    raise SystemExit(best > LIMIT)
