#!/usr/bin/env bash
# A running guest: asr against virtnbdbackup on the same guest, in the same run: medians, as ratios. Exit code 1 if a
# limit is exceeded (not with --quick). README.md beside this file says what is measured.
set -euo pipefail

usage() {
  echo "Usage: tests/bench/live.sh [--quick]   (--quick: once; shows that everything runs, its figures prove nothing)"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rounds=5
case ${1:-} in
  "") ;;
  --quick) rounds=1 ;;
  -h | --help) usage && exit 0 ;;
  *) usage >&2 && exit 2 ;;
esac

command -v virtnbdbackup >/dev/null || {
  echo "live.sh: virtnbdbackup is not installed: apt install virtnbdbackup" >&2
  exit 2
}
(cd "$root" && cmake --preset release && cmake --build --preset release --target asr live_bench -j"$(nproc)") >/dev/null
status=0
echo "                                                  asr     virtnbdbackup   ratio"
"$root/tests/support/libvirt_lab.sh" "$root/build/release/tests/live_bench" "$rounds" || status=$?
[ $rounds = 1 ] && [ $status = 1 ] && exit 0
exit $status
