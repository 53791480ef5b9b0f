#!/usr/bin/env bash
# Fetches the full-screen programs that `make real` boots, into .cache/real: Debian's installer (installer.linux,
# installer.initrd), memtest86+ (memtest), and a CD with a menu of syslinux's menu.c32 (menu.iso). Nothing is patched.
# shellcheck source=debian.sh
. "$(dirname "$0")/debian.sh"

here=$(cd "$(dirname "$0")" && pwd)
unless_made "$cache/real" "$0" "$here/debian.sh"
need_space 800
start_new

# Whatever is chosen opens a menu that says which entry it was.
menu() {
  printf 'SERIAL 0 115200\nUI menu.c32\nPROMPT 0\nMENU TITLE Twenty entries\n'
  for number in {01..20}; do
    printf 'MENU BEGIN e%s\n MENU TITLE Entry %s\n MENU LABEL Entry %s\n' "$number" "$number" "$number"
    printf ' LABEL chosen\n  MENU LABEL This is what entry %s leads to\n  KERNEL none\n' "$number"
    printf ' LABEL back\n  MENU LABEL Back\n  MENU EXIT\nMENU END\n'
  done
}

debian_update
cd "$new"
watched "Real programs: downloading Debian's installer, memtest86+ and syslinux" \
  debian_apt download debian-installer-13-netboot-amd64 memtest86+ isolinux syslinux-common ||
  fail "the packages could not be downloaded from $mirror: see apt's message above, then run this again."
for deb in *.deb; do
  dpkg -x "$deb" packages
done
rm ./*.deb
installer=packages/usr/lib/debian-installer/images/13/amd64/text/debian-installer/amd64
cp "$installer/linux" installer.linux
cp "$installer/initrd.gz" installer.initrd
cp packages/boot/memtest86+x64.bin memtest
mkdir -p cd/isolinux
cp packages/usr/lib/ISOLINUX/isolinux.bin packages/usr/lib/syslinux/modules/bios/{ldlinux,menu,libutil}.c32 cd/isolinux
menu >cd/isolinux/isolinux.cfg
xorriso -as mkisofs -quiet -o menu.iso -b isolinux/isolinux.bin -c isolinux/boot.cat -no-emul-boot -boot-load-size 4 \
  -boot-info-table cd
rm -rf packages cd
commit_new
