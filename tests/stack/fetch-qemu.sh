#!/usr/bin/env bash
# Provides QEMU 11.1 or newer with TCG plugins at .cache/qemu/qemu-system-x86_64: the system's when it is new
# enough, else Debian trixie-backports' unpacked there with its libraries. The system is not touched.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

target=$cache/qemu
stamp=$target/.made-from
want=$(fingerprint "$0" "$(dirname "$0")/lib.sh")
[ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || exit 0
rm -rf "$target" "$target".new
mkdir -p "$target".new

new_enough() {
  local version
  version=$("$1" --version 2>/dev/null | sed -nE '1s/.*version ([0-9]+\.[0-9]+).*/\1/p')
  [ -n "$version" ] && [ "$(printf '%s\n11.1\n' "$version" | sort -V | head -n 1)" = 11.1 ] &&
    "$1" -help 2>/dev/null | grep -q -- '-plugin'
}

if system=$(command -v qemu-system-x86_64) && new_enough "$system"; then
  say "QEMU: the system's is new enough"
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$system" >"$target".new/qemu-system-x86_64
else
  need_space 900
  say "QEMU 11.1: unpacking Debian trixie-backports' into .cache/qemu (10 s with a near mirror)"
  mirror=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' | grep -v security | grep debian | head -n 1)
  [ -n "$mirror" ] || fail "apt knows no Debian mirror: add one to /etc/apt/sources.list, run apt-get update, then run this again."
  state=$target.new/.apt
  mkdir -p "$state"/{lists/partial,cache/archives/partial}
  : >"$state/status"
  key=/usr/share/keyrings/debian-archive-keyring.gpg
  printf "deb [signed-by=$key] $mirror %s main\n" trixie trixie-backports >"$state/sources.list"
  apt=(apt-get -qq -o Dir::Etc::sourcelist="$state/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$state/lists"
    -o Dir::Cache="$state/cache" -o Dir::State::status="$state/status" -o APT::Sandbox::User=root)
  "${apt[@]}" update || fail "$mirror has no reachable trixie and trixie-backports: give apt a full Debian mirror, then run this again."
  "${apt[@]}" -y --no-install-recommends --download-only install -t trixie-backports qemu-system-x86 qemu-utils >/dev/null ||
    fail "QEMU could not be downloaded from $mirror: see apt's message above."
  for deb in "$state"/cache/archives/*.deb; do
    dpkg -x "$deb" "$target".new/root
  done
  rm -rf "$state"
  cat >"$target".new/qemu-system-x86_64 <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)/root
QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu exec "$root/usr/lib64/ld-linux-x86-64.so.2" \
  --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/qemu-system-x86_64" \
  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
WRAPPER
fi
chmod +x "$target".new/qemu-system-x86_64
new_enough "$target".new/qemu-system-x86_64 || fail "the QEMU in $target.new does not run, or has no plugins: remove .cache/qemu.new and run this again."
echo "$want" >"$target".new/.made-from
mv "$target".new "$target"
