#!/bin/sh
# Compile engine `cpu` for arm64, where it has no SIMD level but the portable one, run it in qemu, and compare every result
# with those of this machine, bit by bit. Takes (Debian) g++-aarch64-linux-gnu and qemu-user-static.
set -eu
cd "$(dirname "$0")/.."
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
sources="tests/portable.cpp kernels/plan.cpp kernels/classes.cpp $(echo kernels/cpu/*.cpp)"
flags="-std=c++17 -Ikernels -O3 -ffp-contract=off -fno-math-errno -pthread -static"
"${CXX:-g++}" $flags $sources -o "$work/here"
"${ARM64_CXX:-aarch64-linux-gnu-g++}" $flags $sources -o "$work/arm64"
"$work/here" > "$work/here.txt"
"${QEMU:-qemu-aarch64-static}" "$work/arm64" > "$work/arm64.txt"
cmp "$work/here.txt" "$work/arm64.txt"
echo "$(wc -l < "$work/arm64.txt") results of arm64 have the bits of $(uname -m)"
