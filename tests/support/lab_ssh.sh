#!/usr/bin/env bash
# Inside a lab of libvirt_lab.sh: from now on `ssh lab-host COMMAND` and qemu+ssh://lab-host/system lead to the lab itself,
# by a real ssh server and a key of root's, without any port: the client starts the server as its proxy command. Both read
# only what lies in /run/lab/home, which is root's home then.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
server=$root/build/ssh-server/usr/sbin/sshd
home=/run/lab/home
[ -e "$server" ] || {
  echo "lab_ssh.sh: no ssh server in build/: run cmake/install-deps.sh test" >&2
  exit 1
}
[ -e /run/lab ] || {
  echo "lab_ssh.sh: this is no lab: run it by libvirt_lab.sh" >&2
  exit 1
}
mkdir -p $home/.ssh /run/sshd
chmod 700 $home/.ssh
ssh-keygen -q -t ed25519 -N "" -f /run/lab/host_key
ssh-keygen -q -t ed25519 -N "" -f $home/.ssh/id_ed25519
cp $home/.ssh/id_ed25519.pub $home/.ssh/authorized_keys
cat >/run/lab/sshd_config <<CONF
HostKey /run/lab/host_key
AuthorizedKeysFile $home/.ssh/authorized_keys
PermitRootLogin prohibit-password
StrictModes no
CONF
echo "lab-host $(cat /run/lab/host_key.pub)" >$home/.ssh/known_hosts
cat >$home/.ssh/config <<CONF
Host lab-host
  User root
  ProxyCommand $server -i -f /run/lab/sshd_config
CONF
# Root's home is there, root may log in by key, and the server has its user, whatever this machine says.
awk -F: -v OFS=: -v home=$home '$1 == "sshd" {next} $1 == "root" {$6 = home; $7 = "/bin/sh"} {print}' /etc/passwd \
  >/run/lab/passwd
echo "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin" >>/run/lab/passwd
(umask 077 && printf '%s:*:20000::::::\n' root sshd >/run/lab/shadow)
mount --bind /run/lab/passwd /etc/passwd
mount --bind /run/lab/shadow /etc/shadow
