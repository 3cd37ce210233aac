#!/usr/bin/env bash
# Build the host engine with ASan and UBSan, apart from the installed one, and run the engine's tests on it.
# Usage: tests/sanitize.sh [python]
set -euo pipefail
cd "$(dirname "$0")/.."
python="$(realpath --no-symlinks "${1:-.venv/bin/python}")"
build="build/sanitize"
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DINNER_DISTANCE_SANITIZE=ON -DPython_EXECUTABLE="$python" > /dev/null
cmake --build "$build" --parallel
# The package beside its sanitized extension; an installed one stays out of the way.
rm -rf "$build/tree"
mkdir -p "$build/tree"
cp -r inner_distance_gpu "$build/tree/"
cp -r kernels "$build/tree/inner_distance_gpu/"
cp "$build"/_host*.so "$build/tree/inner_distance_gpu/"
compiler="${CXX:-c++}"
export LD_PRELOAD="$("$compiler" -print-file-name=libasan.so) $("$compiler" -print-file-name=libubsan.so) $("$compiler" -print-file-name=libstdc++.so)"
# Leaks: the interpreter's own. Allocations that fail are for the caller to see.
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1" UBSAN_OPTIONS="print_stacktrace=1"
# -I and no editable finder: only the copied tree. A memory limit and reserved gigabytes do not go together with ASan's own reservations.
exec "$python" -I -c '
import sys
sys.meta_path = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_editable")]
sys.path.insert(0, sys.argv.pop(1))
import inner_distance_gpu._host as host
import pytest
assert host.__file__.startswith(sys.path[0]), host.__file__
raise SystemExit(pytest.main(sys.argv[1:]))
' "$PWD/$build/tree" -q -p no:cacheprovider -p no:faulthandler tests/test_cpu_engine.py tests/test_cpu_bits.py tests/test_border.py tests/test_cpu_indices.py \
  tests/test_cpu_threads.py tests/test_types_and_layouts.py \
  -k "not memory_that_is_not_there and not spawn and not more_voxels_than_32_bits"
