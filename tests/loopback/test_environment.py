"""Faults of a real server's own environment: its log's reader, its disk, its descriptors."""

from __future__ import annotations

import os
import pty
from pathlib import Path

import pytest

from tests.loopback.access import local, ssh
from tests.support.server import Server
from tests.support.sync import eventually

CLOSED = ("sh", "-c", 'exec "$@" 2>&-', "sh")


def serves(server: Server) -> None:
    """Every way in works, and the console does."""
    for _ in range(3):
        done = ssh(server, "ls")
        assert (done.returncode, b"web1" in done.stdout) == (0, True), done
    done = local(server, "ls")
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
            status = local(server, "status")
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
