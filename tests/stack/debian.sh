# Packages of Debian trixie for unpacking, whatever Debian this is: apt with a state of its own in .cache/apt, on the
# mirror that the system's apt uses. Needs no root; the system is not touched.
# shellcheck shell=bash
# shellcheck source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Debian's own by what its Release file says; before the first `apt-get update`, by its address.
debian_mirror() {
  apt-get indextargets --format '$(LABEL)|$(SITE)' 'Created-By: Packages' |
    awk -F '|' '$1 == "Debian" && !known {known = $2}
                $2 ~ /debian/ && $2 !~ /security/ && !guess {guess = $2}
                END {print known ? known : guess}'
}

debian_apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State="$cache/apt" \
    -o Dir::State::status="$cache/apt/status" -o Dir::Cache="$cache/apt" -o APT::Architecture=amd64 \
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 "$@"
}

debian_update() {
  local key=/usr/share/keyrings/debian-archive-keyring.gpg
  mirror=$(debian_mirror)
  [ -n "$mirror" ] ||
    fail "apt knows no Debian mirror: add one to /etc/apt/sources.list, run apt-get update, then run this again."
  mkdir -p "$cache"/apt/{lists/partial,archives/partial}
  : >"$cache/apt/status"
  printf "deb [signed-by=$key] $mirror %s main\n" trixie trixie-backports >"$cache/apt/sources.list"
  watched "Reading Debian trixie's package lists" debian_apt update ||
    fail "$mirror gives no lists of trixie and trixie-backports: give apt a full Debian mirror that it reaches, then run this again."
}
