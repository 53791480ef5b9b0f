# Shared by the set-up scripts: where things are, how they speak, and how a step is whole or not there at all.
# shellcheck shell=bash
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=$root/.cache
mkdir -p "$cache" 2>/dev/null || {
  echo "oobconsole: $cache cannot be made: work in a copy of the repository that you may write to." >&2
  exit 1
}
new= # what a step is filling
said=

say() { printf '==> %s\n' "$*" >&2; }

free_mib() { df -Pm "$cache" | awk 'NR == 2 {print $4}'; }

# Ends with one sentence that says what to do. A full disk explains any failure, so it is looked for first.
fail() {
  local sentence=$* free
  free=$(free_mib)
  [ "$free" -ge 10 ] || sentence="the disk that holds $cache is full: make room, then run this again."
  printf 'oobconsole: %s\n' "$sentence" >&2
  said=1
  exit 1
}

at_exit() {
  local status=$?
  [ -z "$new" ] || rm -rf "$new"
  [ "$status" = 0 ] || [ "$status" -gt 128 ] || [ -n "$said" ] ||
    fail "${0##*/} could not do its work: see the message above, mend that, then run this again."
}
trap at_exit EXIT

need_space() { # MIB
  local free
  free=$(free_mib)
  [ "$free" -ge "$1" ] || fail "the disk that holds $cache has $free MiB free and $1 are needed: make room, then run this again."
}

# Runs one long command. Says that it goes on, and shows what it printed only when it fails.
watched() { # WHAT COMMAND...
  local start=$SECONDS log ticker status=0
  log=$(mktemp)
  say "$1"
  shift
  (while sleep 10 && kill -0 $$ 2>/dev/null; do echo "    ... $((SECONDS - start)) s" >&2; done) 9>&- &
  ticker=$!
  "$@" >"$log" 2>&1 9>&- || status=$?
  kill "$ticker" 2>/dev/null || true
  wait "$ticker" 2>/dev/null || true
  [ "$status" = 0 ] || tail -n 20 "$log" >&2
  rm -f "$log"
  return "$status"
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "installing packages needs root and there is no sudo: run 'make packages' as root, then run this again."
  fi
}

one_at_a_time() {
  exec 9>"$cache/.lock"
  flock -n 9 || {
    say "Waiting for another set-up in $root"
    flock 9
  }
}

# Ends the script when TARGET was made from FILES as they are. Else one set-up at a time goes on.
unless_made() { # TARGET FILE...
  target=$1
  shift
  want=$(cat "$@" | sha256sum | cut -c 1-16)
  [ "$(cat "$target/.made-from" 2>/dev/null)" != "$want" ] || exit 0
  one_at_a_time
  [ "$(cat "$target/.made-from" 2>/dev/null)" != "$want" ] || exit 0
}

# A step fills $new, which takes the target's place only when it is whole.
start_new() {
  new=$target.new
  rm -rf "$new"
  mkdir -p "$new"
}

commit_new() {
  echo "$want" >"$new/.made-from"
  rm -rf "$target"
  mv "$new" "$target"
}
