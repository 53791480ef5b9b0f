#!/bin/busybox sh
# L2, the user's virtual machine: a shell on its serial console.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
hostname l2
cat /proc/uptime >/tmp/ready
stty -F /dev/ttyS0 sane
echo "L2 is ready"
while :; do
  setsid cttyhack sh -l
done
