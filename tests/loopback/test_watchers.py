"""Many real clients at a guest that prints without pause: who keeps up loses nothing, who is stopped costs nobody."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
from pathlib import Path

from tests.support.pace import scaled
from tests.support.server import Server

WATCHERS = 20
#: More than the stopped client's window, its sockets and pipes, and the scrollback hold.
DATA = secrets.token_bytes(4 << 20).hex().encode()


class Flood:
    """A guest on a socket, whose output waits when nobody takes it."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=lambda: self._peer.sendall(DATA + b"the end"))

    def meet(self) -> None:
        """The server connects."""
        self._listener.settimeout(scaled(20))
        self._peer, _ = self._listener.accept()
        self._peer.settimeout(scaled(60))

    def begin(self) -> None:
        """Print."""
        self._thread.start()

    def end(self) -> None:
        """Everything was taken."""
        self._thread.join(scaled(60))
        assert not self._thread.is_alive()

    def close(self) -> None:
        self._peer.close()
        self._listener.close()


class Watcher:
    """`ssh host watch web1 --json-notices`; output is read by a thread."""

    def __init__(self, server: Server) -> None:
        command = server.ssh("watch", "web1", "--json-notices")
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._process.stderr is not None
        assert b'"attached"' in self._process.stderr.readline()
        self.got = bytearray()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while not self.got.endswith(b"the end"):
            data = os.read(self._process.stdout.fileno(), 1 << 16)
            if not data:
                return
            self.got += data

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def all_of_it(self) -> bytes:
        """Wait until it has the end."""
        self._thread.join(scaled(60))
        assert self.got.endswith(b"the end"), (len(self.got), self._process.poll())
        return bytes(self.got.removesuffix(b"the end"))

    def close(self) -> bytes:
        """Returns the notices."""
        self._process.kill()
        _, notices = self._process.communicate()
        self._thread.join(scaled(10))
        return notices


def test_twenty_watchers_one_of_them_stopped(tmp_path: Path) -> None:
    wanted = hashlib.sha256(DATA).hexdigest()
    with contextlib.ExitStack() as stack:
        flood = Flood(tmp_path / "line")
        line = f'[[vm]]\nname = "web1"\nchardev = "unix:{tmp_path}/line"\n'
        server = stack.enter_context(Server(line))
        flood.meet()
        stack.callback(flood.close)
        stopped, *others = (Watcher(server) for _ in range(WATCHERS))
        for watcher in others:
            stack.callback(watcher.close)
        stopped.signal(signal.SIGSTOP)
        try:
            flood.begin()
            for watcher in others:
                assert hashlib.sha256(watcher.all_of_it()).hexdigest() == wanted
            flood.end()
        finally:
            stopped.signal(signal.SIGCONT)
            try:
                missed = stopped.all_of_it()
            finally:
                notices = stopped.close()
        skipped = sum(map(int, re.findall(rb'"kind": "skipped".*?"bytes": (\d+)', notices)))
        assert skipped > 0
        assert len(missed) + skipped == len(DATA)
        recordings = server.folder / "state" / "recordings" / "web1"
        server.stop()
        recorded = b"".join(path.read_bytes() for path in recordings.glob("*.raw"))
        assert hashlib.sha256(recorded.removesuffix(b"the end")).hexdigest() == wanted
