"""The audit log: what is written, and what survives crashes, full disks and meddling."""

from __future__ import annotations

import errno
import json
import os
import shutil
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oobconsole import supervise
from oobconsole.access import Principal
from oobconsole.audit import chain, files
from oobconsole.audit import log as audit_log
from oobconsole.audit.log import AuditLog
from oobconsole.audit.syslog import Syslog
from oobconsole.audit.verify import Report, verify
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Kind
from tests.support.pace import scaled
from tests.support.sync import eventually

ALICE = Principal("alice", key="SHA256:abc", address="192.0.2.1")


@contextmanager
def opened(
    folder: Path,
    *,
    rotate: int = 1 << 30,
    keep: int = 1 << 30,
    syslog: Syslog | None = None,
    trouble: Callable[[str], object] = lambda reason: None,
) -> Iterator[AuditLog]:
    key = chain.load_or_make_key(folder / "key")
    log = AuditLog(folder / "audit.jsonl", key, rotate_bytes=rotate, keep_bytes=keep, syslog=syslog, trouble=trouble)
    try:
        yield log
    finally:
        log.close()


def write(folder: Path, count: int = 3, *, rotate: int = 1 << 30, keep: int = 1 << 30) -> str:
    """Write so many entries, close, return the head."""
    with opened(folder, rotate=rotate, keep=keep) as log:
        for number in range(count):
            log.put(Event(Kind.ATTACHED, f"web{number}", ALICE))
    return log.head[1]


def checked(folder: Path, *heads: str) -> Report:
    return verify(files.all_of(folder / "audit.jsonl"), chain.load_public_key(folder / "key.pub"), heads=heads)


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]


def test_an_entry_says_who_what_where_and_is_chained(tmp_path: Path) -> None:
    head = write(tmp_path, 2)
    one, two = lines(tmp_path)
    assert (one["seq"], one["kind"], one["user"], one["address"], one["key"], one["console"]) == (
        1, "attached", "alice", "192.0.2.1", "SHA256:abc", "web0",
    )  # fmt: skip
    assert one["prev"] == chain.GENESIS
    assert (two["seq"], two["prev"], two["hash"]) == (2, one["hash"], head)
    assert stat.S_IMODE((tmp_path / "audit.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert checked(tmp_path, head) == Report(2, 2, head)


def test_what_guests_do_is_not_audited(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.put(Event(Kind.CONSOLE, "web1"))
        log.put(Event(Kind.LOGIN, who=ALICE))
    assert [entry["kind"] for entry in lines(tmp_path)] == ["login"]


def test_values_that_collide_are_long_or_act_on_terminals(tmp_path: Path) -> None:
    with opened(tmp_path) as log:
        log.put(Event(Kind.DENIED, who=ALICE, detail={"hash": "x", "seq": 7, "long": "ä" * 10_000}))
        log.put(Event(Kind.DENIED, who=ALICE, detail={f"k{i}": "ä" * 4000 for i in range(9)}))
        log.put(Event(Kind.DENIED, who=ALICE, detail={"evil": '\x1b]52;c;\x07\n","hash":"' + "0" * 64 + "\ud800"}))
    assert checked(tmp_path).faults == []
    first, second, third = lines(tmp_path)
    assert (first["hash_"], first["seq_"], first["seq"]) == ("x", 7, 1)
    assert len(str(first["long"])) == 4097
    assert second["too_long"] is True
    assert str(third["evil"]).startswith("\x1b]52")
    assert b"\x1b" not in (tmp_path / "audit.jsonl").read_bytes()


def test_goes_on_after_a_stop(tmp_path: Path) -> None:
    write(tmp_path)
    head = write(tmp_path)
    assert checked(tmp_path, head) == Report(6, 6, head)


def test_a_second_close_closes_nothing_of_others(tmp_path: Path) -> None:
    """faults.md 1's kind: the number of the descriptor is the next file's by then."""
    with opened(tmp_path) as log:
        number = log._descriptor
        log.close()
        with (tmp_path / "another").open("w") as another:
            assert another.fileno() == number
            log.close()
            another.write("whole")
    assert (tmp_path / "another").read_text() == "whole"


@pytest.mark.parametrize("cut", [1, 2, 40, 300])
def test_a_line_cut_short_by_a_crash_is_told_of_and_the_chain_goes_on(tmp_path: Path, cut: int) -> None:
    write(tmp_path)
    file = tmp_path / "audit.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-cut])
    report = checked(tmp_path)
    assert report.faults == []
    assert ("ends in the middle" in "".join(report.notes)) is (cut > 1)
    head = write(tmp_path, 1)
    report = checked(tmp_path, head)
    assert report.faults == []
    if cut > 1:
        assert file.read_bytes().startswith(whole[:-cut] + b"\n")
        assert report.notes == [f"{file}:3: cut short by a crash; entry 3 tells"]
    assert report.seq == 4


def test_a_fragment_alone(tmp_path: Path) -> None:
    (tmp_path / "audit.jsonl").write_bytes(b'{"seq":1,"ti')
    head = write(tmp_path, 1)
    assert checked(tmp_path, head).faults == []


def test_a_fragment_that_nobody_tells_of_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "audit.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    write(tmp_path)
    text = file.read_text().splitlines(keepends=True)
    text[2] = text[2].replace("web", "xyz")
    file.write_text("".join(text))
    start = len(text[0] + text[1])
    assert checked(tmp_path).faults == [f"{file}:3: is no entry of an audit log (byte {start} of the file)"]


def test_a_changed_last_line_is_told_of(tmp_path: Path) -> None:
    write(tmp_path)
    file = tmp_path / "audit.jsonl"
    file.write_bytes(file.read_bytes().replace(b"web2", b"web9"))
    with capture_logs() as logs:
        write(tmp_path)
    assert "was changed by somebody else" in logs[0]["event"]
    assert lines(tmp_path)[3]["kind"] == chain.DAMAGED
    start = sum(map(len, file.read_bytes().splitlines(keepends=True)[:2]))
    found = "the last line is no entry that this key signed"
    assert checked(tmp_path).faults == [
        f"{file}:3: was changed: its hash is another (byte {start} of the file)",
        f"{file}:4: entry 3 says that the log was damaged: {found}",
    ]


def test_meddling_while_it_runs_is_told_of(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    with opened(tmp_path) as log:
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
        with file.open("ab") as stream:
            stream.write(b"{}\n")
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE), entries=2)
        file.unlink()
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE), entries=2)
    entries = lines(tmp_path)
    assert [entry["kind"] for entry in entries] == [chain.DAMAGED, "login"]
    assert entries[0]["found"] == "the file was removed"
    assert checked(tmp_path).faults == [
        f"{file}:1: entry 4 says that the log was damaged: the file was removed",
        "begins at entry 4: what was before is not here, and no entry says that it was removed",
    ]


