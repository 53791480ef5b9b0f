#!/usr/bin/env bash
# Makes the virtual environment .venv with oobconsole and all it needs. Does nothing when it is up to date.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

unless_made "$root/.venv" pyproject.toml "$0"
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  fail "Python 3.11 or newer is needed and python3 is $(python3 --version 2>&1): use Debian 12 or newer."
need_space 800

install() { # EXTRAS
  .venv/bin/python -m pip install -q --disable-pip-version-check --progress-bar off -e ".[$1]"
}

rm -rf .venv
watched "Making the virtual environment .venv" python3 -m venv .venv ||
  fail "python3 cannot make a virtual environment: install python3-venv, then run this again."
watched "Installing the Python packages into it (about a minute)" install dev,libvirt ||
  watched "Once more, without libvirt's, which is compiled here" install dev ||
  fail "pip could not install the Python packages: give it a package index that it reaches (see its message above), then run this again."
echo "$want" >.venv/.made-from
