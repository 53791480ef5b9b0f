#!/bin/busybox sh
# shellcheck shell=dash
# L1, the virtualized system: an unmodified Debian kernel with KVM, and Debian's QEMU. From its command line:
#   oob.l2=N           how many L2s it starts (1)        oob.l2smp=N  vCPUs of each (1)
#   oob.l2append=A,B   more words for L2's kernel command line
#   oob.com2=1         L2 has a second serial port, left to L1's own isa-serial: what it carries is kept in /com2-N,
#                      what is written to /com2-in-N is typed into it
# Its console, ttyS0, is a shell, so that a test can look at L1 as its administrator would. What L1's own emulated
# serial port of L2 number N carries, it keeps in /com1-N; /tmp/l2-N.pid is that L2's QEMU, whose monitor reads
# /mon-N.in and writes /mon-N.log.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in irqbypass kvm kvm-amd; do
  insmod /lib/$module.ko || echo "L1 cannot load $module"
done
. /etc/profile
count=$(option oob.l2)
for i in $(seq "${count:-1}"); do
  start_l2 "$i"
done
hostname l1
echo "L1 is up"
while :; do
  setsid cttyhack sh -l
done
