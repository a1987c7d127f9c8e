#!/bin/sh
# Does the recipe still give its curve?  check.sh [WORK] [--record]     (make retrain-check)
#
# From nothing: text, tokenizer, the teacher's parameters, latents, then MINUTES of the flow LM at the start of a schedule of HORIZON
# minutes. The errors on held-out sentences, every 100 steps, must be those of logs/first.csv within the tolerances of curve.py.
# On the CPU; about a quarter of an hour. --record writes logs/first.csv: after a change of the recipe.
set -eu
cd "$(dirname "$0")/../../.."
work=build/retrain record=
for argument in "$@"; do
  case $argument in --record) record=--record ;; *) work=$argument ;; esac
done
missing=
for package in gcc libc6-dev flite1-dev bible-kjv fortunes wamerican perl-doc debian-handbook python3.11-doc git-doc jargon-text \
  developers-reference debian-reference-en; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] || { echo "retrain-check: apt-get install --no-install-recommends$missing" >&2; exit 1; }
PY=$(tests/reference/install.sh)
export PY PYTHONDONTWRITEBYTECODE=1 CUDA_VISIBLE_DEVICES= OMP_NUM_THREADS=1
rm -rf "$work"
mkdir -p "$work"
SHARDS=${SHARDS:-5} HORIZON=${HORIZON:-104} UNTIL=train models/starter/training/run.sh "$(realpath "$work")" "${MINUTES:-10}"
"$PY" models/starter/training/curve.py "$work/lm.csv" models/starter/training/logs/first.csv $record
