"""The local socket: who leaves at once costs nobody anything."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys

from tests.support.pace import scaled
from tests.support.server import Server


def test_who_leaves_at_once_closes_nobody_elses_socket() -> None:
    """uvloop closed the number of such a connection twice, and the second time it was perhaps another's."""
    with Server() as server, server.attach("web1") as person:
        for number in range(40):
            for _ in range(10):
                with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
                    sock.connect(str(server.folder / "state" / "admin.sock"))
            person.send(f"<{number}>")
            person.expect(f"<{number}>", timeout=20)
        words = [sys.executable, "-m", "oobconsole", "--config", str(server.config), "ls"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(20), check=False)
        assert (done.returncode, "web1" in done.stdout) == (0, True), done.stderr
        assert "Bad file descriptor" not in server.log.read_text()
        assert "bug" not in server.log.read_text()
