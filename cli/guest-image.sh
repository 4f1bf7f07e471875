#!/usr/bin/env bash
# A small real guest for the quickstart and the tests: Debian's cloud kernel, busybox, GRUB, an ext4 data partition.
# It needs no privileges: no loop devices, no mounts; the file systems are made as files and laid into the image.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: guest-image.sh build OUT.raw [--uefi] [--text MESSAGE] [--files DIR]
       guest-image.sh write-message IMAGE TEXT

build          makes a bootable disk of 256 MiB: MBR for BIOS machines (generation 1), with --uefi
               GPT and an EFI system partition (generation 2). On its serial console the guest says
               ASR-GUEST-READY data=MESSAGE
               when it has mounted its data partition, then idles until its power button is pressed.
               What is in DIR is laid over its root; a program /start there is run after that.
write-message  changes the message inside IMAGE (raw, VHD, VHDX or qcow2, by its name) without
               starting the guest; only the blocks that the file system changes are written.
The kernel comes from `cmake/install-deps.sh guest`.
USAGE
}

die() {
  echo "guest-image.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kernel_dir=$root/build/guest-kernel
PATH=$PATH:/usr/sbin:/sbin

# The layout, in MiB: table and boot loader, boot partition (FAT), data partition (ext4), end of the GPT.
mib=1048576
boot_start=1 boot_size=32 data_start=33 data_size=222 disk_size=256

# What the guest's disk may hang on (IDE, virtio, Hyper-V), its network, its agent's channel, and its power button.
modules="ata_piix ata_generic sd_mod virtio_pci virtio_blk virtio_scsi hv_storvsc virtio_net virtio_console button evdev"

write_init() {
  cat >"$1/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /bin /dev /proc /sys /data
/bin/busybox --install -s /bin
export PATH=/bin
mount -t devtmpfs dev /dev
mount -t proc proc /proc
mount -t sysfs sys /sys
exec </dev/console >/dev/console 2>&1
say() {
  for console in /dev/ttyS0 /dev/tty0; do echo "$*" >$console; done 2>/dev/null
}
while read -r module; do insmod "$module" 2>/dev/null; done </modules/order
tries=0
until device=$(findfs LABEL=asr-data 2>/dev/null) || [ $tries -ge 100 ]; do
  tries=$((tries + 1))
  usleep 100000
done
if [ -n "$device" ] && mount -t ext4 "$device" /data; then
  say "ASR-GUEST-READY data=$(cat /data/message)"
else
  say "ASR-GUEST-FAILED the data partition cannot be mounted (device: ${device:-not found})"
fi
acpid -d >/dev/null 2>&1 &
[ ! -x /start ] || /start &
while :; do sleep 3600; done
INIT
  cat >"$1/etc/acpi/PWRF/00000080" <<'BUTTON'
#!/bin/sh
umount /data
poweroff -f
BUTTON
  chmod 755 "$1/init" "$1/etc/acpi/PWRF/00000080"
}

# The modules in the order in which they must be loaded: /init needs no dependency tables.
copy_modules() {
  local tree=$1 release=$2 path
  depmod -b "$kernel_dir" "$release"
  for module in $modules; do
    modprobe -d "$kernel_dir" -S "$release" --show-depends "$module" || die "the kernel has no $module"
  done | awk '$1 == "insmod" && !seen[$2]++ {print $2}' | while read -r path; do
    cp "$path" "$tree/modules/"
    echo "/modules/${path##*/}" >>"$tree/modules/order"
  done
}

make_initramfs() {
  local out=$1 release=$2 files=$3 tree=$scratch/initramfs
  mkdir -p "$tree/bin" "$tree/modules" "$tree/etc/acpi/PWRF"
  cp "$(command -v busybox)" "$tree/bin/busybox"
  copy_modules "$tree" "$release"
  write_init "$tree"
  [ -z "$files" ] || cp -R "$files/." "$tree/"
  (cd "$tree" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0 | gzip -n) >"$out"
}

# The same configuration for both firmwares: GRUB's root is the partition named by its prefix, or the one that EFI loaded
# it from. Without a search it does not wait for floppy drives.
make_boot_loader() {
  local format=$1 out=$2 prefix=$3
  shift 3
  cat >"$scratch/grub.cfg" <<'GRUB'
linux /vmlinuz console=tty0 console=ttyS0,115200 quiet panic=-1
initrd /initrd.img
boot
GRUB
  grub-mkimage -O "$format" -o "$out" -p "$prefix" -c "$scratch/grub.cfg" \
    fat linux boot "$@"
}

make_boot_partition() {
  local out=$1 release=$2 uefi=$3 files=$4
  make_initramfs "$scratch/initrd.img" "$release" "$files"
  truncate -s $((boot_size * mib)) "$out"
  mkfs.vfat -n ASRBOOT "$out" >/dev/null
  mcopy -i "$out" "$kernel_dir/boot/vmlinuz-$release" ::vmlinuz
  mcopy -i "$out" "$scratch/initrd.img" ::initrd.img
  if [ "$uefi" = 1 ]; then
    make_boot_loader x86_64-efi "$scratch/bootx64.efi" /EFI/BOOT part_gpt
    mmd -i "$out" ::EFI ::EFI/BOOT
    mcopy -i "$out" "$scratch/bootx64.efi" ::EFI/BOOT/BOOTX64.EFI
  fi
}

make_data_partition() {
  local out=$1 text=$2
  mkdir "$scratch/data"
  printf '%s\n' "$text" >"$scratch/data/message"
  truncate -s $((data_size * mib)) "$out"
  mkfs.ext4 -q -F -b 4096 -m 0 -L asr-data -E lazy_itable_init=0,root_owner=0:0 \
    -d "$scratch/data" "$out"
}

lay_into() {
  dd if="$1" of="$2" bs=1M seek="$3" conv=notrunc,sparse status=none
}

partition_disk() {
  local out=$1 uefi=$2
  truncate -s $((disk_size * mib)) "$out"
  if [ "$uefi" = 1 ]; then
    printf '%s\n' "label: gpt" "start=${boot_start}MiB, size=${boot_size}MiB, type=U" \
      "start=${data_start}MiB, size=${data_size}MiB, type=L" | sfdisk -q "$out"
    return
  fi
  printf '%s\n' "label: dos" "start=${boot_start}MiB, size=${boot_size}MiB, type=c, bootable" \
    "start=${data_start}MiB, size=${data_size}MiB, type=83" | sfdisk -q "$out"
  # GRUB's first sector loads the core image from the sectors behind it; bytes 440-511 are the table's.
  make_boot_loader i386-pc "$scratch/core.img" "(,msdos1)/" biosdisk part_msdos
  dd if=/usr/lib/grub/i386-pc/boot.img of="$out" bs=440 count=1 conv=notrunc status=none
  dd if="$scratch/core.img" of="$out" bs=512 seek=1 conv=notrunc status=none
}

build() {
  local out="" uefi=0 text="hello from the first day" files=""
  while [ $# -gt 0 ]; do
    case $1 in
      --uefi) uefi=1 ;;
      --text) text=${2?--text needs a message} && shift ;;
      --files) files=${2?--files needs a directory} && shift ;;
      -*) usage >&2 && exit 2 ;;
      *) out=$1 ;;
    esac
    shift
  done
  [ -n "$out" ] || { usage >&2 && exit 2; }
  local kernel release
  kernel=$(find "$kernel_dir/boot" -name 'vmlinuz-*' 2>/dev/null | sort -V | tail -n 1)
  [ -n "$kernel" ] || die "no kernel in $kernel_dir; run cmake/install-deps.sh guest"
  release=${kernel##*/vmlinuz-}
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  make_boot_partition "$scratch/boot.img" "$release" "$uefi" "$files"
  make_data_partition "$scratch/data.img" "$text"
  rm -f "$out"
  partition_disk "$out" "$uefi"
  lay_into "$scratch/boot.img" "$out" "$boot_start"
  lay_into "$scratch/data.img" "$out" "$data_start"
}

