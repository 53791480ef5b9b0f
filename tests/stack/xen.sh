#!/usr/bin/env bash
# Builds an L1 that is Xen, into .cache/xen: Debian's hypervisor (xen), the kernel of its dom0 (vmlinuz), and dom0's
# initramfs (dom0.cpio) with Xen's tools, the QEMU that Debian has for Xen, and what .cache/guests has for L2. Nothing
# is patched.
# shellcheck source=debian.sh
. "$(dirname "$0")/debian.sh"

here=$(cd "$(dirname "$0")" && pwd)
guests=$cache/guests
[ -e "$guests/.made-from" ] || fail "there are no guests in .cache/guests: run tests/stack/build-guests.sh first."
unless_made "$cache/xen" "$0" "$here/debian.sh" "$here/guests/dom0-init.sh" "$guests/.made-from"
need_space 1500
start_new

copy() { # PATH...: from the unpacked packages
  local path
  for path in "$@"; do
    mkdir -p "dom0${path%/*}"
    cp -L "packages$path" "dom0$path"
  done
}

libraries() { # PROGRAM...: the paths of all that they need, as unpacked
  local libs=packages/usr/lib/x86_64-linux-gnu:packages/usr/lib/xen-4.20/lib/x86_64-linux-gnu program
  for program in "$@"; do
    packages/usr/lib64/ld-linux-x86-64.so.2 --library-path "$libs" --list "packages$program" |
      sed -nE "s#.* => packages(/[^ ]+) .*#\1#p"
  done | sort -u
}

debian_update
kernel=$(debian_apt -s install linux-image-amd64 | awk '/^Inst linux-image-[0-9]/ && !found {print $2; found = 1}')
[ -n "$kernel" ] || fail "$mirror has no linux-image-amd64: give apt a full Debian mirror, then run this again."
mkdir -p "$new/archives/partial"
cd "$new"
download() {
  debian_apt -y --no-install-recommends --download-only -o Dir::Cache::archives="$new/archives" \
    install xen-hypervisor-4.20-amd64 xen-utils-4.20 qemu-system-xen &&
    debian_apt download "$kernel" busybox-static
}
watched "Xen: downloading the hypervisor, its tools and $kernel" download ||
  fail "the packages could not be downloaded from $mirror: see apt's message above, then run this again."

say "Xen: building dom0's initramfs"
for deb in archives/*.deb ./*.deb; do
  dpkg -x "$deb" packages
done
rm -r archives ./*.deb
cp packages/boot/vmlinuz-* vmlinuz
zcat packages/boot/xen-4.20-amd64.gz >xen

mkdir -p dom0/{bin,proc,sys,dev,tmp,run,lib64,lib/modules,etc/xen,var/{lib,log,run}}
cp packages/usr/bin/busybox dom0/bin/
cp "$here/guests/dom0-init.sh" dom0/init
chmod 755 dom0/init
cp "$guests/vmlinuz" dom0/vmlinuz
cp "$guests/l2.cpio" dom0/
for module in xenfs/xenfs xen-evtchn xen-gntdev xen-gntalloc xen-privcmd; do
  xz -dc packages/usr/lib/modules/*/kernel/drivers/xen/"$module.ko.xz" >"dom0/lib/modules/${module##*/}.ko"
done
tools=/usr/lib/xen-4.20/bin
programs="$tools/xl $tools/xenstored $tools/xenconsoled $tools/xen-init-dom0 $tools/libxl-save-helper
  /usr/bin/xenstore-write /usr/libexec/xen-qemu-system-i386"
# shellcheck disable=SC2086  # words
copy $programs /usr/lib64/ld-linux-x86-64.so.2 /usr/lib/xen-4.20/boot/hvmloader /usr/share/seabios/bios-256k.bin \
  /usr/share/qemu/{linuxboot_dma.bin,linuxboot.bin,kvmvapic.bin,keymaps/en-us}
# shellcheck disable=SC2046,SC2086
copy $(libraries $programs)
cp dom0/usr/lib64/ld-linux-x86-64.so.2 dom0/lib64/
find dom0 -exec touch -h -d @0 {} +
(cd dom0 && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0) >dom0.cpio
rm -rf packages dom0
commit_new
