#!/usr/bin/env bash
# Makes the virtual environment .venv with oobconsole and all it needs. Does nothing when it is up to date.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

stamp=.venv/.made-from
want=$(fingerprint pyproject.toml tests/stack/venv.sh)
[ "$(cat "$stamp" 2>/dev/null)" != "$want" ] || exit 0

python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  fail "Python 3.11 or newer is needed and python3 is $(python3 --version 2>&1): use Debian 12 or newer."
need_space 800
say "Making the virtual environment .venv (about a minute)"
rm -rf .venv
python3 -m venv .venv || fail "python3 cannot make a virtual environment: install python3-venv."
.venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,serial,qemu,libvirt]' ||
  fail "pip could not install the Python packages: is a package index reachable? See its message above."
echo "$want" >"$stamp"
