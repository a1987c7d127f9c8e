#!/bin/bash
# All tests, as `make test` runs them. What they need is built first; then they run in sections, as many at a time as there are
# cores, but for the browsers, which have the machine to themselves. Each section is one line with its seconds. What it wrote
# is in build/tests/NAME.log, and is shown when it fails; from then on nothing more is started.
#
#   scripts/test.sh                  all of them but lint
#   scripts/test.sh --lint           all of them
#   scripts/test.sh SECTION...       these, with what they need
#   JOBS=1 scripts/test.sh           one after the other
set -euo pipefail
cd "$(dirname "$0")/.."
export GO=${GO:-go}
jobs=${JOBS:-$(nproc)}
logs=build/tests

# Each section, what has to be made for it, and what it is. The longest go first, so that none of them is left alone at the end.
sections() {
  cat << END
browsers  web                Chromium, Firefox and WebKit: the package, the player, downloads, the pages
race      guest              Go tests with the race detector
node      web                Node tests
bundlers  web                bundlers and other ways to the package
go        guest              Go tests
lint      web,native-tree    formatting and static analysis
asan      native-asan        native tests and parity with every access checked
openai    guest              OpenAI's clients against the server
callers   guest              a Go program that calls the program and its server
parity    web,native,guest   the reference's goldens through native code, Node and Go
native    native             native tests; the samples of the other hosts
capi      native             the C library, its example in C and that in Go
END
}

# ---- what sections need, made one after the other: each uses every core ------------------------------------------------

made_web() { make web; }
made_native() { make native; }
made_native_asan() { make native-asan; }
# clang-tidy reads how files are compiled.
made_native_tree() { [ -e build/native/compile_commands.json ] || cmake --preset native; }
made_guest() {
  make wasi
  cmp build/wasi/pocket_tts.wasm wasi/internal/guest/pocket_tts.wasm || {
    echo "wasi/internal/guest/pocket_tts.wasm is not what these sources build: run 'make guest' and commit it" >&2
    return 1
  }
}

# ---- sections ------------------------------------------------------------------------------------------------------------

section_native() {
  build/native/engine_tests --gtest_brief=1
  node --test tests/hosts/native.test.mjs
}
section_asan() {
  build/native-asan/engine_tests --gtest_brief=1
  build/native-asan/capi_tests --gtest_brief=1
  node tests/parity/parity.mjs --quiet --door build/native-asan/parity_door tests/golden
}
section_capi() { scripts/capi.sh; }
section_node() { npm test --silent; }
section_browsers() { npm run --silent test:browser; }
section_bundlers() { npm run --silent test:bundlers; }
section_go() { cd wasi && "$GO" test ./...; }
section_callers() { cd tests/callers && "$GO" test -count=1 .; }
section_openai() { cd tests/openai && "$GO" test -count=1 .; }
# The race detector needs a C compiler; the pinned one is there.
section_race() { cd wasi && CGO_ENABLED=1 CC=clang-19 "$GO" test -race -short .; }
section_parity() {
  for host in native node go; do node tests/parity/parity.mjs --quiet --host "$host" tests/golden; done
}
section_lint() { scripts/lint.sh; }

# ---- the run -------------------------------------------------------------------------------------------------------------

mkdir -p "$logs"
declare -A needs=() begin=() name_of=()
failed=()

# Runs a function with its output in a log.
logged() { ( set -euo pipefail; "$2" ) > "$logs/$1.log" 2>&1 < /dev/null; }
ended() {
  local name=$1 status=$2 seconds=$((SECONDS - ${begin[$1]}))
  if [ "$status" -eq 0 ]; then
    echo "$name: passed, $seconds s"
  else
    failed+=("$name")
    echo "$name: FAILED after $seconds s; $logs/$name.log:"
    cat "$logs/$name.log"
    echo "---- $name: FAILED, exit status $status"
  fi
}

make_ready() {
  local name=make-$1 status
  begin[$name]=$SECONDS
  # Not in a condition: there bash would go on behind a command that fails.
  set +e
  logged "$name" "made_${1//-/_}"
  status=$?
  set -e
  ended "$name" $status
  [ $status -eq 0 ] || exit 1
}

asked=" $* "
wanted=()
while read -r name need _; do
  needs[$name]=$need
  case $asked in
    "  ") [ "$name" = lint ] || wanted+=("$name") ;;
    *" --lint "* | *" $name "*) wanted+=("$name") ;;
  esac
done < <(sections)
for each in "$@"; do
  [ "$each" = --lint ] || [ -n "${needs[$each]:-}" ] || { echo "No section \"$each\". There are:" >&2; sections >&2; exit 2; }
done

begin[set-up]=$SECONDS
scripts/setup.sh --tests
ended set-up 0
for need in guest web native native-asan native-tree; do
  for name in "${wanted[@]}"; do
    case ,${needs[$name]}, in *,"$need",*) make_ready "$need"; break ;; esac
  done
done

# A process group for each section, so that an interrupt ends all of it.
set -m
stop() {
  trap - INT TERM
  for pid in "${!name_of[@]}"; do kill -TERM -- "-$pid" 2> /dev/null || true; done
  exit 130
}
trap stop INT TERM

next_to_end() {
  local pid status=0
  wait -n -p pid || status=$?
  ended "${name_of[$pid]}" $status
  unset "name_of[$pid]"
}
for name in "${wanted[@]}"; do
  while [ ${#name_of[@]} -ge "$jobs" ]; do next_to_end; done
  [ ${#failed[@]} -eq 0 ] || break
  begin[$name]=$SECONDS
  logged "$name" "section_$name" &
  name_of[$!]=$name
  # Browsers play in real time, and WebKit under load has crashed and stood still.
  if [ "$name" = browsers ]; then next_to_end; fi
done
while [ ${#name_of[@]} -gt 0 ]; do next_to_end; done

if [ ${#failed[@]} -gt 0 ]; then
  echo "Failed after $SECONDS s: ${failed[*]}" >&2
  exit 1
fi
echo "Passed in $SECONDS s: ${wanted[*]}"
