#!/bin/bash
# Fuzzes the targets of the Go module (as package.Target) that match FUZZ (all), each for FUZZTIME (5m), and writes docs/fuzz.md of the newest run of
# each. Go writes what it finds into testdata, beside the corpus; the output of each target stays in build/fuzz.
set -euo pipefail
cd "$(dirname "$0")/../wasi"
go=${GO:-go} logs=../build/fuzz found=0
mkdir -p $logs
if [ -z "${FUZZ:-}" ]; then rm -f $logs/*; fi
while IFS=: read -r file target; do
  folder=$(dirname "$file")
  package=$(basename "$(cd "$folder" && pwd)")
  [[ "$package.$target" =~ ${FUZZ:-} ]] || continue
  echo "==== $target in $folder"
  log=$logs/$package.$target.log
  {
    echo "commit $(git log -1 --format=%h -- .)$([ -z "$(git status --porcelain -- .)" ] || echo '+')"
    "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-5m}" -fuzzminimizetime 5s "./$folder" 2>&1 < /dev/null && echo "no finding" ||
      echo "FINDING"
  } > "$log.part"
  mv "$log.part" "$log"
  tail -2 "$log"
  ! grep -q '^FINDING' "$log" || found=1
done < <(grep -rHo --include='*_test.go' '^func Fuzz[A-Za-z0-9]*' . | sed 's/^\.\///; s/:func /:/' | sort)
{
  echo "# Fuzzing of what comes from networks and files"
  echo
  echo "Made by \`make fuzz\`: the newest run of each target of the Go module. Values are those of Go's fuzzer; the corpus that it grew from is"
  echo "committed beside each target (testdata/fuzz) and runs with every \`go test\`."
  echo
  echo "| package | target | commit | time | executions | inputs that reach new code | result |"
  echo "| --- | --- | --- | --- | ---: | ---: | --- |"
  for log in $logs/*.log; do
    name=$(basename "$log" .log)
    awk -v package="${name%.*}" -v target="${name##*.}" '
      /^commit / { commit = $2 }
      /^fuzz: elapsed:/ { time = $3; sub(",", "", time); executions = $5; total = $0; sub(/.*total: /, "", total); sub(/\).*/, "", total) }
      /^no finding|^FINDING/ { result = tolower($0) }
      END { printf "| %s | %s | %s | %s | %s | %s | %s |\n", package, target, commit, time, executions, total, result }' "$log"
  done
} > ../docs/fuzz.md
exit $found
