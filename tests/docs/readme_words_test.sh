#!/usr/bin/env bash
# The project speaks of the product alone: no paths of the machine it was written on, no left-over notes, and every
# file that README.md names exists.
set -euo pipefail
# shellcheck source=tests/docs/files.sh
source "$(dirname "${BASH_SOURCE[0]}")/files.sh"

this_test=tests/docs/readme_words_test.sh
texts=$(project_files README.md '*.sh' '*.md' '*.h' '*.cc' 'man/*' '*.txt' '*.cmake' '*.json' .ci/run | grep -vx "$this_test")
expect_some "$texts"
words='(^|[^[:alnum:]_.~])/(work|home|root)/|\b(TODO|FIXME|XXX|HACK)\b|not (yet )?implemented|\bunimplemented\b'
# shellcheck disable=SC2086  # a list of paths without blanks
found=$(grep -nE "$words" $texts || true)
expect_none "$found" "Words that do not belong here:" "$(wc -w <<<"$texts") texts are free of words that do not belong."

named=$(grep -oE '\b(cli|cmake|core|storage|tests|man|completions)/[A-Za-z0-9_./-]*[A-Za-z0-9_]' README.md | sort -u)
found=$(while read -r path; do [ -z "$path" ] || [ -e "$path" ] || echo "$path"; done <<<"$named")
expect_none "$found" "README.md names what does not exist:" "Every file named in README.md exists."
