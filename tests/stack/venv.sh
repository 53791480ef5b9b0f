#!/usr/bin/env bash
# Makes the virtual environment .venv with oobconsole and all it needs. Does nothing when it is up to date.
# It needs Python with `venv` and an index of Python packages, and nothing of Debian's: `make unit` uses it anywhere.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

# libvirt's package is compiled, with libvirt's headers. Once these are there, it is installed after all.
can_have_libvirt() { pkg-config --exists libvirt 2>/dev/null; }

[ "$(cat .venv/.extras 2>/dev/null)" != dev ] || ! can_have_libvirt || rm -f .venv/.made-from
# What stands behind [tool.ruff] are rules for checks, which change nothing that is installed.
unless_made "$root/.venv" <(sed '/^\[tool\.ruff\]/,$d' pyproject.toml) "$0"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  fail "Python 3.11 or newer is needed and python3 is $(python3 --version 2>&1): install a newer one."
need_space 800

install() { # EXTRAS
  .venv/bin/python -m pip install -q --disable-pip-version-check --progress-bar off -e ".[$1]"
}

rm -rf .venv
watched "Making the virtual environment .venv" python3 -m venv .venv ||
  fail "python3 cannot make a virtual environment: install python3-venv, then run this again."
extras=dev
if can_have_libvirt && watched "Installing the Python packages into it (about a minute)" install dev,libvirt; then
  extras=dev,libvirt
else
  watched "Installing the Python packages into it, without libvirt's (about a minute)" install dev ||
    fail "pip could not install the Python packages: give it a package index that it reaches (see its message above), then run this again."
fi
echo "$extras" >.venv/.extras
echo "$want" >.venv/.made-from
