#!/bin/bash
# Formatting and static analysis: clang-format, clang-tidy, tsc, eslint, gofmt, go vet, staticcheck, the Go module on every system
# that it is for, known holes in its dependencies, licences of what is linked.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
. scripts/versions.sh
mapfile -t sources < <(git ls-files 'wasm/*.cpp' 'wasm/*.h' 'tests/engine/*.cpp' 'tests/engine/*.h' 'tests/tools/*.cpp' \
  'tests/capi/*.c*' 'tests/capi/*.h' 'examples/*.c' | grep -vE 'third_party|gudrob')
echo "clang-format: ${#sources[@]} files"
clang-format-19 --dry-run --Werror "${sources[@]}"
mapfile -t engine < <(git ls-files 'wasm/engine/*.cpp' 'wasm/capi/*.cpp')
[ -e build/native/compile_commands.json ] || cmake --preset native > /dev/null
# It takes longer than all the rest: once for the same files, settings and versions.
stamp=build/clang-tidy.ok
seen=$({
  git ls-files -z wasm .clang-tidy | xargs -0 sha256sum build/native/compile_commands.json
  clang-tidy-19 --version
  dpkg-query -W 'libstdc++-*-dev' libc6-dev
} | sha256sum)
if [ "$(cat "$stamp" 2> /dev/null)" = "$seen" ]; then
  echo "clang-tidy: nothing has changed since it was content"
else
  echo "clang-tidy: ${#engine[@]} files"
  printf '%s\n' "${engine[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy-19 --quiet -p build/native 2> >(grep -vE 'warnings? generated|Processing file' >&2)
  echo "$seen" > "$stamp"
fi
# The engine is portable: no host, file, thread, clock or log header.
if grep -nE '#include *<(emscripten|wasi|fstream|iostream|filesystem|thread|mutex|chrono|ctime|time\.h|unistd\.h|sys/)' \
    wasm/engine/*; then
  echo "wasm/engine includes a header of a host" >&2
  exit 1
fi
long=$(wc -l wasm/engine/*.cpp wasm/engine/*.h | awk '$1 > 600 && $2 != "total"')
[ -z "$long" ] || { echo "over 600 lines: $long" >&2; exit 1; }
echo "tsc, eslint"
npm run --silent check
echo "gofmt, go vet, staticcheck"
# Where Go is not on the path, nor is this.
gofmt=$("$go" env GOROOT)/bin/gofmt
unformatted=$("$gofmt" -l examples/cgo)
[ -z "$unformatted" ] || { echo "gofmt: $unformatted" >&2; exit 1; }
for module in wasi tests/callers tests/bench/go; do
  unformatted=$(cd "$module" && "$gofmt" -l .)
  [ -z "$unformatted" ] || { echo "gofmt: $module: $unformatted" >&2; exit 1; }
  (cd "$module" && "$go" vet ./... && "$go" run "honnef.co/go/tools/cmd/staticcheck@$STATICCHECK_VERSION" ./...)
done
echo "Go for every system"
scripts/cross.sh
echo "licences of Go programs"
scripts/go-licenses.sh --check
echo "govulncheck"
scripts/vulncheck.sh
