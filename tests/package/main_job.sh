#!/usr/bin/env bash
# Runs on the clean root, with nothing there but Debian's minimum and asr: protect, replicate, look, restore.
set -euo pipefail

work=$(mktemp -d)
cd "$work"
trap 'rm -rf "$work"' EXIT
export ASR_STATE_DIR=$work/state

mkdir -p vms/web
head -c 8M /dev/urandom >vms/web/root.raw
cp vms/web/root.raw before.raw
asr vault create main --target "$work/vault"
asr host add lab --kind folder --path "$work/vms"
asr policy set gold --frequency 5m --retention 24h
asr enable web --policy gold
first=$(asr points list web --jq '.[0].id')
head -c 1M /dev/urandom | dd of=vms/web/root.raw bs=1M seek=3 conv=notrunc status=none
asr replicate web
[ "$(asr points list web --jq length)" = 2 ]

asr restore web --to newest
asr restore web --point "$first" --to oldest
cmp newest/root.raw vms/web/root.raw
cmp oldest/root.raw before.raw
asr points verify web
asr vault check main
asr status
[ -s /usr/share/bash-completion/completions/asr ]
# Without the hypervisor that the package recommends, a test failover says what to install.
if asr test-failover web 2>error; then exit 1; fi
grep -q qemu-system-x86 error
echo "The main job was done."
