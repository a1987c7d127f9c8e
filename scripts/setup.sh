#!/bin/sh
# Makes a fresh Debian 12 machine ready to build: the pinned compilers, and Emscripten in .toolchain/emscripten.
# Idempotent, and quick when nothing is missing.  A different version of a pinned package is an error that names both.
#
#   scripts/setup.sh             what `make speak` needs
#   scripts/setup.sh --tests     also what `make test` needs (GoogleTest is always there; this adds three browsers and a Python client)
#
# Needs git, make, Node and Go; says how to get them when they are missing.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
. "$here/versions.sh"

want_tests=0
for argument in "$@"; do
  case $argument in
    --tests) want_tests=1 ;;
    *) echo "usage: scripts/setup.sh [--tests]" >&2; exit 2 ;;
  esac
done

problems=0
problem() { echo "setup: $*" >&2; problems=1; }

# 1. What only the owner of the machine can choose.
command -v make > /dev/null || problem "make is missing: apt-get install make"
command -v git > /dev/null || problem "git is missing: apt-get install git"
if command -v node > /dev/null; then
  found=$(node --version | sed 's/^v\([0-9]*\).*/\1/')
  [ "$found" -ge "$NODE_MAJOR" ] || problem "Node: expected version $NODE_MAJOR or later, found $(node --version)." \
    "Get it from https://nodejs.org/en/download"
else
  problem "Node is missing: version $NODE_MAJOR or later from https://nodejs.org/en/download"
fi
go=go
command -v go > /dev/null || { [ -x /usr/local/go/bin/go ] && go=/usr/local/go/bin/go; }
if command -v $go > /dev/null; then
  version=$(GOTOOLCHAIN=local $go env GOVERSION)
  major=$(echo "$version" | sed -n 's/^go\([0-9]*\)\..*/\1/p')
  minor=$(echo "$version" | sed -n 's/^go[0-9]*\.\([0-9]*\).*/\1/p')
  # A development build has no number: let it through, the build will tell.
  if [ -n "$major" ] && [ "$major" -eq 1 ] && [ "$minor" -lt "$GO_MINOR" ]; then
    problem "Go: expected version 1.$GO_MINOR or later, found $version. Get it from https://go.dev/dl/"
  fi
else
  problem "Go is missing: version 1.$GO_MINOR or later from https://go.dev/dl/"
fi
[ "$(uname -s)" = Linux ] && [ "$(uname -m)" = x86_64 ] ||
  problem "this set-up knows Debian 12 on x86_64; found $(uname -s) on $(uname -m)"
command -v dpkg-query > /dev/null || problem "dpkg-query is missing: this set-up knows Debian 12 only"
[ $problems -eq 0 ] || exit 1

# 2. Packages.
version_of() { dpkg-query -W -f '${db:Status-Status} ${Version}' "$1" 2> /dev/null | sed -n 's/^installed //p'; }
missing=
for pin in $PINNED_PACKAGES; do
  name=${pin%%=*}
  expected=${pin#*=}
  found=$(version_of "$name")
  if [ -z "$found" ]; then
    missing="$missing $pin"
  elif [ "$found" != "$expected" ]; then
    problem "$name: expected version $expected, found $found." \
      "(apt-get install --allow-downgrades $name=$expected puts the pinned one there)"
  fi
done
[ $problems -eq 0 ] || exit 1
plain=$PLAIN_PACKAGES
[ $want_tests -eq 0 ] || plain="$plain $TEST_PACKAGES"
for name in $plain; do
  [ -n "$(version_of "$name")" ] || missing="$missing $name"
done
if [ -n "$missing" ]; then
  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo > /dev/null; then
      as_root=sudo
    else
      problem "these packages are missing and this is not root: apt-get install$missing"
      exit 1
    fi
  fi
  echo "Installing:$missing" >&2
  $as_root apt-get update -qq >&2
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -yq --no-install-recommends $missing >&2 || {
    for pin in $missing; do
      case $pin in *=*) ;; *) continue ;; esac
      candidate=$(apt-cache policy "${pin%%=*}" | sed -n 's/^ *Candidate: //p')
      [ "$candidate" = "${pin#*=}" ] ||
        problem "${pin%%=*}: expected version ${pin#*=}, this machine's mirror offers ${candidate:-none}"
    done
    problem "apt-get install failed"
    exit 1
  }
fi

# 3. Emscripten.
"$here/install-emscripten.sh"

# 4. The client of the Wyoming tests.
[ $want_tests -eq 0 ] || "$here/../tests/wyoming/install.sh" > /dev/null
