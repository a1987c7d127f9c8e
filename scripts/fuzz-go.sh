#!/bin/bash
# Fuzzes every target of the Go module, each for FUZZTIME (5m). Go writes what it finds into testdata, beside the corpus.
set -euo pipefail
cd "$(dirname "$0")/../wasi"
go=${GO:-go}
for package in $("$go" list ./...); do
  for target in $("$go" test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    echo "==== $target in $package"
    "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5m}" -fuzzminimizetime 5s "$package"
  done
done
