#!/bin/sh
# Fresh goldens from the Python reference:  tests/reference/make_reference.sh [OUT [options of make_fixtures.py]]
#
# Installs the pinned reference into .reference/venv (several GB: torch) on the first run; OUT is .reference/goldens unless
# given. Then `make parity DIR=OUT` compares the engine with them. Needs Python 3.11 or later with venv.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-.reference/goldens}
[ $# -gt 0 ] && shift
python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "expected Python 3.11 or later, found $("$python" --version 2>&1); set PYTHON=/path/to/python3" >&2
  exit 1
}
venv=.reference/venv
stamp=$venv/installed.txt
if ! cmp -s tests/reference/requirements.txt "$stamp"; then
  "$python" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/reference/requirements.txt
  cp tests/reference/requirements.txt "$stamp"
fi
exec "$venv/bin/python" tests/reference/make_fixtures.py --out "$out" "$@"
