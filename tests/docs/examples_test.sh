#!/usr/bin/env bash
# What the manual pages and README.md tell people to type works as written, in the order in which it stands, and ends
# as they say. Run are
#   - in man/*.1 and man/*.5 the displays of the section EXAMPLES, in man/*.7 all displays: one command a line;
#   - in README.md the blocks ```console behind a line <!-- examples: ... -->, whose lines "$ ..." are commands and whose
#     other lines must be in what the command prints, whatever its numbers are ("..." stands for what was left out).
# "# ends with N" behind a command is its exit status, 0 if nothing is said. A page begins in the world `protected`; from
# a line "examples: begin with WORLD" on (a comment in a page) it goes on in another one. The worlds are made below.
# A display that nobody can run says why in the line above it:
#   .\" examples: not run: REASON
# In the examples /srv and /mnt stand for folders of the test, ids of a point and of a job and a time for real ones.
set -euo pipefail
asr_binary=${ASR_BINARY:?the path of the executable to try}
# shellcheck source=tests/docs/files.sh
source "$(dirname "${BASH_SOURCE[0]}")/files.sh"
[ ! -d /dev/shm ] || export TMPDIR=/dev/shm # nothing here has to outlive a power cut
scratch=$(mktemp -d "${TMPDIR:-/tmp}/asr-examples.XXXXXX")
here=$scratch/here # the world of the page that is tried: paths are kept in it, so that it cannot move
worlds=$scratch/worlds
by_hand=$here/srv/restored/pid # of the QEMU that asr-recovery(7) starts; gone with it
stop_guests() {
  [ ! -s "$by_hand" ] || kill "$(cat "$by_hand")" 2>/dev/null || true
  asr test-failover-cleanup web -y -q -o none >/dev/null 2>&1 || true
}
clean_up() {
  local status=$?
  [ ! -d "$here/state" ] || stop_guests
  cd "$root"
  rm -rf "$scratch"
  exit $status
}
trap clean_up EXIT
mkdir -p "$scratch/bin" "$worlds"
ln -s "$asr_binary" "$scratch/bin/asr"
export PATH=$scratch/bin:$PATH ASR_STATE_DIR=$here/state
unset ASR_VAULT ASR_OUTPUT

# A disk of 64 MiB that boots at once: its boot sector writes a text to the first serial port, and halts.
make_boot_disk() {
  truncate -s 64M "$1"
  printf '\x31\xc0\x8e\xd8\xbe\x15\x7c\xac\x84\xc0\x74\x06\xba\xf8\x03\xee\xeb\xf5\xf4\xeb\xfd%s\0' "web login: " |
    dd of="$1" conv=notrunc status=none
  printf '\x55\xaa' | dd of="$1" bs=1 seek=510 conv=notrunc status=none
  dd if=/dev/urandom of="$1" bs=1M seek=1 count=2 conv=notrunc status=none
}

# Changes 192 KiB of web's disk.
change_web() {
  qemu-io -f vhdx -c "write -q -P $1 $2M 192k" "$here/srv/vms/web/root.vhdx"
}

# Two VMs that nobody has heard of yet, in /srv/vms.
build_nothing() {
  mkdir -p "$here/srv/vms/web" "$here/srv/vms/db" "$here/mnt" "$here/state"
  make_boot_disk "$here/srv/vms/db/root.raw"
  truncate -s 16M "$here/srv/vms/db/swap.raw"
  qemu-img convert -q -f raw -O vhdx "$here/srv/vms/db/root.raw" "$here/srv/vms/web/root.vhdx"
  echo '{"memory": "64MiB"}' | tee "$here/srv/vms/web/vm.json" >"$here/srv/vms/db/vm.json"
}

# web is protected by policy gold, and has three points in vault main.
build_protected() {
  asr vault create main --target "$here/srv/vault"
  asr host add lab --kind folder --path "$here/srv/vms"
  asr policy set gold --frequency 5m --retention 24h
  asr enable web --policy gold
  change_web 1 40 && asr replicate web
  change_web 2 50 && asr replicate web
}

# A replication of web failed on its way into the vault: its change log waits, and its job can be resumed.
build_interrupted() {
  local status=0
  change_web 3 60
  (trap '' XFSZ && ulimit -f 20480 && asr replicate web) || status=$?
  [ $status = 1 ]
}

# The site is gone: there is the vault, mounted elsewhere, and a machine that knows nothing.
build_lost() {
  mv "$here/srv/vault" "$here/mnt/vault"
  rm -rf "$here/srv" "$here/state"
  mkdir -p "$here/srv" "$here/state"
}

