#!/bin/bash
# The tests in browsers, a file after the other. WebKitGTK has crashed, and its sound stood still, in one run of four on a busy machine:
# a file that fails is run once more, and only what fails twice is a fault. Both runs are shown.
set -euo pipefail
cd "$(dirname "$0")/.."
failed=()
for file in tests/browser/*.test.mjs; do
  for attempt in first second; do
    # Five minutes for a file; the longest takes two.
    if timeout --kill-after=10 300 node --test --test-reporter=spec "$file"; then continue 2; fi
    echo "---- $file failed in its $attempt run"
  done
  failed+=("$file")
done
[ ${#failed[@]} -eq 0 ] || { echo "Failed twice: ${failed[*]}" >&2; exit 1; }
