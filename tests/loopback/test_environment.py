"""Faults of a real server's own environment: its log's reader, its disk, its descriptors."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify
from oobconsole.recording.transcript import Transcript
from tests.loopback.access import ssh, wait_for_log
from tests.support.disk import Disk
from tests.support.pace import scaled
from tests.support.server import Server
from tests.support.sync import eventually

CLOSED = ("sh", "-c", 'exec "$@" 2>&-', "sh")


def serves(server: Server) -> None:
    """Every way in works, and the console does."""
    for _ in range(3):
        done = ssh(server, "ls")
        assert (done.returncode, b"web1" in done.stdout) == (0, True), done
    done = server.run_local("ls")
    assert (done.returncode, b"web1" in done.stdout) == (0, True), done
    done = ssh(server, "send", "web1", "x")
    assert done.returncode == 0, done


class TestLog:
    @pytest.mark.parametrize("style", ["console", "json"])
    def test_its_reader_has_ended(self, style: str) -> None:
        """faults.md 1, security.md 3a: EPIPE of the log made every login fail."""
        reading, writing = os.pipe()
        with Server(settings=f'log = "{style}"', stderr=writing) as server:
            os.close(writing)
            assert os.read(reading, 100)
            os.close(reading)
            serves(server)
            status = server.run_local("status")
            assert b"lines could not be written" in status.stdout, status
            assert server.stop() == 0

    def test_its_terminal_is_closed(self) -> None:
        """faults.md 31: EIO of a terminal that hung up."""
        ours, theirs = pty.openpty()
        with Server(settings='log = "json"', stderr=theirs) as server:
            os.close(theirs)
            assert os.read(ours, 100)
            os.close(ours)
            serves(server)
            assert server.stop() == 0

    def test_its_reader_lives_and_does_not_read(self) -> None:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        with Server(stderr=writing) as server:
            eventually(lambda: _fill(writing) == 0, lambda: "the pipe takes more")
            serves(server)
            assert server.stop() == 0
        os.close(writing)
        os.close(reading)

    def test_standard_error_was_closed_at_the_start(self) -> None:
        """security.md 27: `2>&-` was status 1 without a word."""
        with Server(through=CLOSED) as server:
            serves(server)
            assert Path(f"/proc/{server.pid}/fd/2").readlink() == Path(os.devnull)
            assert server.stop() == 0


def _fill(descriptor: int) -> int:
    try:
        return os.write(descriptor, b"." * 4096)
    except BlockingIOError:
        return 0


@pytest.fixture
def small() -> Iterator[Path]:
    """A file system of 2 MiB."""
    with Disk() as disk:
        yield disk.path


def _fill_disk(path: Path) -> None:
    """To the last byte of the last page of every file that is open."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


def _second(server: Server) -> subprocess.CompletedProcess[bytes]:
    """Another server with the same configuration, which is expected to end."""
    words = [sys.executable, "-m", "oobconsole", "serve", "--config", str(server.config)]
    return subprocess.run(words, capture_output=True, timeout=scaled(30), check=False)


