#!/usr/bin/env bash
# Builds what the nested stack boots, into .cache/guests: Debian's own cloud kernel (vmlinuz), L2's initramfs, and
# L1's initramfs with Debian's KVM modules and Debian's QEMU. Nothing in either is patched.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

here=$(cd "$(dirname "$0")" && pwd)
target=$cache/guests
stamp=$target/.made-from
want=$(fingerprint "$0" "$here"/guests/*)
[ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || exit 0
need_space 700
rm -rf "$target" "$target".new
mkdir -p "$target".new
cd "$target".new

say "Guests: unpacking Debian's cloud kernel"
package=
for meta in linux-image-6.12-cloud-amd64 linux-image-cloud-amd64; do
  package=$({ apt-cache depends "$meta" 2>/dev/null || true; } | awk '/Depends: linux-image/ {print $2; exit}')
  [ -z "$package" ] || break
done
[ -n "$package" ] || fail "apt knows no linux-image-cloud-amd64: run apt-get update with a Debian mirror, then run this again."
apt-get -qq -o APT::Sandbox::User=root download "$package" || fail "$package could not be downloaded: see apt's message above."
dpkg -x linux-image-*.deb kernel
rm -f linux-image-*.deb
cp kernel/boot/vmlinuz-* vmlinuz
modules=$(echo kernel/lib/modules/*/kernel)
[ -d "$modules" ] || modules=$(echo kernel/usr/lib/modules/*/kernel)

pack() { (cd "$1" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible | gzip -1n); }

skeleton() { # FOLDER INIT
  mkdir -p "$1"/{bin,proc,sys,dev,tmp,lib}
  cp "$(command -v busybox)" "$1/bin/busybox"
  cp "$here/guests/$2" "$1/init"
  chmod +x "$1/init"
}

say "Guests: building L2's and L1's initramfs"
skeleton l2 l2-init.sh
pack l2 >l2.cpio.gz
skeleton l1 l1-init.sh
for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd; do
  file=l1/lib/$(basename "$module").ko
  if [ -f "$modules/$module.ko" ]; then # Debian 12's own kernel does not compress them
    cp "$modules/$module.ko" "$file"
  else
    xz -dc "$modules/$module.ko.xz" >"$file"
  fi
done
qemu=/usr/bin/qemu-system-x86_64
mkdir -p l1/usr/bin l1/usr/share/{qemu,seabios} l1/lib64
cp "$qemu" l1/usr/bin/
ldd "$qemu" | grep -oE '/[^ ]+' | while read -r library; do
  mkdir -p "l1/$(dirname "$library")"
  cp -L "$library" "l1/$library"
done
cp -L /usr/share/seabios/bios-256k.bin l1/usr/share/seabios/
for rom in linuxboot_dma.bin kvmvapic.bin; do
  found=$(find /usr/share/qemu /usr/share/seabios -name "$rom" | head -n 1)
  [ -z "$found" ] || cp -L "$found" l1/usr/share/qemu/
done
cp vmlinuz l2.cpio.gz l1/
pack l1 >l1.cpio.gz
rm -rf kernel l1 l2
echo "$want" >.made-from
mv "$target".new "$target"
