#!/bin/sh
# Installs the pinned Python reference into .reference/venv (several GB: torch) on the first run and prints its Python.
# Needs Python 3.11 or later with venv (PYTHON=...). REFERENCE_PYTHON=... is one that has requirements.txt already.
set -eu
cd "$(dirname "$0")/../.."
if [ -n "${REFERENCE_PYTHON:-}" ]; then
  "$REFERENCE_PYTHON" -c 'import pocket_tts, torch' || {
    echo "REFERENCE_PYTHON=$REFERENCE_PYTHON lacks the packages of tests/reference/requirements.txt" >&2
    exit 1
  }
  echo "$REFERENCE_PYTHON"
  exit
fi
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
echo "$PWD/$venv/bin/python"
