#!/usr/bin/env bash
# Includes point one way only: cli -> core -> storage, and inside core from a stage to model and to stages on its left.
set -euo pipefail
# shellcheck source=tests/docs/files.sh
source "$(dirname "${BASH_SOURCE[0]}")/files.sh"

sources=$(project_files 'cli/*.h' 'cli/*.cc' 'core/*.h' 'core/*.cc' 'storage/*.h' 'storage/*.cc')
expect_some "$sources"
# shellcheck disable=SC2086  # a list of paths without blanks
found=$(awk '
  BEGIN {
    layers = split("storage core cli", layer_order)
    for (i = 1; i <= layers; i++) layer[layer_order[i]] = i
    stages = split("model source changes transfer vault points serve failover jobs", stage_order)
    for (i = 1; i <= stages; i++) stage[stage_order[i]] = i
    wing["source"] = wing["changes"] = wing["transfer"] = "source"
    wing["vault"] = wing["points"] = wing["serve"] = "vault"
  }
  function complain(why) { printf "%s:%d: %s (%s)\n", FILENAME, FNR, $0, why }
  /^#include "/ {
    split(FILENAME, from, "/")
    split($0, quoted, "\"")
    split(quoted[2], to, "/")
    if (!(to[1] in layer)) { complain("includes start at the root"); next }
    if (layer[to[1]] > layer[from[1]]) { complain(from[1] " must not include " to[1]); next }
    if (from[1] != "core" || to[1] != "core" || from[2] == to[2]) next
    if (to[2] == "state") {
      if (from[2] != "jobs") complain("only jobs includes state")
    } else if (from[2] == "state") {
      if (to[2] != "model") complain("state includes model only")
    } else if (!(from[2] in stage) || !(to[2] in stage)) {
      complain("a stage that has no place in the order")
    } else if (stage[to[2]] > stage[from[2]]) {
      complain(to[2] " stands to the right of " from[2])
    } else if (wing[from[2]] != "" && wing[to[2]] != "" && wing[from[2]] != wing[to[2]]) {
      complain("the " wing[from[2]] " wing and the " wing[to[2]] " wing meet only in failover and jobs")
    }
  }' $sources)
expect_none "$found" "Includes against cli -> core -> storage, or against the order of core's stages:" \
  "$(wc -w <<<"$sources") files keep the order of the layers."
