#!/usr/bin/env bash
# Builds what the nested stack boots, into .cache/guests: Debian's own cloud kernel (vmlinuz), L2's initramfs, and L1's
# with that kernel's KVM modules, Debian's own QEMU and rescue GRUB; and uefi.cpio, which a test adds to L1's: UEFI firmware
# and GRUB for it. Nothing is patched; the same packages give the same bytes.
# shellcheck source=debian.sh
. "$(dirname "$0")/debian.sh"

here=$(cd "$(dirname "$0")" && pwd)
qemu=$cache/qemu/root
[ -e "$cache/qemu/.made-from" ] || fail "there is no QEMU in .cache/qemu for L1 to run: run tests/stack/fetch-qemu.sh first."
unless_made "$cache/guests" "$0" "$here/debian.sh" "$here"/guests/* "$cache/qemu/.made-from"
need_space 700
start_new

skeleton() { # FOLDER INIT
  mkdir -p "$1"/{bin,proc,sys,dev,tmp,lib}
  cp packages/usr/bin/busybox "$1/bin/"
  cp "$here/guests/$2" "$1/init"
  chmod 755 "$1/init"
}

# Not compressed: the kernel under TCG would take two seconds to decompress L1's.
pack() { # FOLDER
  find "$1" -exec touch -h -d @0 {} +
  (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0) >"$1.cpio"
  rm -rf "$1"
}

copy_from_qemu() { # PATH...
  local path
  for path in "$@"; do
    mkdir -p "l1${path%/*}"
    cp -L "$qemu$path" "l1$path"
  done
}

libraries() { # of L1's QEMU, as paths in $qemu
  local libs=$qemu/usr/lib/x86_64-linux-gnu
  "$qemu/usr/lib64/ld-linux-x86-64.so.2" --library-path "$libs" --list "$qemu/usr/bin/qemu-system-x86_64" |
    sed -nE "s#.* => $qemu(/[^ ]+) .*#\1#p" | sort -u
}

debian_update
kernel=$(debian_apt -s install linux-image-cloud-amd64 | awk '/^Inst linux-image-[0-9]/ && !found {print $2; found = 1}')
[ -n "$kernel" ] || fail "$mirror has no linux-image-cloud-amd64: give apt a full Debian mirror, then run this again."
cd "$new"
watched "Guests: downloading $kernel, busybox, GRUB and UEFI firmware" \
  debian_apt download "$kernel" busybox-static grub-rescue-pc grub-efi-amd64-unsigned ovmf ||
  fail "the guests' packages could not be downloaded from $mirror: see apt's message above, then run this again."

say "Guests: building L2's and L1's initramfs"
for deb in *.deb; do
  dpkg -x "$deb" packages
done
rm ./*.deb
cp packages/boot/vmlinuz-* vmlinuz

skeleton l2 l2-init.sh
pack l2

skeleton l1 l1-init.sh
mkdir -p l1/etc
cp "$here/guests/l1-profile.sh" l1/etc/profile
for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd; do
  xz -dc packages/usr/lib/modules/*/kernel/"$module.ko.xz" >"l1/lib/${module##*/}.ko"
done
copy_from_qemu /usr/bin/qemu-system-x86_64 /usr/lib64/ld-linux-x86-64.so.2 /usr/share/seabios/bios-256k.bin \
  /usr/share/qemu/{linuxboot_dma,kvmvapic}.bin
for library in $(libraries); do
  copy_from_qemu "$library"
done
ln -s usr/lib64 l1/lib64
cp vmlinuz l2.cpio "$here/guests/grub.cfg" l1/
cp packages/usr/lib/grub-rescue/grub-rescue-floppy.img l1/grub.img
pack l1

mkdir -p uefi/uefi/esp/EFI/{BOOT,debian}
cp packages/usr/share/ovmf/OVMF.fd uefi/uefi/
cp packages/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi uefi/uefi/esp/EFI/BOOT/BOOTX64.EFI
cp "$here/guests/grub-efi.cfg" uefi/uefi/esp/EFI/debian/grub.cfg
pack uefi
rm -rf packages
commit_new
