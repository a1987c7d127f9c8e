#!/bin/sh
# Puts a newly trained voice in its place, with everything that is made from it:  models/starter/refresh.sh SOURCE
#
# SOURCE is a folder as training/export.py writes it (config.yaml, model.safetensors, tokenizer.model, voice.safetensors).
# SKIP_EVALUATION=1 leaves the report as it is, which then is about the pack before: make evaluate is due.
set -eu
cd "$(dirname "$0")/../.."
[ $# -eq 1 ] || { echo "usage: models/starter/refresh.sh SOURCE" >&2; exit 2; }
step() { echo "== $*"; "$@"; }
python=$(tests/reference/install.sh)
step make web
step node models/make_pack.mjs "$1" models/starter
(cd wasi && step "${GO:-go}" generate ./starter)
step node tests/hosts/record.mjs
step "$python" tests/reference/check_starter.py --write
step scripts/sample.sh
[ -n "${SKIP_EVALUATION:-}" ] || step models/starter/evaluate/run.sh
echo "Now: look at models/starter/REPORT.md and its pictures, put its figures into README.md and the description in pack.json
(node models/make_pack.mjs $1 models/starter --description '...'; go generate), then make test, then commit it all together."