def put_and_wait(log: AuditLog, event: Event, entries: int = 1) -> None:
    wanted = log.head[0] + entries
    log.put(event)
    wait_for_entry(log, wanted)


def wait_for_entry(log: AuditLog, wanted: int) -> None:
    eventually(lambda: log.head[0] >= wanted, lambda: (wanted, log.head), seconds=10)


def test_two_servers_cannot_write_it(tmp_path: Path) -> None:
    refused = pytest.raises(
        EnvironmentFault, match="another server has this state_dir and writes this audit log: stop it"
    )
    with opened(tmp_path), refused, opened(tmp_path):
        pass


class TestRotation:
    def test_the_chain_goes_on_over_files(self, tmp_path: Path) -> None:
        for _ in range(5):
            head = write(tmp_path, 2, rotate=500)
        found = files.all_of(tmp_path / "audit.jsonl")
        assert len(found) == 6
        assert checked(tmp_path, head).faults == []
        found[2].unlink()
        assert "are missing" in checked(tmp_path).faults[0]

    def test_a_file_alone_can_be_verified(self, tmp_path: Path) -> None:
        write(tmp_path, 2, rotate=500)
        write(tmp_path, 2)
        key = chain.load_public_key(tmp_path / "key.pub")
        report = verify([tmp_path / "audit.jsonl"], key, whole=False)
        assert report.faults == []
        assert report.notes == ["begins at entry 3: what was before is not here"]

    def test_old_files_go_and_an_entry_says_so(self, tmp_path: Path) -> None:
        for _ in range(10):
            head = write(tmp_path, 2, rotate=500, keep=3000)
        found = files.older(tmp_path / "audit.jsonl")
        assert 1 <= len(found) <= 4
        assert sum(file.stat().st_size for file in found) <= 3000
        assert checked(tmp_path, head).faults == []
        found[0].unlink()
        assert "no entry says that it was removed" in checked(tmp_path).faults[0]


