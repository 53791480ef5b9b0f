"""What happens to a server's files and descriptors while it runs and somebody is attached."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify
from oobconsole.recording.segments import RAW, segments
from tests.faults.faulty import Faulty
from tests.loopback.access import ssh, wait_for_log
from tests.support.expect import Expect, ExpectError
from tests.support.server import Server
from tests.support.sync import eventually


@contextlib.contextmanager
def attached(server: Server) -> Iterator[Expect]:
    """Somebody is attached, and what the guest prints reaches them all the time."""
    with server.attach("web1") as session:
        session.send(b"before\r")
        session.expect("before", timeout=20)
        yield session
        session.send(b"after\r")
        session.expect("after", timeout=20)


def logged(server: Server, text: bytes, *, seconds: float = 30) -> None:
    """It is in web1's recording."""
    eventually(
        lambda: text in ssh(server, "log", "web1", "--raw").stdout, lambda: server.log.read_text()[-2000:],
        seconds=seconds,
    )  # fmt: skip


def intact(server: Server) -> None:
    """Of a server that was stopped."""
    state = server.folder / "state"
    report = verify(files.all_of(state / "audit.jsonl"), chain.load_public_key(state / "audit_ed25519_key.pub"))
    assert report.faults == [], report


@pytest.mark.timeout(300)
def test_it_becomes_read_only(tmp_path: Path) -> None:
    """faults.md 2's kind: as ext4 does after an error of the disk (errors=remount-ro), and it is mended."""
    with Faulty(tmp_path) as faulty:
        server = faulty.server
        with attached(server) as session:
            faulty.arm(1, 1 << 30, errno.EROFS)
            session.send(b"on a read-only disk\r")
            session.expect("recording has stopped: Read-only file system; the guest goes on", timeout=30)
            faulty.works("meanwhile")
            assert b"web1: not recorded: Read-only file system" in server.run_local("status").stdout
            assert server.run_local("reload").returncode == 0
            assert faulty.disarm() > 3
            session.expect("recording goes on; nothing is missing in it", timeout=90)
        logged(server, b"on a read-only disk")
        logged(server, b"meanwhile")
        assert server.stop() == 0
        audit = [json.loads(line) for line in (server.folder / "state" / "audit.jsonl").read_text().splitlines()]
        assert {entry["lost"] for entry in audit if entry["kind"] == chain.RESUMED} == {0}
        intact(server)


def _cut(folder: Path) -> None:
    os.truncate(segments(folder)[0].path(RAW), 3)


def _removed(folder: Path) -> None:
    shutil.rmtree(folder.parent)


@pytest.mark.parametrize("deed", [_cut, _removed])
def test_somebody_changes_the_files_of_a_recording(deed: Callable[[Path], None]) -> None:
    """issue 12, section 3, recording: it is noticed, told to administrators, and goes on in another segment."""
    with Server() as server:
        with attached(server) as session:
            logged(server, b"before")
            deed(server.folder / "state" / "recordings" / "web1")
            session.send(b"in another segment\r")
            logged(server, b"in another segment")
            wait_for_log(server, "somebody else has changed a recording.*web1")
            assert b"web1: somebody else has changed its recording: 0" in server.run_local("status").stdout
            for words in (("search", "web1", "another"), ("log", "web1", "--since", "1h"), ("replay", "web1")):
                assert b"another segment" in ssh(server, *words).stdout
        assert server.stop() == 0
        audit = [json.loads(line) for line in (server.folder / "state" / "audit.jsonl").read_text().splitlines()]
        (damage,) = [entry for entry in audit if entry.get("state") == "damaged"]
        assert (damage["console"], damage["missing"] > 0) == ("web1", True)
        intact(server)


@pytest.mark.parametrize("deed", [lambda path: path.write_text("x"), lambda path: path.symlink_to("nowhere")])
def test_a_folder_of_recordings_that_is_none(deed: Callable[[Path], None]) -> None:
    """faults.md 2, variation: a start that fails says why, in one sentence. The stop of what had not begun failed,
    too, and nothing but its traceback was seen."""
    server = Server()
    (server.folder / "state").mkdir(mode=0o700)
    deed(server.folder / "state" / "recordings")
    with pytest.raises(ExpectError) as failed, server:
        pass
    assert "Traceback" not in str(failed.value)
    assert "oobconsole: " in str(failed.value)
    assert "state/recordings" in str(failed.value)
