#!/usr/bin/env bash
# A file stays one thing: at most 400 lines in the product and its scripts, 600 in tests.
set -euo pipefail
# shellcheck source=tests/docs/files.sh
source "$(dirname "${BASH_SOURCE[0]}")/files.sh"

product=$(project_files 'cli/*' 'core/*' 'storage/*' 'cmake/*' 'tests/*.sh' CMakeLists.txt)
tests=$(project_files 'tests/*.cc' 'tests/*.h')
expect_some "$product"
expect_some "$tests"
# shellcheck disable=SC2086  # lists of paths without blanks
found=$(
  wc -l $product | awk '$2 != "total" && $1 > 400 {print $2 ": " $1 " lines, at most 400"}'
  wc -l $tests | awk '$2 != "total" && $1 > 600 {print $2 ": " $1 " lines, at most 600"}'
)
expect_none "$found" "Files that grew too long (split them where they hold two things):" \
  "$(wc -w <<<"$product $tests") files keep to their size."
