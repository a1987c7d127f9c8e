#!/bin/sh
# models/starter/REPORT.md from measurements:  run.sh [WORK]     (make evaluate; half an hour on one core, a third when repeated)
# Speech and what was heard stay in WORK (build/evaluate). Needs no torch: Debian's numpy, pocketsphinx and flite.
set -eu
cd "$(dirname "$0")/../../.."
missing=
for package in gcc libc6-dev flite1-dev python3-numpy python3-pocketsphinx pocketsphinx-en-us; do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing="$missing $package"
done
[ -z "$missing" ] || { echo "evaluate: apt-get install --no-install-recommends$missing" >&2; exit 1; }
[ -e dist/node.js ] || { echo "evaluate: run make web first" >&2; exit 1; }
export PYTHONDONTWRITEBYTECODE=1 OMP_NUM_THREADS=1
exec /usr/bin/python3 models/starter/evaluate/evaluate.py "${1:-build/evaluate}"
