#!/usr/bin/env bash
# Build an sdist, from it a wheel for every Python that is named, and try each in an environment that has nothing else.
# Usage: tests/dist.sh [python ...]; what was built stays in dist/. WITH_TORCH=1 also installs the dependencies, which
# needs a torch for that Python; without it the native engine is tried alone.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- python3
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
rm -rf dist
"$1" -m venv "$work/build"
"$work/build/bin/pip" install --quiet build
"$work/build/bin/python" -m build --sdist --outdir dist . > "$work/log" || { cat "$work/log"; exit 1; }
for python in "$@"; do
  "$python" -m venv "$work/empty"
  "$work/empty/bin/pip" wheel --quiet --no-deps --wheel-dir dist dist/*.tar.gz
  wheel="$(ls -t dist/*.whl | head -n 1)"
  if [ -n "${WITH_TORCH:-}" ]; then
    "$work/empty/bin/pip" install --quiet -c constraints.txt "$wheel"
  else
    "$work/empty/bin/pip" install --quiet --no-deps "$wheel"
  fi
  (cd "$work" && "$work/empty/bin/python" -I "$OLDPWD/tests/smoke.py")
  ls -l "$wheel"
  rm -rf "$work/empty"
done
