#!/bin/busybox sh
# shellcheck shell=dash
# L1, the virtualized system: an unmodified Debian kernel with KVM, and Debian's QEMU. From its command line:
#   oob.l2=N           how many L2s it starts (1)        oob.l2smp=N  vCPUs of each (1)
#   oob.l2append=A,B   more words for L2's kernel command line
#   oob.com2=1         L2 has a second serial port, left to L1's own isa-serial: what it carries is kept in /com2-N,
#                      what is written to /com2-in-N is typed into it
# Its console, ttyS0, is a shell, so that a test can look at L1 as its administrator would. What L1's own emulated
# serial port of L2 number N carries, it keeps in /com1-N; /tmp/l2-N.pid is that L2's QEMU.
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
option() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }
for module in irqbypass kvm kvm-amd; do
  insmod /lib/$module.ko || echo "L1 cannot load $module"
done
start_l2() { # NUMBER
  com2=
  if [ -n "$(option oob.com2)" ]; then
    mkfifo "/com2-in-$1"
    exec 3<>"/com2-in-$1" # QEMU keeps it: who writes never waits, nor ends it for the next
    com2="-chardev file,id=com2,path=/com2-$1,input-path=/com2-in-$1 -serial chardev:com2"
  fi
  # shellcheck disable=SC2046,SC2086  # words of a command line
  qemu-system-x86_64 -accel kvm -cpu host -m 128 -smp "$smp" -nodefaults -display none -name l2-$1 \
    -serial file:/com1-$1 $com2 -kernel /vmlinuz -initrd /l2.cpio \
    -append "console=ttyS0 panic=1 quiet $(option oob.l2append | tr , ' ')" </dev/null &
  echo $! >"/tmp/l2-$1.pid"
}
smp=$(option oob.l2smp)
smp=${smp:-1}
count=$(option oob.l2)
for i in $(seq "${count:-1}"); do
  start_l2 "$i"
done
hostname l1
echo "L1 is up"
while :; do
  setsid cttyhack sh -l
done
