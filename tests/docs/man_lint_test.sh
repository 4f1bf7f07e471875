#!/usr/bin/env bash
# The manual pages are correct mdoc or man source, down to style.
set -euo pipefail
# shellcheck source=tests/docs/files.sh
source "$(dirname "${BASH_SOURCE[0]}")/files.sh"

pages=$(project_files 'man/*.[1-8]')
expect_some "$pages"
# Cross references to pages of other packages cannot be looked up here. By lines: what mandoc writes to its two outputs
# must not be mixed within one.
# shellcheck disable=SC2086  # a list of paths without blanks
found=$(stdbuf -oL mandoc -T lint -W style $pages 2>&1 | grep -vE 'referenced manual not found|outdated mandoc.db' || true)
expect_none "$found" "What mandoc finds wrong with the manual pages:" \
  "$(wc -w <<<"$pages") manual pages are clean."
