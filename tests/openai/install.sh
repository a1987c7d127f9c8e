#!/bin/sh
# Installs the official Python client into build/openai-client on the first run and prints its Python.
# Needs Python 3.11 or later with venv (PYTHON=...).
set -eu
cd "$(dirname "$0")/../.."
venv=build/openai-client
stamp=$venv/installed.txt
if ! cmp -s tests/openai/requirements.txt "$stamp"; then
  "${PYTHON:-python3}" -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r tests/openai/requirements.txt
  cp tests/openai/requirements.txt "$stamp"
fi
echo "$PWD/$venv/bin/python"
