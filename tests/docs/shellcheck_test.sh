#!/usr/bin/env bash
# Every shell script passes shellcheck. SC2317 is off: it cannot see functions that are called by name.
set -euo pipefail
# shellcheck source=tests/docs/files.sh
source "$(dirname "${BASH_SOURCE[0]}")/files.sh"

scripts=$(project_files '*.sh' '*.bash' .ci/run)
expect_some "$scripts"
# shellcheck disable=SC2086  # a list of paths without blanks
found=$(shellcheck -x -s bash -e SC2317 -f gcc $scripts || true)
expect_none "$found" "What shellcheck finds wrong with the scripts:" "$(wc -w <<<"$scripts") scripts are clean."
