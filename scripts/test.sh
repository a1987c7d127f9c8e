#!/bin/bash
# All tests, as `make test` runs them. Sections stop at the first failure; each prints how long it took.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
mkdir -p build

section() {
  local name=$1 begin=$SECONDS; shift
  echo "==== $name"
  "$@"
  echo "---- $name: $((SECONDS - begin)) s"
}
sanitized() {
  make native-asan
  build/native-asan/engine_tests --gtest_brief=1
  # The goldens again with every access checked.
  node tests/parity/parity.mjs --quiet --door build/native-asan/parity_door tests/golden
}
native() {
  make native
  build/native/engine_tests --gtest_brief=1
}
guest_is_current() {
  make wasi
  cmp build/wasi/pocket_tts.wasm wasi/internal/guest/pocket_tts.wasm || {
    echo "wasi/internal/guest/pocket_tts.wasm is not what these sources build: run 'make guest' and commit it" >&2
    exit 1
  }
}
go_tests() { (cd wasi && "$go" test ./...); }
openai_clients() { (cd tests/openai && "$go" test -count=1 .); }
# The race detector needs a C compiler; the pinned one is there.
go_race() { (cd wasi && CGO_ENABLED=1 CC=clang-19 "$go" test -race -short .); }

section "set-up" scripts/setup.sh --tests
section "WebAssembly for Go" guest_is_current
section "WebAssembly for Node and browsers, npm package" make web
section "native tests" native
section "native tests with sanitizers" sanitized
section "the same samples: native" node --test tests/hosts/native.test.mjs
section "Node tests" npm test --silent
section "Chromium, Firefox, WebKit" npm run --silent test:browser
section "bundlers and other ways to the package" npm run --silent test:bundlers
section "Go tests" go_tests
section "OpenAI's clients against the server" openai_clients
section "Go tests with the race detector" go_race
for host in native node go; do
  section "parity through $host" node tests/parity/parity.mjs --quiet --host "$host" tests/golden
done
echo "All tests passed in $SECONDS s."
