#!/bin/bash
# What the benchmark needs, below build/bench (about 8 GB: PyTorch, packs, graphs). Idempotent; quick when all is there.
#
#   tests/bench/setup.sh [PACK ...]        packs to make; default: all
#
# Installs Firefox (Debian's) as root where it is missing; without it its rows are left out.
set -euo pipefail
cd "$(dirname "$0")/../.."
export PYTHONDONTWRITEBYTECODE=1
build=build/bench
here=tests/bench
dist=${BENCH_DIST:-dist}
packs=("$@")
[ ${#packs[@]} -gt 0 ] || packs=(100m 18m 7m 2m starter)
mkdir -p "$build/node" "$build/packs"

# Python: the reference with its int8 extra, onnx, onnxruntime.
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "expected Python 3.11 or later, found $("$python" --version 2>&1); set PYTHON=/path/to/python3" >&2
  exit 1
}
stamp=$build/venv/installed.txt
if ! cat tests/reference/requirements.txt $here/requirements.txt | cmp -s - "$stamp"; then
  echo "Installing the Python reference, PyTorch and onnxruntime" >&2
  "$python" -m venv "$build/venv"
  "$build/venv/bin/pip" install --quiet --disable-pip-version-check -r $here/requirements.txt
  cat tests/reference/requirements.txt $here/requirements.txt > "$stamp"
fi

# onnxruntime-web and the driver of Firefox.
if ! cmp -s $here/package-lock.json "$build/node/.ok"; then
  cp $here/package.json $here/package-lock.json .npmrc "$build/node/"
  (cd "$build/node" && npm ci --no-audit --no-fund --loglevel=error)
  cp $here/package-lock.json "$build/node/.ok"
fi
if [ ! -x "${FIREFOX:-/usr/bin/firefox-esr}" ] && [ "$(id -u)" -eq 0 ]; then
  apt-get update -qq >&2 && DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends firefox-esr >&2 ||
    echo "Firefox could not be installed: its rows are left out" >&2
fi

# Packs, and their graphs: made again when what makes them has changed.
for pack in "${packs[@]}"; do
  folder=$build/packs/$pack
  sources=($here/make_packs.py tests/reference/make_fixtures.py $here/export_onnx.py $here/onnx_host.py)
  [ "$pack" != starter ] || sources+=(models/starter/pack.json)
  made=$(cat "${sources[@]}" | sha256sum)
  [ "$made" != "$(cat "$folder/.made" 2> /dev/null)" ] || continue
  rm -rf "$folder"
  "$build/venv/bin/python" $here/make_packs.py --out "$build/packs" --starter models/starter --packs "$pack"
  [ "$pack" = starter ] || node models/make_pack.mjs "$folder" "$folder" --name "$pack" > /dev/null
  "$build/venv/bin/python" $here/export_onnx.py "$folder"
  echo "$made" > "$folder/.made"
done

# The packs in 8 and 4 bits, as a user would convert them; without the part that makes voices. A version that cannot
# convert speaks the f32 files with that precision.
node "$dist/cli.js" packs convert --help > /dev/null 2>&1 && converts=1 || converts=0
for pack in "${packs[@]}"; do
  [ $converts -eq 1 ] || break
  for precision in q8 q4; do
    folder=$build/packs/$pack-$precision
    made=$(cat "$build/packs/$pack/.made" "$dist/pocket_tts.wasm" | sha256sum)
    [ "$made" != "$(cat "$folder/.made" 2> /dev/null)" ] || continue
    rm -rf "$folder"
    node "$dist/cli.js" packs convert "$build/packs/$pack" "$folder" --precision $precision --without-encoder
    echo "$made" > "$folder/.made"
  done
done

# The program for Go.
(cd $here/go && "${GO:-go}" build -o "../../../$build/bench-go" .)
