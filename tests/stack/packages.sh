#!/usr/bin/env bash
# Installs the Debian packages that building and testing need and that are missing. Says which before it does.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

packages=(
  gcc make pkg-config libc6-dev libglib2.0-dev                # the plugin
  python3 python3-venv python3-dev libvirt-dev                # the virtual environment
  busybox-static cpio gzip xz-utils qemu-system-x86 seabios   # the guests
  openssh-client shellcheck debian-archive-keyring ca-certificates
)

command -v apt-get >/dev/null ||
  fail "this is no Debian system (no apt-get): install by hand what tests/stack/packages.sh lists, or use Debian 12 or 13."

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

need_space 1500
say "Installing the Debian packages that are missing: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
as_root apt-get -qq update ||
  fail "apt-get update failed: give this system a Debian mirror that it reaches (/etc/apt/sources.list), then run this again."
as_root apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null ||
  fail "apt-get could not install ${missing[*]}: see its message above."
