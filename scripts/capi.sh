#!/bin/bash
# The tests of the C library, after `make native`: the library and its example, threads under their sanitizer, the Go example.
set -euo pipefail
cd "$(dirname "$0")/.."
build/native/capi_tests --gtest_brief=1
cmake --build --preset native --target capi_threads > build/capi_threads.log || { cat build/capi_threads.log; exit 1; }
build/native/capi_threads
cd examples/cgo
export CGO_ENABLED=1 CC=clang-19
export CGO_CFLAGS="-I$PWD/../../wasm/capi/include" CGO_LDFLAGS="-L$PWD/../../build/native -Wl,-rpath,$PWD/../../build/native"
"${GO:-go}" vet .
"${GO:-go}" test -count=1 -race .
