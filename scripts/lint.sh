#!/bin/bash
# Formatting and static analysis: clang-format, clang-tidy, tsc, eslint, gofmt, go vet, staticcheck.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
mapfile -t sources < <(git ls-files 'wasm/*.cpp' 'wasm/*.h' 'tests/engine/*.cpp' 'tests/engine/*.h' 'tests/tools/*.cpp' |
  grep -v third_party)
echo "clang-format: ${#sources[@]} files"
clang-format-19 --dry-run --Werror "${sources[@]}"
mapfile -t engine < <(git ls-files 'wasm/engine/*.cpp')
echo "clang-tidy: ${#engine[@]} files"
[ -e build/native/compile_commands.json ] || cmake --preset native > /dev/null
printf '%s\n' "${engine[@]}" | xargs -P "$(nproc)" -n 4 clang-tidy-19 --quiet -p build/native 2> >(grep -vE 'warnings? generated|Processing file' >&2)
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
for module in wasi tests/bench/go; do
  unformatted=$(cd "$module" && gofmt -l .)
  [ -z "$unformatted" ] || { echo "gofmt: $module: $unformatted" >&2; exit 1; }
  (cd "$module" && "$go" vet ./... && "$go" run honnef.co/go/tools/cmd/staticcheck@v0.8.2 ./...)
done
