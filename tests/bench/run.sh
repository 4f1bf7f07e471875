#!/usr/bin/env bash
# Speed and memory against cp, dd and qemu-img on the same files in the same run: medians, as ratios. README.md beside
# this file says what is measured and why. Exit code 1 if a limit is exceeded (not with --quick).
set -euo pipefail

usage() {
  echo "Usage: tests/bench/run.sh [--quick] [DIR]   (--quick: once, on small files; DIR: where the files lie, default /var/tmp)"
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
here=$root/tests/bench
rounds=5 disk_mib=2048 quick=0 parent=/var/tmp
for argument in "$@"; do
  case $argument in
    --quick) quick=1 rounds=1 disk_mib=256 ;;
    -h | --help) usage && exit 0 ;;
    -*) usage >&2 && exit 2 ;;
    *) parent=$argument ;;
  esac
done

(cd "$root" && cmake --preset release && cmake --build --preset release --target asr image_bench -j"$(nproc)") >/dev/null
asr=$root/build/release/asr
image_bench=$root/build/release/tests/image_bench
unset ASR_VAULT ASR_OUTPUT ASR_STATE_DIR
work=$(mktemp -d "$parent/asr-bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
results=$work/results
over=0

# measure NAME COMMAND...: one figure of seconds and one of KiB resident at most, into the results.
measure() {
  local name=$1
  shift
  if ! /usr/bin/time -q -f "%e %M" -o "$work/time" "$@" >"$work/output" 2>&1; then
    cat "$work/output" >&2
    echo "run.sh: failed: $*" >&2
    exit 1
  fi
  echo "$name $(cat "$work/time")" >>"$results"
}

# median NAME COLUMN (2: seconds, 3: KiB)
median() {
  awk -v name="$1" -v column="$2" '$1 == name {print $column}' "$results" | sort -n |
    awk '{value[NR] = $1} END {print (NR % 2) ? value[(NR + 1) / 2] : (value[NR / 2] + value[NR / 2 + 1]) / 2}'
}

# report WHAT FIGURE UNIT LIMIT
report() {
  local verdict=ok
  awk -v figure="$2" -v limit="$4" 'BEGIN {exit !(figure > limit)}' && verdict=OVER && over=1
  printf '%-62s %9.3f %-4s limit %6s  %s\n' "$1" "$2" "$3" "$4" "$verdict"
}

ratio() {
  awk -v a="$(median "$1" 2)" -v b="$(median "$2" 2)" 'BEGIN {printf "%.3f", a / (b > 0 ? b : 0.001)}'
}

# Every reader starts with the file out of the page cache.
forget() {
  dd if="$1" iflag=nocache count=0 status=none
}

fresh_vault() {
  export ASR_STATE_DIR=$work/$1/state
  "$asr" vault create v --target "$work/$1/vault" -o none
  "$asr" host add h --kind folder --path "$2" -o none
  "$asr" policy set p -o none
}

# Of every 64 MiB, 48 hold random data and 16 are a hole.
make_disk() {
  local file=$1 offset
  truncate -s "${disk_mib}M" "$file"
  for ((offset = 0; offset < disk_mib; offset += 64)); do
    dd if=/dev/urandom of="$file" bs=1M seek=$offset count=48 conv=notrunc status=none
  done
  sync "$file"
}

change_disk() {
  local file=$1 offset
  for ((offset = 0; offset < disk_mib; offset += 64)); do
    dd if=/dev/urandom of="$file" bs=64K seek=$((offset * 16 + 7)) count=1 conv=notrunc status=none
  done
  sync "$file"
}

cp_and_sync() { cp --sparse=always "$1" "$2" && sync "$2"; }
nbdcopy_and_sync() { nbdcopy "$1" "$2" && sync "$2"; }
convert_and_sync() { qemu-img convert -O vpc -o subformat=fixed,force_size=on "$1" "$2" && sync "$2"; }
read_allocated() {
  local offset
  for ((offset = 0; offset < $2; offset += 64)); do
    dd if="$1" of=/dev/null iflag=direct bs=4M skip=$((offset / 4)) count=12 status=none
  done
}
export -f cp_and_sync nbdcopy_and_sync convert_and_sync read_allocated

bench_copy() {
  local disk=$work/vms/big/disk.raw round
  mkdir -p "$work/vms/big"
  make_disk "$disk"
  for ((round = 0; round < rounds; round++)); do
    fresh_vault copy "$work/vms"
    forget "$disk" && measure initial "$asr" enable big --policy p -q
    forget "$disk" && measure cp bash -c 'cp_and_sync "$@"' - "$disk" "$work/copy.raw"
    forget "$disk" && measure convert bash -c 'convert_and_sync "$@"' - "$disk" "$work/copy.vhd"
    forget "$disk" && measure nbdcopy bash -c 'nbdcopy_and_sync "$@"' - "$disk" "$work/copy.nbd"
    change_disk "$disk"
    forget "$disk" && measure dd bash -c 'read_allocated "$@"' - "$disk" "$disk_mib"
    forget "$disk" && measure delta "$asr" replicate big -q
    rm -rf "$work/copy" "$work/copy.raw" "$work/copy.vhd" "$work/copy.nbd"
    sync -f "$work"
  done
  rm -rf "$work/vms"
  report "initial replication / cp --sparse=always + sync" "$(ratio initial cp)" x 1.0
  report "initial replication / qemu-img convert to fixed VHD + sync" "$(ratio initial convert)" x 0.9
  report "initial replication / nbdcopy of the raw file + sync" "$(ratio initial nbdcopy)" x 1.0
  report "delta pass / dd iflag=direct bs=4M of the allocated bytes" "$(ratio delta dd)" x 1.2
}

bench_huge() {
  local disk=$work/huge/vast/disk.vhdx round
  mkdir -p "$work/huge/vast"
  for ((round = 0; round < rounds; round++)); do
    rm -f "$disk"
    qemu-img create -q -f vhdx -o subformat=dynamic "$disk" 1T
    qemu-io -f vhdx -c "write -q -P 7 0 32M" -c "write -q -P 9 700G 32M" "$disk"
    fresh_vault vast "$work/huge"
    measure huge-initial "$asr" enable vast --policy p -q
    qemu-io -f vhdx -c "write -q -P 8 700G 1M" "$disk"
    measure huge-delta "$asr" replicate vast -q
    rm -rf "$work/vast"
  done
  rm -rf "$work/huge"
  report "1 TiB dynamic VHDX with 64 MiB of data: initial" "$(median huge-initial 2)" s 5
  report "1 TiB dynamic VHDX with 64 MiB of data: delta" "$(median huge-delta 2)" s 5
}

# One thread each: what dd reads of the file, and what the disk's reader gives of its data.
bench_images() {
  local images=$work/images round
  mkdir "$images"
  "$image_bench" make-chain "$images" $((disk_mib / 2))
  "$image_bench" make-vast "$images/vast.vhdx"
  sync -f "$images"
  for ((round = 0; round < 2 * rounds; round++)); do
    measure dd-image dd if="$images/chain.vhdx" of=/dev/null iflag=direct bs=4M
    measure read-vhdx "$image_bench" read "$images/chain.vhdx"
    measure read-chain "$image_bench" read "$images/chain_2.avhdx"
    "$image_bench" open "$images/vast.vhdx" | awk '{print "open-vast", $2 * 1000, $1}' >>"$results"
  done
  rm -rf "$images"
  report "dynamic VHDX with 75 % data / dd iflag=direct bs=4M of the file" "$(ratio read-vhdx dd-image)" x 1.11
  report "the same data through a chain of 3 / dd of the VHDX" "$(ratio read-chain dd-image)" x 1.25
  report "opening a VHDX of 64 TiB, every table entry in use" "$(median open-vast 2)" ms 50
  report "resident memory, opening it" "$(awk -v kib="$(median open-vast 3)" 'BEGIN {print kib / 1024}')" MiB 32
}

# milliseconds NAME COMMAND...: the median of many runs; too short for time's hundredths of a second.
milliseconds() {
  local start i
  for ((i = 0; i < 21; i++)); do
    start=${EPOCHREALTIME/./}
    "$@" >/dev/null 2>&1
    echo $((${EPOCHREALTIME/./} - start))
  done | sort -n | awk 'NR == 11 {print $1 / 1000}'
}

bench_lists() {
  mkdir -p "$work/small/tiny"
  truncate -s 1M "$work/small/tiny/disk.raw"
  printf 'data' | dd of="$work/small/tiny/disk.raw" conv=notrunc status=none
  fresh_vault lists "$work/small"
  "$asr" enable tiny --policy p -o none
  python3 "$here/fill_lists.py" "$ASR_STATE_DIR" "$work/lists/vault" 10000 2000
  [ "$("$asr" jobs list -o json | jq length)" -ge 10000 ]
  [ "$("$asr" points list tiny -o json | jq length)" -ge 2000 ]
  report "asr --version" "$(milliseconds "$asr" --version)" ms 15
  report "asr jobs list, of 10,000" "$(milliseconds "$asr" jobs list)" ms 30
  report "asr points list, of 2,000" "$(milliseconds "$asr" points list tiny)" ms 30
  report "asr items list" "$(milliseconds "$asr" items list)" ms 30
}

report_memory() {
  local name
  for name in initial delta huge-initial huge-delta; do
    report "resident memory, $name" "$(awk -v kib="$(median "$name" 3)" 'BEGIN {print kib / 1024}')" MiB 64
  done
}

echo "Medians of $rounds, $disk_mib MiB disk, 75 % data, in $work ($(nproc) cores, $("$asr" --version | head -n 1))"
bench_copy
bench_huge
bench_images
bench_lists
report_memory
[ $quick = 1 ] || [ $over = 0 ]