format_of() {
  case $1 in
    *.vhdx) echo vhdx ;;
    *.vhd) echo vpc ;;
    *.qcow2) echo qcow2 ;;
    *) echo raw ;;
  esac
}

# Changes a copy of the data partition and writes the 64 KiB blocks that differ into the image, where they lie: what
# a guest's own write does, so that the next replication finds a small change and not a new file.
write_message() {
  [ $# = 2 ] || { usage >&2 && exit 2; }
  local image=$1 text=$2 format block block_size=65536 commands=()
  format=$(format_of "$image")
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  qemu-img dd -f "$format" -O raw "if=$image" "of=$scratch/disk" bs=1M \
    skip=$data_start count=$((data_start + data_size))
  cp --sparse=always "$scratch/disk" "$scratch/changed"
  printf '%s\n' "$text" >"$scratch/message"
  e2fsck -p "$scratch/changed" >/dev/null || [ $? -le 1 ] || die "the data partition of $image is damaged"
  printf '%s\n' "rm message" "write $scratch/message message" |
    debugfs -w -f - "$scratch/changed" >/dev/null 2>&1
  [ "$(debugfs -R "cat message" "$scratch/changed" 2>/dev/null)" = "$text" ] ||
    die "the message could not be written into $image"
  for block in $(cmp -l "$scratch/disk" "$scratch/changed" |
    awk -v size=$block_size '{print int(($1 - 1) / size)}' | uniq); do
    dd if="$scratch/changed" of="$scratch/block.$block" bs=$block_size skip="$block" count=1 status=none
    commands+=(-c "write -q -s $scratch/block.$block $((data_start * mib + block * block_size)) $block_size")
  done
  [ ${#commands[@]} = 0 ] || qemu-io -f "$format" "${commands[@]}" "$image"
}

case ${1:-} in
  build) shift && build "$@" ;;
  write-message) shift && write_message "$@" ;;
  -h | --help) usage ;;
  *) usage >&2 && exit 2 ;;
esac