class FullDisk:
    """`os.write` to the log, which fails after a few bytes while `full` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
        self.full = True
        self._file = file
        self._write = os.write
        monkeypatch.setattr("oobconsole.audit.log.os.write", self)

    def __call__(self, descriptor: int, data: bytes) -> int:
        if self.full and Path(f"/proc/self/fd/{descriptor}").resolve() == self._file.resolve():
            if len(data) > 100:
                return self._write(descriptor, data[:100])
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(descriptor, data)


def test_a_full_disk_is_announced_and_nothing_is_lost_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_log, "QUEUE_MAX", 5)
    monkeypatch.setattr(audit_log, "_RETRY_SECONDS", 0.01)
    announced: list[str] = []
    seen = threading.Event()

    def trouble(reason: str) -> None:
        announced.append(reason)
        seen.set()

    disk = FullDisk(monkeypatch, tmp_path / "audit.jsonl")
    with capture_logs() as logs, opened(tmp_path, trouble=trouble) as log:
        for number in range(8):
            log.put(Event(Kind.LOGIN, who=ALICE, detail={"n": number}))
        assert seen.wait(scaled(10))
        assert announced == ["No space left on device"]
        seen.clear()
        disk.full = False
        assert seen.wait(scaled(10))
        wait_for_entry(log, 6)
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
    assert announced == ["No space left on device", ""]
    entries = lines(tmp_path)
    assert entries[0]["kind"] == chain.RESUMED
    assert [entry["kind"] for entry in entries].count(chain.RESUMED) == 1
    assert int(str(entries[0]["lost"])) + len(entries) - 1 == 9
    assert checked(tmp_path, log.head[1]).faults == []
    assert {entry["log_level"] for entry in logs} == {"error", "warning"}


def test_a_disk_that_stays_full_ends_with_an_error_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FullDisk(monkeypatch, tmp_path / "audit.jsonl")
    with capture_logs() as logs, opened(tmp_path) as log:
        log.put(Event(Kind.LOGIN, who=ALICE))
        log.close(0.5)
    assert logs[-1]["event"] == "audit log: entries could not be written and are lost"
    assert logs[-1]["lost"] == 1
    assert (tmp_path / "audit.jsonl").read_bytes() == b""


class TestSyslog:
    def test_gets_every_entry(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(str(tmp_path / "log"))
            daemon.settimeout(scaled(10))
            with opened(tmp_path, syslog=Syslog(tmp_path / "log")) as log:
                log.put(Event(Kind.LOGIN, who=ALICE))
                got = daemon.recv(65536)
        line = (tmp_path / "audit.jsonl").read_bytes().rstrip()
        assert got == b"<86>oobconsole-audit[%d]: " % os.getpid() + line

    def test_that_is_away_or_stuck_costs_copies_only(self, tmp_path: Path) -> None:
        with capture_logs() as logs, opened(tmp_path, syslog=Syslog(tmp_path / "log")) as log:
            put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
                daemon.bind(str(tmp_path / "log"))
                for _ in range(1000):  # more than its queue holds
                    log.put(Event(Kind.LOGIN, who=ALICE))
                put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
        assert checked(tmp_path, log.head[1]).entries == 1002
        assert "could not be sent to syslog" in logs[0]["event"]


@pytest.mark.parametrize("what", ["rsa", "text", "open"])
def test_keys_that_cannot_be_used(tmp_path: Path, what: str) -> None:
    path = tmp_path / "key"
    if what == "rsa":
        import asyncssh

        path.write_bytes(asyncssh.generate_private_key("ssh-rsa").export_private_key())
    elif what == "text":
        path.write_text("no key")
    else:
        chain.load_or_make_key(path)
    path.chmod(0o644 if what == "open" else 0o600)
    with pytest.raises(EnvironmentFault, match=str(path)):
        chain.load_or_make_key(path)


class FailingCalls:
    """`os` as the audit log sees it: some of its calls fail, as often as is said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
        self.fails: dict[str, int] = {}
        self._number = number
        for name in ("write", "fdatasync", "ftruncate", "open", "fsync"):
            monkeypatch.setattr(f"oobconsole.audit.log.os.{name}", self._instead(name, getattr(os, name)))

    def _instead(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **more: object) -> object:
            if threading.current_thread().name == "audit" and self.fails.get(name, 0) > 0:
                self.fails[name] -= 1
                raise OSError(self._number, os.strerror(self._number))
            return real(*args, **more)

        return call


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EFBIG, errno.EPIPE])
@pytest.mark.parametrize(
    "fails",
    [
        {"write": 2},
        {"fdatasync": 2},
        {"write": 2, "ftruncate": 3},
        {"fdatasync": 2, "ftruncate": 3},
        {"open": 1},
        {"fsync": 1},
    ],
    ids=str,
)
def test_whatever_fails_no_entry_is_lost_and_nobody_else_is_accused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, fails: dict[str, int]
) -> None:
    """faults.md 2's kind: every call in turn, with a rotation at every entry."""
    monkeypatch.setattr(audit_log, "_RETRY_SECONDS", 0.01)
    calls = FailingCalls(monkeypatch, number)
    with opened(tmp_path, rotate=300) as log:
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
        calls.fails = dict(fails)
        for count in range(5):
            log.put(Event(Kind.LOGIN, who=ALICE, detail={"count": count}))
        eventually(lambda: not any(calls.fails.values()) or set(fails) <= {"ftruncate"}, lambda: calls.fails)
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
    report = checked(tmp_path, log.head[1])
    assert report.faults == []
    entries = [json.loads(line.data) for file in files.all_of(tmp_path / "audit.jsonl") for line in files.lines(file)]
    assert [entry["count"] for entry in entries if "count" in entry] == list(range(5))
    assert chain.DAMAGED not in {entry["kind"] for entry in entries}


