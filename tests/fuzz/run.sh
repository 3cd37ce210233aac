#!/usr/bin/env bash
# Fuzz the public functions and the host binding: the engine built by clang with ASan, UBSan and libFuzzer's coverage.
# Usage: tests/fuzz/run.sh [python] [seconds] [libFuzzer options]; crashes and new inputs go to build/fuzz.
# Needs clang and its runtime (Debian: clang-16 libclang-rt-16-dev) and Atheris in the environment of that python.
set -euo pipefail
cd "$(dirname "$0")/../.."
python="$(realpath --no-symlinks "${1:-.venv/bin/python}")"
seconds="${2:-60}"
shift $(($# < 2 ? $# : 2))
compiler="${CLANGXX:-$(command -v clang++ clang++-19 clang++-18 clang++-17 clang++-16 clang++-15 clang++-14 | head -n 1 || true)}"
if [ -z "$compiler" ]; then
  echo "needs clang++, for example: apt-get install clang-16 libclang-rt-16-dev; or name one in CLANGXX" >&2
  exit 2
fi
build="build/fuzz"
# The checks of vtables and of function types would need a runtime that the preloaded library does not have.
sanitizers="-fsanitize=address,undefined,fuzzer-no-link -fno-sanitize=vptr,function -fno-sanitize-recover=undefined"
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_CXX_FLAGS="-O1 -fno-omit-frame-pointer $sanitizers" -DPython_EXECUTABLE="$python" > /dev/null
cmake --build "$build" --parallel
rm -rf "$build/tree"
mkdir -p "$build/tree" "$build/corpus" "$build/findings"
cp -r inner_distance_gpu "$build/tree/"
cp -r kernels "$build/tree/inner_distance_gpu/"
cp "$build"/_host*.so "$build/tree/inner_distance_gpu/engines/"
"$python" -c '
import hashlib, pathlib, sys
for line in pathlib.Path("tests/fuzz/corpus.txt").read_text().split():
    data = bytes.fromhex(line)
    pathlib.Path(sys.argv[1], hashlib.sha1(data).hexdigest()).write_bytes(data)
' "$build/corpus"
folder="$("$python" -c 'import atheris; print(atheris.path())')"
export LD_PRELOAD="$folder/asan_with_fuzzer.so"
# Leaks: the interpreter's own. Python's small objects by malloc, or ASan would not see them.
export ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1" UBSAN_OPTIONS="print_stacktrace=1" PYTHONMALLOC=malloc
exec "$python" -I tests/fuzz/driver.py "$PWD/$build/tree" "$PWD/tests" "$build/corpus" -artifact_prefix="$build/findings/" \
  -max_total_time="$seconds" -max_len=512 -len_control=0 -timeout=300 -rss_limit_mb=4096 -print_final_stats=1 "$@"
