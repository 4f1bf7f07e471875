#!/usr/bin/env bash
# Installs the Debian packages that are missing for building (build), for the guest of the quickstart and the tests
# (guest), and for the tests (test: both of these and the checkers). Tested on Debian 12; Ubuntu as far as its packages go.
set -euo pipefail

# Compiler, build tools and libraries: README.md says what each library is for.
build_packages="g++ cmake ninja-build pkg-config ca-certificates libcli11-dev libcurl4-openssl-dev
  libexpected-dev libfmt-dev libjq-dev libmicrohttpd-dev libnbd-dev libpugixml-dev libsqlite3-dev libssl-dev
  libvirt-dev libxxhash-dev libyaml-cpp-dev nlohmann-json3-dev zlib1g-dev"

# QEMU with firmware for both generations, and what cli/guest-image.sh makes a disk with.
guest_packages="qemu-system-x86 qemu-utils ovmf busybox-static cpio dosfstools e2fsprogs fdisk
  grub-common grub-efi-amd64-bin grub-pc-bin kmod mtools jq"

test_packages="clang clang-format clang-tidy llvm ccache git bzip2 fish fuse3 libgtest-dev libgmock-dev libbenchmark-dev
  libvhdi-utils mandoc shellcheck time python3 python3-jsonschema
  debootstrap dpkg-dev libnbd-bin lintian zsh azure-cli curl libsecret-1-0 openssl
  libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu libwrap0 openssh-client uidmap virtnbdbackup"

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
kernel_dir=$root/build/guest-kernel
kernel_package=linux-image-cloud-amd64
agent_dir=$root/build/guest-agent
ssh_dir=$root/build/ssh-server
azure_tools_dir=$root/build/azure-tools

usage() {
  echo "Usage: install-deps.sh [build|guest|test]...   (default: build)"
}

die() {
  echo "install-deps.sh: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "needs root for: $* (run it as root, or install sudo)"
  fi
}

# Package lists are fetched once a run, and only if something has to come from them.
lists_are_fresh=0
refresh_lists() {
  [ $lists_are_fresh = 1 ] || as_root apt-get update -qq
  lists_are_fresh=1
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

install_missing() {
  local missing=() package
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  if [ ${#missing[@]} = 0 ]; then
    echo "install-deps.sh: all $# packages are installed."
    return
  fi
  echo "install-deps.sh: installing ${#missing[@]} of $# packages: ${missing[*]}"
  refresh_lists
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 "${missing[@]}" >"$log" 2>&1 || {
    tail -n 20 "$log" >&2
    die "apt-get install failed; its last lines are above."
  }
}

# Some packages are unpacked into build/, never installed: this machine keeps its own kernel, has no guest agent, and
# takes no logins.
# unpack DIR COMMAND...: COMMAND prints the package's name, another one perhaps after the lists were fetched.
unpack() {
  local directory=$1 download
  shift
  echo "install-deps.sh: unpacking $("$@")."
  download=$(mktemp -d)
  (cd "$download" && apt-get download -qq "$("$@")" >"$log" 2>&1) || {
    refresh_lists
    (cd "$download" && apt-get download -qq "$("$@")" >"$log" 2>&1) ||
      die "cannot download $("$@"): $(tail -n 1 "$log")"
  }
  mkdir -p "$root/build"
  rm -rf "$directory" "$directory.partial"
  dpkg-deb -x "$download"/*.deb "$directory.partial"
  mv "$directory.partial" "$directory"
  rm -rf "$download"
  # Under sudo: what lies in the tree belongs to whom the tree belongs.
  [ "$(id -u)" != 0 ] || chown -R --reference="$root" "$root/build"
}

fetch_guest_kernel() {
  if compgen -G "$kernel_dir/boot/vmlinuz-*" >/dev/null; then
    return
  fi
  [ -n "$(newest_kernel)" ] || refresh_lists
  [ -n "$(newest_kernel)" ] || die "no package $kernel_package here: the guest needs Debian's cloud kernel."
  unpack "$kernel_dir" newest_kernel
}

# Its libraries are those that QEMU needs, too.
fetch_guest_agent() {
  [ -e "$agent_dir/usr/sbin/qemu-ga" ] || unpack "$agent_dir" echo qemu-guest-agent
}

# Of the lab of libvirt. Its libraries are QEMU's, those of the client, and libwrap0.
fetch_ssh_server() {
  [ -e "$ssh_dir/usr/sbin/sshd" ] || unpack "$ssh_dir" echo openssh-server
}

# Azurite, azcopy and the JavaScript client, in the versions that tests/support/azure_tools names. They bring the Node.js
# that Azurite wants; Debian's npm, if there is none, only fetches them.
fetch_azure_tools() {
  local list=$root/tests/support/azure_tools
  if cmp -s "$list/package-lock.json" "$azure_tools_dir/package-lock.json"; then
    return
  fi
  command -v npm >/dev/null || install_missing nodejs npm
  echo "install-deps.sh: fetching Azurite and clients of Azure Storage for the tests."
  rm -rf "$azure_tools_dir" "$azure_tools_dir.partial"
  mkdir -p "$azure_tools_dir.partial"
  cp "$list/package.json" "$list/package-lock.json" "$azure_tools_dir.partial"
  (cd "$azure_tools_dir.partial" && npm ci --ignore-scripts --no-audit --no-fund >"$log" 2>&1) || {
    tail -n 20 "$log" >&2
    die "npm ci failed; its last lines are above."
  }
  chmod +x "$azure_tools_dir.partial"/node_modules/@azure-tools/azcopy-linux/dist/bin/*
  mv "$azure_tools_dir.partial" "$azure_tools_dir"
  [ "$(id -u)" != 0 ] || chown -R --reference="$root" "$azure_tools_dir"
}

# What tests/support/libvirt_lab.sh mounts its own over. Not libvirt-daemon-system, which makes these: it would start a
# libvirtd on this machine, and wants systemd.
make_libvirt_directories() {
  local directory
  for directory in /etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    [ -d $directory ] || as_root mkdir -p $directory
  done
}

newest_kernel() {
  apt-cache depends "$kernel_package" 2>/dev/null | awk '$1 == "Depends:" && /cloud-amd64/ {print $2; exit}'
}

command -v apt-get >/dev/null || die "this is not Debian or Ubuntu: no apt-get. README.md lists what is needed."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[ $# -gt 0 ] || set -- build
packages="" with_guest=0 with_agent=0 with_azure_tools=0 with_libvirt=0
for part in "$@"; do
  case $part in
    build) packages+=" $build_packages" ;;
    guest) packages+=" $guest_packages" && with_guest=1 ;;
    test)
      packages+=" $build_packages $guest_packages $test_packages"
      with_guest=1 with_agent=1 with_azure_tools=1 with_libvirt=1
      ;;
    -h | --help) usage && exit 0 ;;
    *) usage >&2 && exit 2 ;;
  esac
done
# shellcheck disable=SC2046,SC2086  # a list of words
install_missing $(printf '%s\n' $packages | sort -u)
[ $with_guest = 0 ] || fetch_guest_kernel
[ $with_agent = 0 ] || fetch_guest_agent
[ $with_azure_tools = 0 ] || fetch_azure_tools
[ $with_libvirt = 0 ] || { make_libvirt_directories && fetch_ssh_server; }
