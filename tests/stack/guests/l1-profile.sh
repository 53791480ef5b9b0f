# shellcheck shell=dash
# What L1's shell and its init know: how an L2 is started.

option() { sed -n "s/.*$1=\([^ ]*\).*/\1/p" /proc/cmdline; }

start_l2() { # NUMBER [QEMU'S OPTION...]: QEMU gives it its kernel
  number=$1
  shift
  run_l2 "$number" -kernel /vmlinuz -initrd /l2.cpio \
    -append "console=ttyS0 panic=1 quiet nowatchdog no_timer_check $(option oob.l2append | tr , ' ')" "$@"
}

# SeaBIOS with its console on COM1, Debian's rescue GRUB, and what that is told to read from (hd1).
start_l2_from_disk() { # NUMBER [QEMU'S OPTION...]
  number=$1
  shift
  [ -e /boot.tar ] || tar -cf /boot.tar -C / vmlinuz l2.cpio grub.cfg
  run_l2 "$number" -machine graphics=off -boot menu=on,splash-time=60000 \
    -drive file=/grub.img,format=raw,if=virtio,readonly=on -drive file=/boot.tar,format=raw,if=virtio,readonly=on "$@"
}

# UEFI firmware, whose console is COM1, and a disk that QEMU makes of a folder: GRUB, the kernel and L2's initramfs.
start_l2_from_uefi() { # NUMBER [QEMU'S OPTION...]
  number=$1
  shift
  cp /vmlinuz /l2.cpio /uefi/esp/
  run_l2 "$number" -m 256 -bios /uefi/OVMF.fd -boot menu=on,splash-time=60000 \
    -drive file=fat:/uefi/esp,format=raw,if=virtio,readonly=on "$@"
}

run_l2() { # NUMBER QEMU'S OPTION...
  number=$1
  shift
  com2=
  if [ -n "$(option oob.com2)" ]; then
    [ -p "/com2-in-$number" ] || mkfifo "/com2-in-$number"
    exec 3<>"/com2-in-$number" # QEMU keeps it: who writes never waits, nor ends it for the next
    com2="-chardev file,id=com2,path=/com2-$number,input-path=/com2-in-$number -serial chardev:com2"
  fi
  smp=$(option oob.l2smp)
  rm -f "/mon-$number.in" "/mon-$number.out"
  mkfifo "/mon-$number.in" "/mon-$number.out"
  cat "/mon-$number.out" >"/mon-$number.log" &
  # shellcheck disable=SC2046,SC2086  # words of a command line
  qemu-system-x86_64 -accel kvm -cpu host -m 128 -smp "${smp:-1}" -nodefaults -display none -name l2-$number \
    -chardev pipe,id=monitor,path=/mon-$number -mon monitor \
    -serial file:/com1-$number $com2 "$@" </dev/null &
  echo $! >"/tmp/l2-$number.pid"
}
