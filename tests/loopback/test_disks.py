"""Real file systems that are full, or read-only, in the middle of writing, and are mended: nothing ends, what was
lost is counted and said, and it goes on."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify
from oobconsole.events import Event, Kind
from oobconsole.recording.transcript import Transcript
from tests.loopback.access import ssh, wait_for_log
from tests.stack.nested import ROOT
from tests.support.disk import Disk
from tests.support.server import Server
from tests.support.sync import eventually
from tests.unit.audit.test_log import ALICE, checked, opened, put_and_wait

#: /tmp with no room for a byte, and none for another file, as the server sees it; but for the project, which may lie
#: there. Its words: the project, an empty folder, the command.
FULL_TMP = """
mount --bind /tmp "$1" && mount -t tmpfs -o size=4k,nr_inodes=16 tmpfs /tmp || exit 1
case $0 in /tmp/*) mkdir -p "$0" && mount --bind "$1${0#/tmp}" "$0" || exit 1 ;; esac
shift
{ yes >/tmp/full; } 2>&-
number=0
while { true >/tmp/$number; } 2>&-; do number=$((number + 1)); done
exec "$@"
"""


def works(server: Server, *texts: str, console: str = "web1") -> None:
    """Guests print what is typed, and logins are possible."""
    for text in texts:
        done = ssh(server, "send", console, text)
        assert done.returncode == 0, (text, done)


def recorded(server: Server, text: str, folder: Path) -> None:
    """It is in the recording, soon, with nothing missing."""
    transcript = Transcript(folder)
    eventually(
        lambda: text.encode() in b"".join(part.data for part in transcript.read()),
        lambda: (list(transcript.read())[-3:], server.log.read_text()[-2000:]),
        seconds=90,
    )
    assert not [part for part in transcript.read() if part.missing]


def ends_well(server: Server, audit: Path) -> list[dict[str, object]]:
    """It stops, the audit log verifies; returns its entries. Nothing was a bug."""
    assert server.stop(30) == 0
    key = chain.load_public_key(server.folder / "state" / "audit_ed25519_key.pub")
    report = verify(files.all_of(audit), key)
    assert report.faults == [], report
    assert not re.search(r"Traceback|a bug in oobconsole", server.log.read_text()), server.log.read_text()[-3000:]
    return [json.loads(line) for line in audit.read_text().splitlines()]


@pytest.mark.timeout(300)
def test_no_other_file_can_be_made_nor_anything_in_tmp() -> None:
    """issue 12, section 3: no inodes are left, and /tmp is full. What has its file goes on, what needs one waits."""
    with Disk("size=8m,nr_inodes=200") as disk, contextlib.ExitStack() as stack:
        (disk.path / "kept").mkdir()
        through = ("unshare", "--mount", "sh", "-c", FULL_TMP, str(ROOT), str(disk.path / "kept"))
        server = stack.enter_context(Server(folder=disk.path, through=through))
        recordings = disk.path / "state" / "recordings"
        works(server, "before")
        recorded(server, "before", recordings / "web1")  # its files are there
        disk.take_inodes()
        works(server, "of web1")
        works(server, "of web2", console="web2")
        wait_for_log(server, "recording has stopped.*web2.*No space left on device")
        recorded(server, "of web1", recordings / "web1")
        disk.free()
        recorded(server, "of web2", recordings / "web2")
        assert server.run_local("audit", "verify").returncode == 0
        entries = ends_well(server, disk.path / "state" / "audit.jsonl")
        assert sum(entry["kind"] == "sent" for entry in entries) == 3


@pytest.mark.timeout(300)
def test_recordings_become_read_only_and_the_log_s_disk_is_full() -> None:
    """issue 12, section 3: two disks at the same time. The audit log is on neither."""
    with Disk("size=256k") as disk, Disk() as ours:
        log = disk.path / "server.log"
        with log.open("ab") as stderr:
            server = Server(stderr=stderr.fileno())
            server.config.write_text(f'{server.config.read_text()}\n[recording]\nfolder = "{ours.path}"\n')
            with server:
                works(server, "before")
                recorded(server, "before", ours.path / "web1")
                disk.fill()
                ours.remount("ro")
                works(server, *(f"read-only {number} {'.' * 300}" for number in range(8)))
                said = "web1: not recorded: Read-only file system"
                eventually(lambda: said.encode() in server.run_local("status").stdout, log.read_text)
                size = log.stat().st_size
                eventually(
                    lambda: b"lines could not be written" in server.run_local("status").stdout,
                    lambda: (size, log.read_text()[-500:]),
                )
                ours.remount("rw")
                recorded(server, "read-only 7", ours.path / "web1")
                disk.free()
                works(server, "after")
                recorded(server, "after", ours.path / "web1")
                ends_well(server, server.folder / "state" / "audit.jsonl")
        assert re.search(r"\d+ log lines were lost: No space left on device", log.read_text()), log.read_text()


@pytest.mark.timeout(300)
def test_every_file_is_too_large() -> None:
    """issue 12, section 3: EFBIG of the kernel (setrlimit(2), RLIMIT_FSIZE) for the log, the audit log and
    recordings at the same time."""
    with Server() as server:
        state = server.folder / "state"
        works(server, "before")
        recorded(server, "before", state / "recordings" / "web1")
        subprocess.run(["prlimit", "--pid", str(server.pid), "--fsize=16:unlimited"], check=True)
        works(server, "too large", "and again")
        said = b"web1: not recorded: File too large"
        eventually(lambda: said in server.run_local("status").stdout, server.log.read_text)
        subprocess.run(["prlimit", "--pid", str(server.pid), "--fsize=unlimited:unlimited"], check=True)
        recorded(server, "and again", state / "recordings" / "web1")
        wait_for_log(server, r"\d+ log lines were lost: File too large")
        audit = state / "audit.jsonl"
        eventually(lambda: chain.RESUMED.encode() in audit.read_bytes(), audit.read_text)
        entries = ends_well(server, audit)
        assert {entry["lost"] for entry in entries if entry["kind"] == chain.RESUMED} == {0}
        assert sum(entry["kind"] == "sent" for entry in entries) == 3


def test_the_audit_log_is_due_for_another_file_that_cannot_be_made() -> None:
    """issue 12, section 3: without inodes it goes on in the one that it has."""
    with Disk("size=2m,nr_inodes=50") as disk:
        with opened(disk.path, rotate=1500) as log:
            put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
            disk.take_inodes()
            for number in range(8):
                put_and_wait(log, Event(Kind.LOGIN, who=ALICE, detail={"number": number}))
            assert len(files.all_of(disk.path / "audit.jsonl")) == 1
            disk.free()
            put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
        report = checked(disk.path, log.head[1])
        assert report.faults == []
        assert len(files.all_of(disk.path / "audit.jsonl")) == 2
