#!/usr/bin/env bash
# Build the host engine with sanitizers, apart from the installed one, and run the engine's tests on it.
# Usage: tests/sanitize.sh [python] [address|thread]: ASan and UBSan, or TSan.
set -euo pipefail
cd "$(dirname "$0")/.."
python="$(realpath --no-symlinks "${1:-.venv/bin/python}")"
kind="${2:-address}"
compiler="${CXX:-c++}"
preload() { for name in "$@"; do printf '%s ' "$("$compiler" -print-file-name="$name.so")"; done; }
aligned=""
case "$kind" in
  address)
    sanitizers="address,undefined"
    libraries="$(preload libasan libubsan libstdc++)"
    tests=(tests/engines/test_cpu_engine.py tests/engines/test_cpu_bits.py tests/engines/test_border.py tests/kernels/test_cpu_indices.py
      tests/engines/test_cpu_threads.py tests/engines/test_cpu_pool.py tests/engines/test_types_and_layouts.py)
    # A memory limit and reserved gigabytes do not go together with ASan's own reservations.
    chosen="not memory_that_is_not_there and not spawn and not more_voxels_than_32_bits"
    ;;
  thread)
    sanitizers="thread"
    libraries="$(preload libtsan libstdc++)"
    tests=(tests/engines/test_cpu_threads.py tests/engines/test_cpu_pool.py tests/engines/test_cpu_bits.py)
    # Several Python threads at once, each with threads of its own; forked and spawned processes are not TSan's.
    chosen="several_python_threads or together or gil_is_free or asked_for or its_volumes or test_threads or one_wave"
    aligned="setarch --addr-no-randomize"  # the addresses TSan needs, where the kernel would spread them too far
    ;;
  *)
    echo "expected address or thread: $kind" >&2
    exit 2
    ;;
esac
build="build/sanitize-$kind"
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS=-O1 -DINNER_DISTANCE_SANITIZE="$sanitizers" -DPython_EXECUTABLE="$python" > /dev/null
cmake --build "$build" --parallel
# The package beside its sanitized extension; an installed one stays out of the way.
rm -rf "$build/tree"
mkdir -p "$build/tree"
cp -r inner_distance_gpu "$build/tree/"
cp -r kernels "$build/tree/inner_distance_gpu/"
cp "$build"/_host*.so "$build/tree/inner_distance_gpu/engines/"
export LD_PRELOAD="$libraries"
# Leaks: the interpreter's own. Allocations that fail are for the caller to see.
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1" UBSAN_OPTIONS="print_stacktrace=1"
# Python and torch are not built for TSan, which would see accesses but not the locks around them.
export TSAN_OPTIONS="ignore_noninstrumented_modules=1:halt_on_error=0:exitcode=66:report_signal_unsafe=0"
# -I and no editable finder: only the copied tree.
exec $aligned "$python" -I -c '
import sys
sys.meta_path = [finder for finder in sys.meta_path if not type(finder).__module__.startswith("_editable")]
sys.path.insert(0, sys.argv.pop(1))
import inner_distance_gpu.engines._host as host
import pytest
assert host.__file__.startswith(sys.path[0]), host.__file__
raise SystemExit(pytest.main(sys.argv[1:]))
' "$PWD/$build/tree" -q -p no:cacheprovider -p no:faulthandler "${tests[@]}" -k "$chosen"