class TestDisk:
    def test_it_is_full_and_has_room_again(self, small: Path) -> None:
        """faults.md 2: logins died, the audit log's thread ended. faults.md 25: what is printed meanwhile is kept."""
        with Server(folder=small) as server:
            state = small / "state"
            ballast = small / "ballast"
            serves(server)
            _fill_disk(ballast)
            for turn in range(16):
                done = ssh(server, "send", "web1", f"full {turn} {'.' * 400}")
                assert done.returncode == 0, (turn, done)
            assert os.statvfs(small).f_bavail == 0
            ballast.unlink()
            audit = state / "audit.jsonl"
            eventually(lambda: chain.RESUMED.encode() in audit.read_bytes(), audit.read_text, seconds=10)
            transcript = Transcript(state / "recordings" / "web1")
            eventually(
                lambda: b"full 15" in b"".join(part.data for part in transcript.read()),
                lambda: (list(transcript.read())[-3:], server.log.read_text()[-2000:]),
                seconds=40,
            )
            assert not [part for part in transcript.read() if part.missing]
            serves(server)
            assert server.stop() == 0
            entries = [json.loads(line) for line in audit.read_text().splitlines()]
            assert {entry["lost"] for entry in entries if entry["kind"] == chain.RESUMED} == {0}
            assert sum(entry["kind"] == "sent" for entry in entries) == 18
            report = verify(files.all_of(audit), chain.load_public_key(state / "audit_ed25519_key.pub"))
            assert report.faults == [], report

    def test_it_is_read_only_at_the_start(self, small: Path) -> None:
        """One sentence that names the file, with keys that were there and with none."""
        server = Server(folder=small)
        for made in ("nothing", "its state"):
            if made == "its state":
                with server:
                    serves(server)
            subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
            done = _second(server)
            subprocess.run(["mount", "-o", "remount,rw", str(small)], check=True)
            assert (done.returncode, b"Traceback" in done.stderr) == (1, False), done
            last = done.stderr.splitlines()[-1]
            assert last.startswith(b"oobconsole: " + bytes(small / "state")), (made, done)
            assert last.endswith(b"Read-only file system"), (made, done)

    def test_another_server_has_the_same_state_dir(self) -> None:
        """The second one ends with a sentence, and the first does not notice."""
        with Server() as server:
            serves(server)
            done = _second(server)
            assert (done.returncode, b"Traceback" in done.stderr) == (1, False), done
            last = done.stderr.splitlines()[-1]
            assert b"another server has this state_dir and writes this audit log: stop it, or" in last, done
            serves(server)
            assert server.stop() == 0

    def test_one_recording_that_cannot_be_read(self) -> None:
        """It costs the recording of that console, which is said, until it can be; and nothing else."""
        server = Server()
        folder = server.folder / "state" / "recordings"
        folder.mkdir(parents=True)
        (server.folder / "state").chmod(0o700)
        (folder / "web1").write_text("no folder")
        with server:
            serves(server)
            said = b"web1 is not recorded: " + bytes(folder / "web1") + b": a recording that cannot be gone on with"
            assert said in ssh(server, "ls").stderr
            rows = {row["console"]: row for row in map(json.loads, ssh(server, "ls", "--json").stdout.splitlines())}
            assert (bool(rows["web1"]["unrecorded"]), rows["web2"]["unrecorded"]) == (True, "")
            assert b"web1: not recorded" in server.run_local("status").stdout
            wait_for_log(server, "a console cannot be recorded, which is tried again")
            assert b'"state":"stopped"' in (server.folder / "state" / "audit.jsonl").read_bytes()
            done = ssh(server, "log", "web1")
            assert (done.returncode, b"Traceback" in done.stderr, bool(done.stderr)) == (2, False, True), done
            assert ssh(server, "send", "web2", "kept").returncode == 0
            assert b"kept" in ssh(server, "log", "web2").stdout
            (folder / "web1").unlink()
            assert ssh(server, "send", "web1", "later").returncode == 0
            eventually(
                lambda: b"later" in ssh(server, "log", "web1").stdout,
                lambda: server.log.read_text()[-2000:],
                seconds=70,
            )
            wait_for_log(server, "missing=0")
            assert b"is not recorded" not in ssh(server, "ls").stderr
            assert server.stop() == 0


class TestDescriptors:
    def test_a_front_that_has_none_left_waits(self) -> None:
        """faults.md 25, variation: the front may open no file, and without that the event loop's own servers tried
        to accept a connection again and again without a pause, with all of a processor."""
        with Server(through=("prlimit", "--nofile=44:44")) as server, contextlib.ExitStack() as held:
            (front, *_) = server.fronts()
            for _ in range(60):
                held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            wait_for_log(server, "no connection can be accepted now.*Too many open files")
            before = _ticks(front)
            time.sleep(2)
            assert _ticks(front) - before < 10
            assert server.run_local("ls").returncode == 0
            held.close()
            serves(server)
            assert server.fronts()[0] == front


def _ticks(pid: int) -> int:
    """How much processor time a process has had, in hundredths of a second (proc(5), /proc/PID/stat)."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])
