#!/bin/bash
# Speaks a sentence with the starter voice through Node and through Go, and compares the sound.
#
#   scripts/speak.sh "Text."       -> hello.wav (Node), hello-go.wav
set -euo pipefail
cd "$(dirname "$0")/.."
text=$1
if [ -z "${text//[[:space:]]/}" ]; then
  echo 'There is nothing to speak: make speak TEXT="..."' >&2
  exit 1
fi
go=${GO:-go}

say() {
  local name=$1; shift
  echo "== $name"
  "$@" generate "--text=$text" --output-path "$wav"
}
wav=$PWD/hello.wav say "Node" node dist/cli.js
mkdir -p build
(cd wasi && "$go" build -o ../build/pocket-tts ./cmd/pocket-tts)
wav=$PWD/hello-go.wav say "Go (wazero)" build/pocket-tts

echo "== PCM"
pcm_hash() { tail -c +45 "$1" | sha256sum | cut -d' ' -f1; }
node_hash=$(pcm_hash hello.wav)
go_hash=$(pcm_hash hello-go.wav)
echo "Node  $node_hash  hello.wav"
echo "Go    $go_hash  hello-go.wav"
if [ "$node_hash" != "$go_hash" ]; then
  echo "The two hosts differ: the same request must give the same samples." >&2
  exit 1
fi
echo "identical: $(( ($(stat -c %s hello.wav) - 44) / 48 )) ms of 24 kHz sound, the last 200 ms of it silence"
