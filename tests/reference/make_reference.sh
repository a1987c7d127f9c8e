#!/bin/sh
# Fresh goldens from the Python reference:  tests/reference/make_reference.sh [OUT [options of make_fixtures.py]]
#
# install.sh installs it on the first run; OUT is .reference/goldens unless given. Then `make parity DIR=OUT` compares the
# engine with them.
set -eu
cd "$(dirname "$0")/../.."
out=${1:-.reference/goldens}
[ $# -gt 0 ] && shift
python=$(tests/reference/install.sh)
exec "$python" tests/reference/make_fixtures.py --out "$out" "$@"
