#!/usr/bin/env bash
# versions.sh LIBRARY [quick]: runs the tests that depend on a library with each version of it that was tried.
# A version has a virtual environment of its own, which finds everything else in .venv. `quick` leaves out what takes
# minutes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
cd "$root"

case "$1" in
  asyncssh)
    tried=oobconsole.ssh.private
    tests=(tests/unit/ssh)
    more=(tests/loopback/test_{asyncssh,ciphers,limits,local_socket,openssh,strangers,strangers_login}.py)
    ;;
  qemu.qmp)
    tried=oobconsole.power.qmpclient
    tests=(tests/unit/power/test_qmp{,_private}.py)
    more=(tests/loopback/test_{monitor,monitor_hostile}.py)
    ;;
  *) fail "$1 is none of asyncssh, qemu.qmp: see this script." ;;
esac
[ "${2:-}" = quick ] || tests+=("${more[@]}")

packages=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
versions=$(.venv/bin/python -c "from $tried import TRIED; print(*TRIED)")

make_environment() { # FOLDER VERSION
  rm -rf "$1"
  .venv/bin/python -m venv --without-pip "$1"
  # Its own packages are found first, then those of .venv, and the project itself as it is installed there.
  echo "import site; site.addsitedir('$packages')" >"$("$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/others.pth"
  .venv/bin/python -m pip --python "$1/bin/python" install -q --disable-pip-version-check --no-deps "$LIBRARY==$2"
  touch "$1/.whole"
}

LIBRARY=$1
for version in $versions; do
  environment=$cache/versions/$1-$version
  [ -e "$environment/.whole" ] || watched "Making a virtual environment with $1 $version" make_environment "$environment" "$version" ||
    fail "pip could not install $1 $version: see its message above, then run this again."
  found=$("$environment/bin/python" -c "from importlib.metadata import version; print(version('$1'))")
  [ "$found" = "$version" ] || fail "$environment has $1 $found: remove that folder, then run this again."
  say "$1 $version: ${tests[*]}"
  "$environment/bin/python" -m pytest -q -p no:cacheprovider -n auto --maxprocesses "${WORKERS:-2}" --dist loadfile "${tests[@]}"
done
