#!/usr/bin/env bash
# A libvirt of one's own for a test: libvirt_lab.sh COMMAND... runs COMMAND where qemu:///system is a libvirtd that only
# it sees, and returns its exit code. Works as root, or with uidmap where users may make namespaces. Starts in 0.3 s.
#
# Namespaces of mounts and processes hold it all: /run, /etc/libvirt and /var/{lib,cache,log}/libvirt are empty private
# directories in memory; daemons, guests and everything else that COMMAND started end with it, also by kill -9 of this
# script. Process ids are those of the lab. Guests' disks belong into COMMAND's own temporary directory. Inside:
#   $ASR_LAB_START_LIBVIRTD     a program that starts libvirtd again (after a kill) and returns once it answers
#   $ASR_LAB_LIBVIRTD_PID_FILE  its pid
set -euo pipefail

die() {
  echo "libvirt_lab.sh: $*" >&2
  exit 99
}

script=$(readlink -f "${BASH_SOURCE[0]}")
# What libvirt found out about QEMU takes a second; it checks by itself whether it still holds.
cache=${script%/tests/support/*}/build/libvirt-lab/capabilities
private_directories="/etc/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt"

# The part outside: dies with its caller's kill, and takes the namespace along.
outside() {
  local unshare=(unshare --mount --propagation private --pid --fork --kill-child --mount-proc) lab status=0 directory
  for directory in $private_directories; do
    [ -d "$directory" ] || die "there is no $directory to mount over: run cmake/install-deps.sh test"
  done
  [ "$(id -u)" = 0 ] || unshare+=(--user --map-root-user --map-auto)
  "${unshare[@]}" true || die "needs to be root, or uidmap and a kernel that lets users make namespaces"
  setpriv --pdeathsig KILL "${unshare[@]}" "$script" --inside "$@" <&0 &
  lab=$!
  trap 'kill -KILL $lab 2>/dev/null; exit 143' HUP INT TERM
  wait $lab || status=$?
  exit $status
}

write_configuration() {
  cat >/etc/libvirt/libvirtd.conf <<CONF
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0777"
host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
log_filters = "1:qemu.qemu_backup 3:*"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
CONF
  # Neither cgroups nor machined: those are the host's, and domains of two labs may have one name. No log daemon either:
  # a guest's console goes straight into its file.
  cat >/etc/libvirt/qemu.conf <<CONF
user = "root"
group = "root"
security_driver = "none"
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
CONF
}

write_starter() {
  cat >"$ASR_LAB_START_LIBVIRTD" <<'START'
#!/bin/sh
libvirtd -d -p "$ASR_LAB_LIBVIRTD_PID_FILE" || exit
tries=0
until virsh -q -c qemu:///system version >/run/lab/version 2>&1; do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || { tail -n 20 /run/lab/version /var/log/libvirt/libvirtd.log >&2; exit 1; }
  sleep 0.05
done
START
  chmod +x "$ASR_LAB_START_LIBVIRTD"
}

# libvirtd of Debian does not start without the user that it would run guests as, which only libvirt-daemon-system makes.
add_qemu_user() {
  local file
  getent passwd libvirt-qemu >/dev/null && return
  cp /etc/passwd /etc/group /run/lab/
  echo "libvirt-qemu:x:64055:64055::/var/lib/libvirt:/usr/sbin/nologin" >>/run/lab/passwd
  echo "libvirt-qemu:x:64055:" >>/run/lab/group
  for file in passwd group; do
    mv /run/lab/$file /run/lab/$file-with-qemu
    mount --bind /run/lab/$file-with-qemu /etc/$file
  done
}

take_cache() {
  mkdir -p /var/cache/libvirt/qemu/capabilities
  cp "$cache"/*.xml /var/cache/libvirt/qemu/capabilities/ 2>/dev/null || true
}

# By renaming: other labs read there. If another user's cache lies there, it stays.
keep_cache() {
  local file partial
  for file in /var/cache/libvirt/qemu/capabilities/*.xml; do
    if [ -e "$file" ] && ! cmp -s "$file" "$cache/${file##*/}"; then
      mkdir -p "$cache" && partial=$(mktemp -p "$cache") && cat "$file" >"$partial" &&
        mv -f "$partial" "$cache/${file##*/}"
    fi
  done 2>/dev/null
  return 0
}

# The first process of the namespace: when it ends, all others are killed.
inside() {
  local directory status=0
  mount -t tmpfs -o mode=755 lab /run
  mkdir -p /run/lab /run/lock /run/libvirt
  for directory in $private_directories; do
    mkdir -p "/run/lab$directory"
    mount --bind "/run/lab$directory" "$directory"
  done
  # Without KVM everywhere and for every user: where only some may open its device, libvirt asks QEMU all over again at
  # every step.
  if [ -e /dev/kvm ]; then
    touch /run/lab/no-kvm
    mount --bind /run/lab/no-kvm /dev/kvm
    mount -o remount,bind,ro /dev/kvm
  fi
  export ASR_LAB_START_LIBVIRTD=/run/lab/start-libvirtd ASR_LAB_LIBVIRTD_PID_FILE=/run/libvirtd.pid
  export DBUS_SYSTEM_BUS_ADDRESS=unix:path=/run/none
  unset XDG_RUNTIME_DIR DBUS_SESSION_BUS_ADDRESS LIBVIRT_DEFAULT_URI
  write_configuration
  add_qemu_user
  write_starter
  take_cache
  "$ASR_LAB_START_LIBVIRTD" || die "libvirtd does not start"
  "$@" || status=$?
  keep_cache
  exit $status
}

case ${1:-} in
  "" | -h | --help) echo "Usage: libvirt_lab.sh COMMAND..." && exit 2 ;;
  --inside) shift && inside "$@" ;;
esac
# A list of tests needs no lab.
for word in "$@"; do
  [[ $word != --gtest_list_tests* ]] || exec "$@"
done
outside "$@"
