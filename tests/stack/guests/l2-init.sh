#!/bin/busybox sh
# shellcheck shell=dash
# L2, the user's virtual machine: a shell on its serial console.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
hostname l2
stty -F /dev/ttyS0 sane
export PS1='l2# '
echo "L2 is ready after $(cut -d ' ' -f 1 /proc/uptime) s"
while :; do
  setsid cttyhack sh -l
done
