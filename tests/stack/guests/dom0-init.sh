#!/bin/busybox sh
# shellcheck shell=dash
# The dom0 of an L1 that is Xen. Its console is Xen's, a shell; `start_l2 NUMBER` makes a domU whose virtual machine
# is a whole PC ("hvm"), with more lines for its configuration as arguments. What Xen's emulated serial port of that
# domU carries is kept in /com1-NUMBER.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir /dev/pts
mount -t devpts devpts /dev/pts
for module in xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc; do
  insmod /lib/modules/$module.ko || echo "L1 cannot load $module"
done
mount -t xenfs xenfs /proc/xen
cat >/etc/profile <<'PROFILE'
tools=/usr/lib/xen-4.20/bin
export LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu:/usr/lib/xen-4.20/lib/x86_64-linux-gnu PATH=$PATH:/bin:$tools:/usr/bin
option() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
start_l2() { # NUMBER [LINE...]
  number=$1
  shift
  {
    echo "type = 'hvm'"
    echo "name = 'l2-$number'"
    echo "memory = 128"
    echo "vcpus = 1"
    echo "vnc = 0"
    echo "vga = 'none'"
    echo "kernel = '/vmlinuz'"
    echo "ramdisk = '/l2.cpio'"
    echo "extra = 'console=ttyS0 panic=1 quiet nowatchdog no_timer_check $(option oob.l2append | tr , ' ')'"
    echo "serial = 'file:/com1-$number'"
    for line in "$@"; do echo "$line"; done
  } >"/l2-$number.cfg"
  xl create "/l2-$number.cfg"
}
PROFILE
. /etc/profile
mkdir -p /run/xen /run/xenstored /var/lib/xen /var/lib/xenstored /var/log/xen /var/run/xen /var/lock
touch /etc/xen/xl.conf
xenstored
xen-init-dom0
xenconsoled
hostname l1
start_l2 1
echo "L1 is up"
while :; do
  setsid cttyhack sh -c "stty -onlcr; exec sh -l" # Xen makes CR LF of a line's end itself
done
