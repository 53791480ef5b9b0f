#!/bin/busybox sh
# L1, the virtualized system: an unmodified Debian kernel with KVM, and Debian's QEMU. From its command line:
#   oob.l2=N      how many L2s it starts (1)        oob.l2smp=N  vCPUs of each (1)
#   oob.com2=1    L2 has a second serial port, left to L1's own isa-serial with the file /com2 behind it
# The rest of L1's console, ttyS0, is a shell, so that a test can look at L1 as its administrator would.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
option() { sed -n "s/.*$1=\([0-9a-z]*\).*/\1/p" /proc/cmdline; }
for module in irqbypass kvm kvm-amd; do
  insmod /lib/$module.ko || echo "L1 cannot load $module"
done
count=$(option oob.l2)
smp=$(option oob.l2smp)
com2=
[ -z "$(option oob.com2)" ] || com2="-serial file:/com2"
i=1
while [ $i -le "${count:-1}" ]; do
  # shellcheck disable=SC2086  # com2 is two words or none
  qemu-system-x86_64 -accel kvm -cpu host -m 128 -smp "${smp:-1}" -nodefaults -display none -name l2-$i \
    -serial file:/com1-$i $com2 -kernel /vmlinuz -initrd /l2.cpio.gz -append "console=ttyS0 panic=1 quiet" </dev/null &
  echo $! >/tmp/l2-$i.pid
  i=$((i + 1))
done
hostname l1
echo "L1 is up"
while :; do
  setsid cttyhack sh -l
done
