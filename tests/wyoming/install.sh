#!/bin/sh
# Installs the Python client of the Wyoming protocol into build/wyoming-client on the first run and prints its Python.
# WYOMING_PYTHON=... is one that has requirements.txt already.
set -eu
cd "$(dirname "$0")/../.."
if [ -n "${WYOMING_PYTHON:-}" ]; then
  echo "$WYOMING_PYTHON"
  exit
fi
venv=build/wyoming-client
stamp=$venv/installed.txt
if ! cmp -s tests/wyoming/requirements.txt "$stamp"; then
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/wyoming/requirements.txt
  cp tests/wyoming/requirements.txt "$stamp"
fi
echo "$PWD/$venv/bin/python"