build_worlds() {
  local world
  for world in nothing protected interrupted; do
    "build_$world" >"$scratch/log" 2>&1 || {
      cat "$scratch/log"
      echo "The world '$world' cannot be made."
      exit 1
    }
    cp -a "$here" "$worlds/$world"
    case $world in
      protected) point=$(asr points list web -o json | jq -r '.[1].id') ;;
      interrupted) job=$(asr jobs list --state Failed -o json | jq -r '.[0].id') ;;
    esac
  done
  enter protected && build_lost && cp -a "$here" "$worlds/lost"
  time=$(date -u +%FT%TZ)
}

enter() {
  rm -rf "$here"
  cp -a "$worlds/$1" "$here"
}

# The commands of a manual page, one a line, and where worlds begin.
commands_of_page() {
  echo "world protected"
  awk -v everywhere="$([[ $1 == *.7 ]] && echo 1 || echo 0)" '
    /^\.\\" examples: begin with / { print "world " $5 }
    /^\.Sh / { in_examples = everywhere || $0 == ".Sh EXAMPLES" }
    /^\.Bd -literal/ && in_examples { in_display = previous !~ /^\.\\" examples: not run: ./; next }
    /^\.Ed/ { in_display = 0 }
    { previous = $0 }
    in_display {
      gsub(/\\\(dq/, "\""); gsub(/\\&/, ""); gsub(/\\e/, "\\"); gsub(/\\-/, "-")
      line = line $0
      if (sub(/\\$/, "", line)) next
      print line
      line = ""
    }' "$1"
}

# The tours of README.md: each begins with "world NAME"; "$ ..." are commands, other lines their output.
tours_of_readme() {
  awk '
    /^<!-- examples: begin with / { print "world " $5; marked = 1; next }
    /^<!-- examples: go on -->/ { marked = 1; next }
    /^```console/ && marked { in_block = 1; marked = 0; next }
    /^```/ { in_block = 0 }
    in_block' "$root/README.md"
}

localized() {
  sed -E -e "s#(^|[ =\"':])/(srv|mnt)\\b#\1$here/\2#g" -e "s/\b[0-9]{8}T[0-9]{6}\.[0-9]{3}Z/$point/g" \
    -e "s/\b[0-9]{8}T[0-9]{6}-[0-9a-f]{6}\b/$job/g" -e "s/\b[0-9]{4}(-[0-9]{2}){2}T[0-9:]{8}Z/$time/g"
}

# What is left of a line of output when its numbers, times and widths may differ.
masked() {
  sed -E -e 's/\b[0-9]{8}T[0-9]{6}[.-][0-9a-fZ]+/ID/g' -e 's/\b(now|[0-9]+ (s|min) ago)\b/AGE/g' \
    -e 's/[0-9]+(\.[0-9]+)?/N/g' -e 's/[[:space:]]+/ /g' -e 's/ $//'
}

complain() {
  echo "$1: $2"
  [ ! -s "$scratch/log" ] || tail -n 8 "$scratch/log" | sed 's/^/    /'
  failed=1
}

# Runs a command in the shell of this page, so that variables and folders stay.
try() {
  local origin=$1 command=$2 expected=0 status=0
  [[ ! $command =~ \#.*ends\ with\ ([0-9]+) ]] || expected=${BASH_REMATCH[1]}
  eval "$command" >"$scratch/log" 2>&1 </dev/null || status=$?
  count=$((count + 1))
  [ $status = "$expected" ] || complain "$origin" "'$command' ended with $status, not with $expected:"
}

begin_with() {
  cd "$root"
  stop_guests
  enter "$1"
  cd "$here"
  : >"$scratch/log"
}

try_page() {
  local page=$1 line tried=$count
  while IFS= read -r line <&3; do
    case $line in
      "world "*) begin_with "${line#world }" ;;
      "" | "#"*) ;;
      *) try "$page" "$line" ;;
    esac
  done 3< <(cd "$root" && commands_of_page "$page" | localized)
  [[ $page != *.1 && $page != *recovery.7 ]] || [ "$count" != "$tried" ] || complain "$page" "has no example that is run."
}

try_readme() {
  local line
  while IFS= read -r line <&3; do
    case $line in
      "world "*) begin_with "${line#world }" ;;
      "\$ "*) try README.md "$(localized <<<"${line#\$ }")" ;;
      "" | ...) ;;
      *)
        masked <"$scratch/log" | grep -qxF -- "$(masked <<<"$line")" ||
          complain README.md "this is not in what the command printed: $line"
        ;;
    esac
  done 3< <(tours_of_readme)
}

count=0 failed=0
build_worlds
for page in $(project_files 'man/*.[1-8]'); do
  try_page "$page"
done
in_pages=$count
try_readme
cd "$root"
stop_guests
[ $count -gt "$in_pages" ] || complain README.md "has no tour that is run."
[ $failed = 0 ] || exit 1
echo "$count examples work as written, $((count - in_pages)) of them in README.md."
