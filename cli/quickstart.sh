#!/usr/bin/env bash
# The main job on a real guest: protect a VM, replicate it, change it, and boot it from an older and from a newer point.
# Everything happens in a temporary directory and is removed at the end; --keep leaves it.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
keep=0
case ${1:-} in
  "") ;;
  --keep) keep=1 ;;
  -h | --help) echo "Usage: cli/quickstart.sh [--keep]   (--keep leaves the vault and the disks to look at)" && exit 0 ;;
  *) echo "Usage: cli/quickstart.sh [--keep]" >&2 && exit 2 ;;
esac

# What a user has set for asr must not steer this run.
unset ASR_VAULT ASR_OUTPUT
old_text="hello from Monday" new_text="hello from Tuesday"
step_number=0

explain() {
  step_number=$((step_number + 1))
  printf '\n%d. %s\n' "$step_number" "$*"
}

# Prints a command as it would be typed, then runs it.
show() {
  local word line=""
  for word in "$@"; do
    case $word in
      *[!A-Za-z0-9_./:=@+,-]* | "") line+=" '$word'" ;;
      *) line+=" $word" ;;
    esac
  done
  echo "   \$${line}"
  "$@" 2>&1 | sed 's/^/   /'
}

clean_up() {
  local status=$?
  if [ -n "${work:-}" ]; then
    # Only if a step failed while the test machine was up: nothing may be left running.
    asr test-failover-cleanup web -y -q >/dev/null 2>&1 || true
    if [ $keep = 1 ]; then
      echo "Kept: $work (state directory: $ASR_STATE_DIR)"
    else
      rm -rf "$work"
    fi
  fi
  [ $status = 0 ] || echo "The quickstart failed at step $step_number." >&2
}

build_asr() {
  "$root/cmake/install-deps.sh" build guest
  (
    cd "$root"
    export CCACHE_BASEDIR=$root CCACHE_NOHASHDIR=1
    cmake -S . -B build/quickstart -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DBUILD_TESTING=OFF
    cmake --build build/quickstart -j"$(nproc)"
  ) >"$work/build.log" 2>&1 || {
    tail -n 30 "$work/build.log" >&2
    return 1
  }
  PATH=$root/build/quickstart:$PATH
}

# Boots a point, without any network, and shows what the guest says on its serial console about its data.
boot_point() {
  local point=$1 expected=$2 job serial_log line
  echo "   \$ asr test-failover web --point $point --serial-text ASR-GUEST-READY --wait-seconds 180 -y"
  job=$(asr test-failover web --point "$point" --serial-text ASR-GUEST-READY --wait-seconds 180 -y -o json)
  serial_log=$(jq -r .guest.serialLog <<<"$job")
  line=$(grep -a -m 1 ASR-GUEST-READY "$serial_log" | tr -d '\r')
  echo "   The guest booted in $(jq -r ".guest.bootSeconds | round" <<<"$job") s and says: $line"
  show asr test-failover-cleanup web --notes "quickstart" -y
  [ "$line" = "ASR-GUEST-READY data=$expected" ] || {
    echo "The guest should have said: data=$expected" >&2
    return 1
  }
}

newest_point() {
  asr points list web --limit 1 -o json | jq -r '.[0].id'
}

work=$(mktemp -d "${TMPDIR:-/tmp}/asr-quickstart.XXXXXX")
export ASR_STATE_DIR=$work/state
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

explain "Install what is missing and build asr (a minute or two the first time)."
build_asr
show asr --version

explain "Make a VM to protect: a small Linux disk whose guest says at boot what its data partition holds."
mkdir -p "$work/vms/web"
"$root/cli/guest-image.sh" build "$work/guest.raw" --text "$old_text"
qemu-img convert -q -f raw -O vhdx -o subformat=dynamic "$work/guest.raw" "$work/vms/web/disk.vhdx"
rm "$work/guest.raw"
cd "$work"
show qemu-img info vms/web/disk.vhdx

explain "Create a vault, add the folder as a host, and set a policy: what to replicate, where to, how often."
show asr vault create office --target "$work/vault"
show asr host add here --kind folder --path "$work/vms"
show asr policy set gold --frequency 5m --retention 24h
show asr vm list

explain "Check the VM, then enable protection: the initial replication ends with the first recovery point."
show asr check web --policy gold
show asr enable web --policy gold
older=$(newest_point)

explain "Change the data inside the VM's disk, and replicate: only what changed is sent."
echo "   (the data partition's message becomes: $new_text)"
"$root/cli/guest-image.sh" write-message "$work/vms/web/disk.vhdx" "$new_text"
show asr replicate web
newer=$(newest_point)
[ "$older" != "$newer" ]

explain "Two recovery points, newest first."
show asr points list web

explain "Boot the OLDER point, isolated from every network; the protected VM is not touched."
boot_point "$older" "$old_text"

explain "Boot the NEWER point."
boot_point "$newer" "$new_text"

explain "Bring the newer point back as a file: it is the VM's disk as it is now, byte for byte."
show asr restore web --point "$newer" --to "$work/restored"
show qemu-img compare vms/web/disk.vhdx restored/disk.vhdx

explain "Every step above is on record."
show asr jobs list

printf '\nDone: the guest booted from both recovery points and said what its data was at each (%d s in all).\n' "$SECONDS"
