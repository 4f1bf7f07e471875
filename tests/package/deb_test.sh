#!/usr/bin/env bash
# The Debian package, as somebody gets it: made, held against the policy's checker, installed on a clean Debian root, where
# asr then does the main job; and removed. deb_test.sh BUILD_DIR
set -euo pipefail

build=$(cd "${1:?usage: deb_test.sh BUILD_DIR}" && pwd)
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}
# A bootstrap that was cut leaves mounts: nothing of this machine may go with the root.
clean_up() {
  local mount
  while read -r mount; do as_root umount "$mount"; done < <(awk -v top="$work/" 'index($2, top) == 1 {print $2}' /proc/mounts | tac)
  as_root rm -rf --one-file-system "$work"
}
trap clean_up EXIT

# Where this machine's own packages come from, there the root's do, too.
mirror() {
  # shellcheck disable=SC2016  # apt's own variables
  apt-get indextargets --format '$(SITE) $(RELEASE) $(COMPONENT)' "Created-By: Packages" |
    awk -v release="$1" '$2 == release && $3 == "main" {print $1; exit}'
}

in_root() {
  as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C chroot "$work/root" "$@"
}

echo "== the package"
(cd "$work" && cpack --config "$build/CPackConfig.cmake" >"$work/cpack.log") || { cat "$work/cpack.log" && exit 1; }
package=$(compgen -G "$work/asr_*.deb")
dpkg-deb --info "$package"
dpkg-deb --contents "$package"

echo "== lintian"
lintian --fail-on error "$package"

echo "== a clean root"
# shellcheck disable=SC1091
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
chmod 755 "$work"
as_root debootstrap --variant=minbase "$release" "$work/root" "$(mirror "$release")" >"$work/debootstrap.log" ||
  { tail -n 20 "$work/debootstrap.log" && exit 1; }
as_root cp "$package" "$work/root/asr.deb"
as_root cp "$here/main_job.sh" "$work/root/main_job.sh"
in_root apt-get update -qq
in_root apt-get install -y -qq --no-install-recommends /asr.deb >/dev/null

echo "== the main job in it"
in_root bash /main_job.sh

echo "== removed"
in_root apt-get purge -y -qq asr >/dev/null
left=$(in_root find /usr /etc /lib -xdev \( -name 'asr' -o -name 'asr.*' -o -name 'asr-*' \) -not -path '*/debconf/*')
[ -z "$left" ] || { echo "left behind: $left" && exit 1; }
echo "The package installs, works and goes."
