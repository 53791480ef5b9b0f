# shellcheck shell=dash
# What L1's shell and its init know: how an L2 is started.

option() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

start_l2() { # NUMBER [QEMU'S OPTION...]
  number=$1
  shift
  com2=
  [ -z "$(option oob.com2)" ] || com2="-serial file:/com2-$number"
  smp=$(option oob.l2smp)
  rm -f "/mon-$number.in" "/mon-$number.out"
  mkfifo "/mon-$number.in" "/mon-$number.out"
  cat "/mon-$number.out" >"/mon-$number.log" &
  # shellcheck disable=SC2046,SC2086  # words of a command line
  qemu-system-x86_64 -accel kvm -cpu host -m 128 -smp "${smp:-1}" -nodefaults -display none -name l2-$number \
    -chardev pipe,id=monitor,path=/mon-$number -mon monitor \
    -serial file:/com1-$number $com2 -kernel /vmlinuz -initrd /l2.cpio \
    -append "console=ttyS0 panic=1 quiet $(option oob.l2append | tr , ' ')" "$@" </dev/null &
  echo $! >"/tmp/l2-$number.pid"
}
