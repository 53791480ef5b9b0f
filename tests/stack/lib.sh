# Shared by the set-up scripts: where things are, and how they speak.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck disable=SC2034  # the scripts that source this use it
cache=$root/.cache

say() { printf '==> %s\n' "$*" >&2; }

fail() {
  printf 'oobconsole: %s\n' "$*" >&2
  exit 1
}

need_space() { # MiB
  local free
  mkdir -p "$cache"
  free=$(df -Pm "$cache" | awk 'NR==2 {print $4}')
  [ "$free" -ge "$1" ] || fail "the disk that holds $cache has $free MiB free and $1 are needed: make room, then run this again."
}

# The state of the files that make something: what was made from other files is made anew.
fingerprint() { cat "$@" | sha256sum | cut -c 1-16; }

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "'$*' needs root and there is no sudo: run it as root, then run this again."
  fi
}
