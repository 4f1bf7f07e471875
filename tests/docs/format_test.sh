#!/usr/bin/env bash
# Every C++ file is as clang-format would write it. To mend: clang-format -i FILE
set -euo pipefail
# shellcheck source=tests/docs/files.sh
source "$(dirname "${BASH_SOURCE[0]}")/files.sh"

sources=$(project_files '*.h' '*.cc')
expect_some "$sources"
# shellcheck disable=SC2086  # a list of paths without blanks
found=$(clang-format --dry-run $sources 2>&1 | awk -F: '/warning: code should be clang-formatted/ {print $1 ":" $2}' | uniq)
expect_none "$found" "Not as clang-format writes it (mend with: clang-format -i FILE):" \
  "$(wc -w <<<"$sources") files are formatted."
