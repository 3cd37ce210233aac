"""Which lines of the CUDA kernels does no test execute on the host?

    python tests/kernel_coverage.py [-k SOME]

Runs test_device_kernels.py, test_device_packed.py and test_device_weights.py on kernels that count (gcc's --coverage),
then lists for every file of kernels/cuda the lines that no instance of a template ever ran. The exit code is that of
the tests. Needs g++ and gcov.
"""

import collections
import gzip
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent
FILES = [TESTS / "kernels" / f"test_device_{name}.py" for name in ("kernels", "packed", "weights")]
CUDA = TESTS.parent / "kernels" / "cuda"


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
        environment = {**os.environ, "KERNEL_COVERAGE": folder}
        status = subprocess.run([*command, *FILES, *sys.argv[1:]], env=environment, check=False).returncode
        for counted in Path(folder).glob("*.gcda"):
            subprocess.run(["gcov", "--json-format", counted], cwd=folder, capture_output=True, check=True)
        counts = collections.defaultdict(collections.Counter)
        for report in Path(folder).glob("*.gcov.json.gz"):
            for file in json.loads(gzip.decompress(report.read_bytes()))["files"]:
                for line in file["lines"]:
                    counts[Path(file["file"]).name][line["line_number"]] += line["count"]
    for path in sorted(CUDA.iterdir()):
        lines = counts[path.name]
        missed = sorted(number for number, count in lines.items() if count == 0)
        print(f"{path.name}: {len(lines) - len(missed)} of {len(lines)} lines that hold code were executed")
        text = path.read_text().splitlines()
        for number in missed:
            print(f"    {number}: {text[number - 1].strip()}")
    return status


if __name__ == "__main__":
    sys.exit(main())
