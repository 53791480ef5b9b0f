"""The systemd unit, by systemd's own judgement. It is not started here: systemd is not the first process."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.pace import scaled

UNIT = Path(__file__).resolve().parents[3] / "docs" / "systemd" / "oobconsole.service"


@pytest.mark.needs("systemd")
def test_its_exposure_is_low() -> None:
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(60), check=False)
    found = re.search(r"Overall exposure level for oobconsole.service: ([\d.]+)", done.stdout)
    assert found, done.stdout[-1000:] + done.stderr
    assert float(found[1]) <= 2.0


@pytest.mark.needs("systemd")
def test_a_front_may_give_up_its_rights() -> None:
    """What `confine` calls must pass the filter of the unit: else a front runs with the rights that it wanted to give
    up, and says so in `status`."""
    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.*)$", UNIT.read_text(), re.MULTILINE):
        for word in line.lstrip("~").split():
            calls = members(word)
            allowed = allowed - calls if line.startswith("~") else allowed | calls
    landlock = {"landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self"}
    assert landlock | {"capget", "capset", "prctl", "prlimit64", "openat"} <= allowed
    assert not {"setresuid", "setgroups", "mount", "bpf"} & allowed


def members(group: str) -> set[str]:
    """The system calls of a group, with those of groups in it; a call is its own."""
    if not group.startswith("@"):
        return {group}
    words = ["systemd-analyze", "syscall-filter", "--no-pager", group]
    done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(60), check=True)
    inner = [line.strip() for line in done.stdout.splitlines()[1:]]
    return {call for word in inner if word and not word.startswith("#") for call in members(word)}


@pytest.mark.needs("systemd")
def test_systemd_understands_every_line() -> None:
    words = ["systemd-analyze", "verify", "--man=no", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(60), check=False)
    said = [line for line in done.stderr.splitlines() if UNIT.name in line and "is not executable" not in line]
    assert said == []
