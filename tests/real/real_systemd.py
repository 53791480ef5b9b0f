"""The systemd unit, started by a systemd of its own: `docs/systemd/oobconsole.service`, as it is."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.pace import scaled

pytestmark = [pytest.mark.needs("systemd", "mount", "ssh"), pytest.mark.timeout(900)]
HERE = Path(__file__).parent
CONFIG = """
[server]
listen = "127.0.0.1:2222"
state_dir = "/var/lib/oobconsole"
authorized_keys = "/etc/oobconsole/keys"
[[machine]]
name = "mem"
interceptor = "memory"
[[machine.guest]]
name = "web1"
[[grant]]
users = ["alice"]
rights = "all"
"""


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, str]]:
    """What `systemd_probe.sh` has found."""
    folder = Path(tempfile.mkdtemp(prefix="oob-"))
    keys = folder / "etc" / "keys"
    keys.mkdir(parents=True)
    (folder / "etc" / "oobconsole.toml").write_text(CONFIG)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "id_alice")], check=True)
    shutil.copy(folder / "id_alice.pub", keys / "alice")
    words = [str(HERE / "systemd.sh"), str(folder), sys.base_prefix, sysconfig.get_path("purelib")]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(60), check=False)
        said = "\n".join((folder / name).read_text() for name in ("found", "said", "log") if (folder / name).exists())
        assert "stopped=" in said, f"{done.stdout}{done.stderr}\n{said}"
        lines = (folder / "found").read_text().splitlines()
        yield dict(line.split("=", 1) for line in lines)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_it_starts_and_says_so(found: dict[str, str]) -> None:
    assert found["started"] == "active/running"
    assert found["notified"] == "1 machines"
    assert found["logged_in"] == "yes"


def test_a_front_gives_up_all_its_rights_inside_the_unit(found: dict[str, str]) -> None:
    (front,) = json.loads(found["status"])["fronts"].values()
    assert front["lacking"] == []
    assert "seccomp" in front["confined_by"]


def test_a_front_that_was_killed_is_begun_again(found: dict[str, str]) -> None:
    assert found["logged_in_after_a_front_was_killed"] == "yes"


def test_it_reloads(found: dict[str, str]) -> None:
    assert found["reloaded"] == "active/running"


def test_a_server_that_hangs_is_started_again_by_the_watchdog(found: dict[str, str]) -> None:
    assert found["logged_in_after_the_watchdog"] == "yes"


def test_it_stops_without_an_error(found: dict[str, str]) -> None:
    assert found["stopped"] == "inactive/success"