def test_a_disk_that_is_mended_while_the_log_is_closed_gets_all_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 2, variation: a log that was closed made one attempt, although it had five seconds."""
    monkeypatch.setattr(audit_log, "_RETRY_SECONDS", 3600.0)  # before it is closed there is one attempt
    monkeypatch.setattr(audit_log, "_RETRY_CLOSING_SECONDS", 0.01)
    seen = threading.Event()
    calls = FailingCalls(monkeypatch, errno.ENOSPC)
    calls.fails = {"write": 4}
    with capture_logs() as logs, opened(tmp_path, trouble=lambda _: seen.set()) as log:
        log.put(Event(Kind.LOGIN, who=ALICE))
        assert seen.wait(scaled(10))
        assert calls.fails == {"write": 3}
    assert [entry["kind"] for entry in lines(tmp_path)] == [chain.RESUMED, "login"]
    assert "audit log: entries could not be written and are lost" not in [entry["event"] for entry in logs]
    assert checked(tmp_path, log.head[1]).faults == []


def test_an_error_on_the_way_of_an_error_does_not_end_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 2b: telling of ENOSPC raised ENOSPC, and from then on nothing was audited."""
    monkeypatch.setattr(audit_log, "_RETRY_SECONDS", 0.01)
    told: list[str] = []

    def trouble(reason: str) -> None:
        told.append(reason)
        raise OSError(errno.ENOSPC, "No space left on device")

    disk = FullDisk(monkeypatch, tmp_path / "audit.jsonl")
    before = supervise.ended.copy()
    with opened(tmp_path, trouble=trouble) as log:
        log.put(Event(Kind.LOGIN, who=ALICE))
        eventually(lambda: told != [], lambda: told)
        disk.full = False
        eventually(lambda: log.head[0] >= 2, lambda: log.head)
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
    supervise.ended.clear()
    supervise.ended.update(before)
    assert [entry["kind"] for entry in lines(tmp_path)] == [chain.RESUMED, "login", "logout"]
    assert lines(tmp_path)[0]["lost"] == 0
    assert checked(tmp_path, log.head[1]).faults == []


def test_a_torn_end_on_a_full_disk_is_no_reason_not_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_log, "_RETRY_SECONDS", 0.01)
    write(tmp_path)
    file = tmp_path / "audit.jsonl"
    file.write_bytes(file.read_bytes()[:-40])
    disk = FullDisk(monkeypatch, file)
    told = threading.Event()
    with opened(tmp_path, trouble=lambda _: told.set()) as log:
        assert told.wait(scaled(10))
        disk.full = False
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
    report = checked(tmp_path, log.head[1])
    assert (report.faults, report.notes) == ([], [f"{file}:3: cut short by a crash; entry 3 tells"])


def test_the_folder_is_removed_while_the_server_runs(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    key = chain.load_or_make_key(tmp_path / "key")
    log = AuditLog(folder / "audit.jsonl", key, rotate_bytes=1 << 20, keep_bytes=1 << 20)
    put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
    shutil.rmtree(folder)
    put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
    log.close()
    kinds = [json.loads(line)["kind"] for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert kinds == [chain.DAMAGED, "logout"]
