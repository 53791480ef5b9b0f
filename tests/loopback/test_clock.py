"""A real server whose wall clock is wrong, and is set while it runs, both ways."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import time
from datetime import datetime
from pathlib import Path

import pytest

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify
from oobconsole.recording.segments import segments
from tests.faults.moved import MovedClock
from tests.loopback.access import ssh, wait_for_log
from tests.support.pace import Deadline, scaled
from tests.support.server import MEMORY_MACHINE, Server
from tests.support.sync import eventually

HOUR = 3600
DAY = 86400
HOOK = 'power = { command = ["sh", "-c", "sleep 1; echo done"], timeout_s = 20 }\n'
MACHINE = MEMORY_MACHINE.replace('name = "web1"\n', f'name = "web1"\n{HOOK}')


def entries(server: Server) -> list[dict[str, object]]:
    text = (server.folder / "state" / "audit.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def at(entry: dict[str, object]) -> float:
    return datetime.fromisoformat(str(entry["time"])).timestamp()


def prints(server: Server, text: str) -> None:
    assert ssh(server, "send", "web1", text).returncode == 0
    eventually(lambda: text.encode() in ssh(server, "log", "web1").stdout, lambda: server.log.read_text()[-2000:])


@pytest.mark.parametrize("wrong", [-HOUR, HOUR])
def test_since_means_so_long_ago(tmp_path: Path, wrong: int) -> None:
    """faults.md 16: by a clock that was an hour behind, `--since 10m` left out what was printed a minute ago."""
    clock = MovedClock(tmp_path, wrong)
    server = Server()
    server.through = clock.through
    with server:
        prints(server, "before")
        clock.set(0)
        prints(server, "after")
        for words in (("log", "web1", "--since", "10m"), ("search", "--since", "10m", "web1", "before|after")):
            done = ssh(server, *words)
            assert (done.returncode, b"before" in done.stdout, b"after" in done.stdout) == (0, True, True), done
        assert ssh(server, "log", "web1", "--since", "10m", "--typed").stdout.count(b"alice") == 2
        assert server.stop() == 0


def test_whoever_waits_waits_as_long_as_it_was_told(tmp_path: Path) -> None:
    """faults.md 16, 17: while the clock jumps by days, both ways, nothing ends early or late."""
    clock = MovedClock(tmp_path)
    server = Server(MACHINE)
    server.through = clock.through
    with server:
        began, deadline = time.monotonic(), Deadline(20)
        waiting = [
            subprocess.Popen(
                server.ssh(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for words in (
                ("wait", "--timeout", "4", "web1", "never printed"),
                ("wait", "--timeout", "4", "--fail", "x", "web2", "never printed"),
                ("power", "web1", "reset", "--yes"),
                ("send", "web1", "typed meanwhile"),
            )
        ]
        jumps = 0
        while any(process.poll() is None for process in waiting[:2]):
            jumps += 1
            clock.set((-1) ** jumps * jumps * DAY)
            for process in waiting[:1]:
                try:
                    process.wait(0.3)
                except subprocess.TimeoutExpired:
                    continue
        spent, late = time.monotonic() - began, not deadline.left
        ended = [process.communicate(timeout=scaled(30)) for process in waiting]
        assert jumps > 3
        assert spent >= 4, (spent, ended)
        assert not late, (spent, deadline, ended)
        assert [process.returncode for process in waiting] == [4, 4, 0, 0], ended
        assert ssh(server, "ls").returncode == 0
        assert server.stop() == 0


def test_the_audit_log_says_that_the_clock_was_set(tmp_path: Path) -> None:
    """faults.md 16: entries are in the order of what happened, and where their times are not it is said."""
    clock = MovedClock(tmp_path)
    server = Server()
    server.through = clock.through
    with server:
        for by in (DAY, -DAY):
            clock.set(by)
            assert ssh(server, "ls").returncode == 0
        wait_for_log(server, "this machine's clock was set", 2)
        assert server.stop() == 0
        found = entries(server)
        assert [round(float(str(entry["seconds"])) / DAY) for entry in found if entry["kind"] == "clock"] == [1, -2]
        for before, after in itertools.pairwise(found):
            step = at(after) - at(before)
            assert (after["kind"] == "clock") == (abs(step) > HOUR), (before, after)
        clock.set(-3 * DAY)
        server.start()
        wait_for_log(server, "the clock shows an earlier time than the audit log's last entry has")
        assert server.stop() == 0
        (behind,) = [entry for entry in entries(server) if entry["kind"] == chain.BEHIND]
        assert round(float(str(behind["seconds"])) / DAY) == 2
        state = server.folder / "state"
        report = verify(files.all_of(state / "audit.jsonl"), chain.load_public_key(state / "audit_ed25519_key.pub"))
        assert report.faults == [], report


def test_what_a_former_server_recorded_by_a_wrong_clock_is_kept(tmp_path: Path) -> None:
    """faults.md 17: its clock was of two years ago, which looked right; a machine without a battery boots so."""
    clock = MovedClock(tmp_path, -800 * DAY)
    server = Server()
    server.through = clock.through
    with server:
        prints(server, "kernel panic while booting")
        assert server.stop() == 0
        folder = server.folder / "state" / "recordings" / "web1"
        for path in segments(folder)[0].files():
            os.utime(path, (path.stat().st_mtime - 800 * DAY,) * 2)  # what the kernel's clock would have shown
        clock.set(0)
        server.start()
        prints(server, "after NTP")
        gz = folder / f"{0:020}.raw.gz"
        eventually(gz.exists, lambda: (sorted(folder.iterdir()), server.log.read_text()[-2000:]))
        assert b"kernel panic while booting" in ssh(server, "log", "web1").stdout
        assert "old recordings removed" not in server.log.read_text()
        assert server.stop() == 0
