#!/usr/bin/env bash
# Looks at the unit from inside: systemd_probe.sh FOLDER. Writes NAME=VALUE lines to FOLDER/found, and ends the systemd.
folder=$1
exec >"$folder/found" 2>"$folder/said"
set -x

show() { systemctl show oobconsole --value -p "$1"; }
found() { echo "$1=$2"; }

# A client of OpenSSH's; succeeds if it lists the console.
comes_in() {
  ssh -F none -i "$folder/id_alice" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o BatchMode=yes \
    -p 2222 alice@127.0.0.1 ls | grep -q web1 && echo yes || echo no
}

found started "$(show ActiveState)/$(show SubState)"
found notified "$(show StatusText)"
found logged_in "$(comes_in)"
found status "$(setpriv --reuid 987 --regid 987 --clear-groups \
  /opt/oobconsole/bin/oobconsole --config /etc/oobconsole/oobconsole.toml status --json)"

core=$(show MainPID)
pkill -9 -P "$core" -o
found logged_in_after_a_front_was_killed "$(comes_in)"

systemctl reload oobconsole
found reloaded "$(show ActiveState)/$(show SubState)"

kill -STOP "$core" # the watchdog ends it
for _ in {1..240}; do
  [[ $(show NRestarts) != 0 && $(show ActiveState) == active ]] && break
  sleep 0.5
done
found logged_in_after_the_watchdog "$(comes_in)"

systemctl stop oobconsole
found stopped "$(show ActiveState)/$(show Result)"
systemctl exit 0
