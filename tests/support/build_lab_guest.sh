#!/usr/bin/env bash
# The guest of the libvirt lab (lab_guest/): build_lab_guest.sh prints the directory, below build/, that holds
#   vmlinuz, initrd.img      to start with any ext4 disks, of which the first is labelled asr-data
#   boot.raw, boot-uefi.raw  a first disk that starts by itself, 256 MiB
# Made once, and again when what it consists of has changed.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin
agent=$root/build/guest-agent/usr/sbin/qemu-ga
parts=("$root"/tests/support/lab_guest/* "$root"/tests/support/build_lab_guest.sh "$root"/cli/guest-image.sh "$agent"
  "$root"/build/guest-kernel/boot/vmlinuz-*)
[ -e "$agent" ] || {
  echo "build_lab_guest.sh: no guest agent in build/: run cmake/install-deps.sh test" >&2
  exit 1
}
out=$root/build/libvirt-lab/guest-$(cat "${parts[@]}" | sha256sum | cut -c1-16)
mkdir -p "${out%/*}"
exec 9>"${out%/*}/guest.lock"
flock 9
if [ -d "$out" ]; then
  echo "$out"
  exit
fi

rm -rf "${out%/*}"/guest-*
scratch=$(mktemp -d -p "${out%/*}")
trap 'rm -rf "$scratch"' EXIT
files=$scratch/files made=$scratch/made
mkdir -p "$files/bin" "$files/etc/acpi/PWRF" "$made"
for program in journal_writer obey; do
  g++ -std=c++20 -O2 -static -s -o "$files/bin/$program" "$root/tests/support/lab_guest/$program.cc"
done
install -m 755 "$root/tests/support/lab_guest/start" "$files/start"
install -m 755 "$root/tests/support/lab_guest/power_button" "$files/etc/acpi/PWRF/00000080"
cp "$agent" "$files/bin/"
ldd "$agent" | grep -o '/[^ ]*' | while read -r library; do cp --parents -L "$library" "$files"; done
"$root/cli/guest-image.sh" build "$made/boot.raw" --files "$files"
"$root/cli/guest-image.sh" build "$made/boot-uefi.raw" --uefi --files "$files"
mcopy -i "$made/boot.raw@@1M" ::vmlinuz ::initrd.img "$made"
mv "$made" "$out"
echo "$out"
