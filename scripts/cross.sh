#!/bin/bash
# Everything in the Go module, tests too, for every system that it is for: compiled and vetted, without cgo, as released programs
# are (what has not changed comes out of Go's build cache). Also: scripts/cross.sh linux/arm64 ...
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
. scripts/versions.sh
for target in ${*:-$GO_TARGETS}; do
  begin=$SECONDS
  (
    cd wasi
    export CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/}
    "$go" build -trimpath ./...
    "$go" vet -trimpath ./...
  )
  echo "$target: $((SECONDS - begin)) s"
done
