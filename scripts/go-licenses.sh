#!/bin/bash
# The terms of the Go modules that end up in programs: writes wasi/cmd/pocket-tts/THIRD_PARTY_LICENSES.txt, which the program
# carries and `pocket-tts licenses` prints. With --check it writes nothing and fails where that file is not current, or where
# NOTICE does not name one of the modules, or one that is no longer there.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go}
. scripts/versions.sh
file=wasi/cmd/pocket-tts/THIRD_PARTY_LICENSES.txt

# What is imported differs from system to system: module, version, its folder, the folder of a package in it.
packages=$(cd wasi && for target in $GO_TARGETS; do
  CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} "$go" list -deps -f \
    '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}} {{$.Dir}}{{end}}{{end}}' ./...
done | sort -u)

# The licence files of a folder, in the order of their names.
terms() { find "$1" -maxdepth 1 -type f | grep -iE '/(un)?licen[cs]e|/copying|/notice|/patents' | LC_ALL=C sort || true; }

# One part of the list: its name and the files.
part() {
  printf '==== %s\n' "$1"
  shift
  for text in "$@"; do
    printf '\n'
    # Lines without the white space at their ends, and no empty ones at the end of the file.
    sed -E 's/[[:space:]]+$//' "$text" | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}'
  done
  printf '\n'
}

write() {
  printf 'The licences of what is in this program. Its own: MIT, Copyright (c) 2026 the pocket-tts-wasm authors.\n\n'
  part "Go, its standard library" "$("$go" env GOROOT)/LICENSE"
  awk '{ print $1, $2, $3 }' <<< "$packages" | LC_ALL=C sort -u | while read -r module version root; do
    mapfile -t texts < <(
      awk -v module="$module" '$1 == module { print $4 }' <<< "$packages" | while read -r folder; do
        # Also those on the way up: a part of a module may come from elsewhere.
        while terms "$folder"; [ "$folder" != "$root" ]; do folder=$(dirname "$folder"); done
      done | LC_ALL=C sort -u
    )
    [ "${#texts[@]}" -gt 0 ] || { echo "$module $version: no licence file" >&2; exit 1; }
    part "$module $version" "${texts[@]}"
  done
  find wasm/third_party -iname 'LICENSE*' | LC_ALL=C sort | while read -r text; do
    library=${text#wasm/third_party/}
    library=${library%/*}
    part "$(sed 's!/upstream!!; s!/third_party!!' <<< "$library"), in the engine's module" "$text"
  done
}

if [ "${1:-}" != --check ]; then
  write > "$file.new"
  mv "$file.new" "$file"
  exit
fi
write | cmp - "$file" || { echo "$file is not current: run scripts/go-licenses.sh and commit it" >&2; exit 1; }
linked=$(awk '{ print $1 }' <<< "$packages" | LC_ALL=C sort -u)
named=$(sed -n '/^In Go programs/,/^In the repository/p' NOTICE | grep -oE '\b[a-z0-9.-]+\.(com|in|org)/[A-Za-z0-9_./-]+' | LC_ALL=C sort -u)
diff <(echo "$linked") <(echo "$named") > /dev/null || {
  echo "NOTICE, In Go programs: < is linked and not named, > is named and not linked" >&2
  diff <(echo "$linked") <(echo "$named") | grep '^[<>]' >&2
  exit 1
}
