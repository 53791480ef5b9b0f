#!/usr/bin/env bash
# Installs the Debian packages that building and testing need and that are missing. Says which before it does.
# With the argument `fuzz`, `bench`, `soak`, `real` or `kernel`: those that `make fuzz` and so on needs besides.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

packages=(
  gcc libc6-dev make pkg-config libglib2.0-dev        # the plugin
  python3 python3-venv python3-dev libvirt-dev        # the virtual environment
  cpio xz-utils debian-archive-keyring                # the guests
  ca-certificates openssh-client shellcheck           # pip, the tests, the checks
  dropbear-bin                                        # another SSH client
  ser2net socat                                       # the other ends of lines
  tmux vim mc whiptail dialog procps screen           # a real terminal, and what fills its screen
  libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients qemu-system-x86 # domains, and what they migrate between
  go-md2man man-db systemd bash-completion zsh fish   # manual pages, the unit, completion
)
case "${1:-}" in
  fuzz) packages=(clang llvm libclang-rt-dev) ;;
  bench) packages=(conserver-server conserver-client) ;; # what the server is compared with, besides ser2net
  soak) packages=(stress-ng) ;; # keeps the machine busy meanwhile
  real) packages=(xorriso) ;; # makes the CD that boots a menu
  kernel) packages=(linux-headers-cloud-amd64 libelf1) ;; # for `make kernel-object`
esac

[ "$(dpkg --print-architecture 2>/dev/null)$(command -v apt-get >/dev/null && echo +apt)" = amd64+apt ] ||
  fail "this is no Debian system for amd64: use Debian 12 or 13, in a virtual machine or a container if need be."

installed=$(dpkg-query -W -f '${Package}:${db:Status-Status}\n' "${packages[@]}" 2>/dev/null || true)
missing=()
for package in "${packages[@]}"; do
  grep -qx "$package:installed" <<<"$installed" || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

apt() { as_root env DEBIAN_FRONTEND=noninteractive apt-get -y -o DPkg::Lock::Timeout=300 --no-install-recommends "$@"; }

one_at_a_time
need_space 1000
say "Debian packages that are missing and are installed now: ${missing[*]}"
if ! apt-get -qq -s install "${missing[@]}" >/dev/null 2>&1 || ! watched "Installing them" apt install "${missing[@]}"; then
  watched "Refreshing apt's package lists" apt update ||
    fail "apt-get update failed: give this system a Debian mirror that it reaches (/etc/apt/sources.list), then run this again."
  watched "Installing them" apt install "${missing[@]}" ||
    fail "apt-get could not install ${missing[*]}: see its message above, then run this again."
fi
