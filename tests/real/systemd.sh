#!/usr/bin/env bash
# Boots a systemd of its own, which starts docs/systemd/oobconsole.service as it is, and has tests/real/systemd_probe.sh
# look at it: systemd.sh FOLDER PYTHON PACKAGES. FOLDER has the configuration and keys, and gets what the probe writes.
# PYTHON is the directory of a Python, and PACKAGES that of the packages which oobconsole needs.
#
# All of it is in namespaces (PIDs, mounts, host name, network, cgroups): the machine's own systemd, if there is one,
# and its files are not touched. Needs root.
set -e

here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
stage=outside
[[ $1 == --* ]] && stage=${1#--} && shift
folder=$1 python=$2 packages=$3

# A cgroup of its own becomes the root of what the new systemd sees.
outside() {
  exec unshare --mount "$here/systemd.sh" --cgroup "$@"
}

cgroup() {
  mount --make-rprivate /
  mkdir "$folder/cgroup"
  mount -t cgroup2 cgroup2 "$folder/cgroup"
  own="$folder/cgroup/oobconsole-test-$$"
  mkdir "$own"
  echo $$ >"$own/cgroup.procs"
  status=0
  unshare --fork --kill-child --pid --mount --uts --ipc --net --cgroup "$here/systemd.sh" --inside "$@" || status=$?
  echo $$ >"$folder/cgroup/cgroup.procs"
  find "$own" -depth -type d -exec rmdir {} +
  exit $status
}

inside() {
  mount -t tmpfs tmpfs /run
  mkdir -p /run/etc/{upper,work} /run/systemd/system /run/lock
  mount -t overlay overlay -o "lowerdir=/etc,upperdir=/run/etc/upper,workdir=/run/etc/work" /etc
  mount -t tmpfs tmpfs /etc/systemd/system
  echo 'oobconsole:x:987:987::/var/lib/oobconsole:/usr/sbin/nologin' >>/etc/passwd
  echo 'oobconsole:x:987:' >>/etc/group
  mkdir -p /etc/oobconsole
  mount -t tmpfs -o mode=755 tmpfs /etc/oobconsole
  cp -r "$folder/etc/." /etc/oobconsole/
  mount -t tmpfs tmpfs /var/lib
  install_it
  units
  mount -t proc proc /proc
  mount --bind /proc/sys /proc/sys
  mount -o remount,ro,bind /proc/sys
  umount -l /sys
  mount -t sysfs -o ro sysfs /sys
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
  hostname oobconsole-test
  ip link set lo up
  export container=oobconsole-test # systemd then leaves the kernel's settings and devices alone
  exec /usr/lib/systemd/systemd --system --unit=oobconsole-test.target --show-status=no
}

# As an installation in /opt: the unit may not see anybody's home, where the developer's own Python may be.
install_it() {
  mount -t tmpfs tmpfs /opt
  mkdir -p /opt/python /opt/oobconsole/{bin,source,packages}
  mount --bind "$python" /opt/python
  mount --bind "$packages" /opt/oobconsole/packages
  cp -r "$root/oobconsole" "$root/devices" "$root/pyproject.toml" /opt/oobconsole/source/
  cat >/opt/oobconsole/bin/oobconsole <<'END'
#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib
export PYTHONPATH=/opt/oobconsole/source:/opt/oobconsole/packages
exec /opt/python/bin/python3 -m oobconsole "$@"
END
  chmod 755 /opt/oobconsole/bin/oobconsole
}

# The unit itself; that its log goes to a file, because there is no journal; and the probe.
units() {
  cd /run/systemd/system
  cp "$root/docs/systemd/oobconsole.service" .
  mkdir oobconsole.service.d
  printf '[Unit]\nDefaultDependencies=no\n[Service]\nStandardOutput=append:%s/log\nStandardError=append:%s/log\n' \
    "$folder" "$folder" >oobconsole.service.d/test.conf
  printf '[Unit]\nDefaultDependencies=no\nRequires=oobconsole.service\nWants=probe.service\n' >oobconsole-test.target
  printf '[Unit]\nDefaultDependencies=no\nAfter=oobconsole.service\n[Service]\nType=oneshot\nExecStart=%s %s\n' \
    "$here/systemd_probe.sh" "$folder" >probe.service
}

$stage "$@"
