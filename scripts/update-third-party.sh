#!/bin/sh
# Fetches the vendored libraries again, from the pinned source packages of the Python index or the pinned commits of
# their repositories, and unpacks the files that their files.txt lists.  For developers: building never runs this.  `git diff` afterwards shows what changed:
# nothing, unless a version below was raised (then raise it in the README beside the files, too).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# unpack NAME VERSION SHA256 FOLDER-IN-THE-ARCHIVE TARGET
unpack() {
  echo "$1==$2 --hash=sha256:$3" > "$work/requirement.txt"
  python3 -m pip download -q --no-deps --no-binary :all: --require-hashes -r "$work/requirement.txt" -d "$work"
  tar -xzf "$work/$1-$2.tar.gz" -C "$work"
  while read -r file; do
    mkdir -p "$root/$5/upstream/$(dirname "$file")"
    cp "$work/$1-$2/$4$file" "$root/$5/upstream/$file"
    chmod 644 "$root/$5/upstream/$file"
  done < "$root/$5/files.txt"
}

unpack sentencepiece 0.2.1 8138cec27c2f2282f4a34d9a016e3374cd40e5c6e9cb335063db66a0a3b71fad sentencepiece/ \
  wasm/third_party/sentencepiece
unpack yyjson 4.0.6 fcd4dc15c1e39a30bf9fa85d56903029111506860fc3080ab0d81c6c6dacaa8c "" wasm/third_party/yyjson

# checkout REPOSITORY COMMIT NAME TARGET: the files of TARGET/files.txt below NAME/
checkout() {
  git init -q "$work/$3"
  git -C "$work/$3" fetch -q --depth 1 "https://github.com/$1" "$2"
  grep "^$3/" "$root/$4/files.txt" | while read -r file; do
    mkdir -p "$root/$4/upstream/$(dirname "$file")"
    git -C "$work/$3" show "$2:${file#*/}" > "$root/$4/upstream/$file"
  done
}

checkout Signalsmith-Audio/signalsmith-stretch 2133f41a8f2766d2ade2e665fcf04f9ff7fd74a7 signalsmith-stretch \
  wasm/third_party/signalsmith
checkout Signalsmith-Audio/linear 54faa9e9b2df4af625ce11823bbe641d89febb07 signalsmith-linear \
  wasm/third_party/signalsmith
checkout amosnier/sha-2 565f65009bdd98267361b17d50cddd7c9beb3e6c sha-2 wasm/capi/third_party/sha-2
checkout yaml/libyaml 840b65c40675e2d06bf40405ad3f12dec7f35923 libyaml wasm/capi/third_party/libyaml
