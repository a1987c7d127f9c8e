#!/bin/sh
# The sample of the starter voice that the README links, by the command that it names:  scripts/sample.sh [OUT]
set -eu
cd "$(dirname "$0")/.."
mkdir -p docs/audio
exec node dist/cli.js generate --quiet --output-path "${1:-docs/audio/starter.wav}" --text \
  "Good morning. This is the starter voice, a small model that runs where you are, without a network."
