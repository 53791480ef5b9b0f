"""A QMP server of one's own: it answers late, not at all, or what no QEMU would."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.support.pace import scaled

_GREETING: Final = {
    "QMP": {"version": {"qemu": {"major": 11, "minor": 1, "micro": 0}, "package": ""}, "capabilities": []}
}


class Monitor:
    """Serves at a UNIX socket, one connection after the other, until it is closed; a context manager.

    Args:
        path: of the socket.

    Attributes:
        answers: by command, without the id; what is not in it is answered with an empty object.
        held: commands that are not answered before `release`.
        commands: that came, in order.
        connections: that were made so far.
    """

    def __init__(self, path: Path) -> None:
        self.answers: dict[str, dict[str, Any]] = {"query-status": {"return": {"status": "running"}}}
        self.held: set[str] = set()
        self.commands: list[str] = []
        self.connections = 0
        self._waiting: list[bytes] = []
        self._peer: socket.socket | None = None
        self._lock = threading.Lock()
        self._listener = socket.socket(socket.AF_UNIX)
        self._path = path
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._path.unlink(missing_ok=True)
        self._listener.shutdown(socket.SHUT_RDWR)
        self.hang_up()
        self._thread.join(scaled(10))
        self._listener.close()
        assert not self._thread.is_alive()

    def event(self, name: Any, **data: Any) -> None:
        """Something has happened."""
        self.send(json.dumps({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}}).encode())

    def send(self, line: bytes) -> None:
        """Send a line as it is."""
        peer = self._peer
        assert peer is not None, "nobody is connected"
        with contextlib.suppress(OSError), self._lock:  # the other end has had enough
            peer.sendall(line + b"\n")

    def release(self) -> None:
        """Give the answers that were held, and hold no more."""
        self.held.clear()
        waiting, self._waiting = self._waiting, []
        for line in waiting:
            self.send(line)

    def hang_up(self) -> None:
        """End the connection that there is."""
        if self._peer is not None:
            with contextlib.suppress(OSError):
                self._peer.shutdown(socket.SHUT_RDWR)

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer, contextlib.suppress(OSError):
                peer.sendall(json.dumps(_GREETING).encode() + b"\n")
                for command in _commands(peer):
                    self._command(command, peer)
            self._peer = None

    def _command(self, command: dict[str, Any], peer: socket.socket) -> None:
        name = command["execute"]
        answer = json.dumps({**self.answers.get(name, {"return": {}}), "id": command.get("id")}).encode()
        if name == "qmp_capabilities":
            peer.sendall(answer + b"\n")
            self.connections += 1
            self._peer = peer
            return
        if name in self.held:
            self._waiting.append(answer)
        else:
            self.send(answer)
        self.commands.append(name)


def _commands(peer: socket.socket) -> Iterator[dict[str, Any]]:
    """Yield the commands of a client, which does not end them with a line feed."""
    rest = ""
    while data := peer.recv(65536):
        rest += data.decode()
        with contextlib.suppress(json.JSONDecodeError):  # the rest of it is still to come
            while rest := rest.lstrip():
                command, end = json.JSONDecoder().raw_decode(rest)
                rest = rest[end:]
                yield command


def evil(text: str = "PWN") -> str:
    """Return text on which a terminal would act: it sets a title, and begins a control sequence by C1."""
    return f"\x1b]0;{text}\x07\x9b2J\ud83d"


#: Bytes that must reach no terminal, no log and no file.
EVIL_BYTES: Final = (b"\x1b]0;", b"\x07", "\x9b".encode(), os.fsencode("\x1b]"))
