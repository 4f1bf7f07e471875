#!/usr/bin/env bash
# What the page-blob server of the tests takes and gives on the loopback interface, by curl: the yardstick for what asr
# sends to it. Medians of 5, in MiB/s. README.md beside this file says what they are for.
set -euo pipefail

usage() {
  echo "Usage: tests/bench/page_blob_sink.sh [MIB]   (MIB: how much each time, a multiple of 4; default 2048)"
}

case ${1:-} in
  -h | --help) usage && exit 0 ;;
  *[!0-9]*) usage >&2 && exit 2 ;;
esac
mib=${1:-2048} rounds=5
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
(cd "$root" && cmake --preset release && cmake --build --preset release --target page-blob-server -j"$(nproc)") >/dev/null
work=$(mktemp -d /dev/shm/asr-sink.XXXXXX)
server=0
stop_server() {
  [ $server = 0 ] || kill "$server" 2>/dev/null || true
  [ $server = 0 ] || wait "$server" || true
  server=0
}
trap 'stop_server; rm -rf "$work"' EXIT
curl=(curl -sS --noproxy '*')

# start_server WORDS...: sets url, origin and sas; makes a container and in it a page blob of $mib MiB.
start_server() {
  "$root/build/release/tests/page-blob-server" "$@" >"$work/url" &
  server=$!
  until [ -s "$work/url" ]; do sleep 0.02; done
  url=$(cat "$work/url") origin=${url%/*}
  sas=$("${curl[@]}" "$origin/-/sas/racwdl")
  "${curl[@]}" -X PUT -d '' "$url/box?restype=container&$sas"
  "${curl[@]}" -X PUT -d '' -H 'x-ms-blob-type: PageBlob' -H "x-ms-blob-content-length: $((mib << 20))" "$url/box/disk?$sas"
}

# pages put|get: a configuration for one curl that asks for the whole blob in requests of 4 MiB, over one connection.
pages() {
  local i
  for ((i = 0; i < mib / 4; i++)); do
    [ $i = 0 ] || echo next
    if [ "$1" = put ]; then
      printf 'url="%s/box/disk?comp=page&%s"\nupload-file="%s"\n' "$url" "$sas" "$work/piece"
      printf 'header="x-ms-page-write: update"\nheader="Expect:"\n'
    else
      printf 'url="%s/box/disk?%s"\n' "$url" "$sas"
    fi
    printf 'header="x-ms-range: bytes=%d-%d"\noutput="/dev/null"\nsilent\nfail\nnoproxy="*"\n' \
      $((i << 22)) $(((i + 1 << 22) - 1))
  done >"$work/$1"
}

# measure WHAT COMMAND...
measure() {
  local what=$1 round start
  shift
  for ((round = 0; round < rounds; round++)); do
    start=$(date +%s%N)
    "$@"
    awk -v mib="$mib" -v ns=$(($(date +%s%N) - start)) 'BEGIN {print mib * 1e9 / ns}'
  done | sort -n | awk -v what="$what" '{value[NR] = $1} END {printf "%-58s %7.0f MiB/s\n", what, value[(NR + 1) / 2]}'
}

head -c 4194304 /dev/urandom >"$work/piece"
for ((i = 0; i < mib / 4; i++)); do cat "$work/piece"; done >"$work/whole"

start_server --discard
pages put
measure "curl -T of all at once, thrown away" "${curl[@]}" -T "$work/whole" -H Expect: "$origin/-/sink"
measure "Put Page of 4 MiB by one curl, thrown away" curl -K "$work/put"
rm "$work/whole"
stop_server
rm "$work/url"
start_server
pages put
pages get
measure "Put Page of 4 MiB by one curl, checked and kept" curl -K "$work/put"
measure "Get Blob of 4 MiB by one curl" curl -K "$work/get"
