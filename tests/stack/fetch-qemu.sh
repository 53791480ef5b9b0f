#!/usr/bin/env bash
# Unpacks Debian trixie-backports' QEMU 11.1 with its libraries into .cache/qemu/root: L1 runs it. L0 runs what
# .cache/qemu/qemu-system-x86_64 starts: the system's QEMU when that is 11.1 or newer with plugins, else the same.
# shellcheck source=debian.sh
. "$(dirname "$0")/debian.sh"

here=$(dirname "$0")
unless_made "$cache/qemu" "$0" "$here/debian.sh"
need_space 900
start_new

new_enough() { # PROGRAM
  local version help
  version=$("$1" --version 2>/dev/null | sed -nE '1s/.*version ([0-9]+\.[0-9]+).*/\1/p')
  help=$("$1" -help 2>/dev/null)
  [ "$(printf '%s\n11.1\n' "${version:-0}" | sort -V | head -n 1)" = 11.1 ] && grep -q -- '^-plugin' <<<"$help"
}

debian_update
mkdir -p "$new/archives/partial"
watched "Downloading QEMU 11.1 from $mirror (60 MB)" \
  debian_apt -y --no-install-recommends --download-only -o Dir::Cache::archives="$new/archives" \
  install -t trixie-backports qemu-system-x86 ||
  fail "QEMU could not be downloaded from $mirror: see apt's message above, then run this again."
say "Unpacking it into .cache/qemu"
for deb in "$new"/archives/*.deb; do
  dpkg -x "$deb" "$new/root"
done
rm -rf "$new/archives"

if system=$(command -v qemu-system-x86_64) && new_enough "$system"; then
  say "L0 runs the system's $system, which is new enough"
  printf '#!/bin/sh\nexec "%s" "$@"\n' "$system" >"$new/qemu-system-x86_64"
else
  cat >"$new/qemu-system-x86_64" <<'WRAPPER'
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)/root
QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu exec "$root/usr/lib64/ld-linux-x86-64.so.2" \
  --library-path "$root/usr/lib/x86_64-linux-gnu" "$root/usr/bin/qemu-system-x86_64" \
  -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
WRAPPER
fi
chmod +x "$new/qemu-system-x86_64"
new_enough "$new/qemu-system-x86_64" ||
  fail "the QEMU that $mirror gave is not 11.1 with plugins, or does not run here: give apt a Debian mirror that has trixie-backports."
commit_new
