"""A person's terminal beside one that gets the guest's bytes and nothing else: what we say must leave both equal."""

from __future__ import annotations

import subprocess
from typing import IO, Generic, Protocol, TypeVar

from tests.support.expect import ExpectError
from tests.support.pace import Deadline
from tests.support.server import Server
from tests.support.tmux import Tmux

#: So long, at most, until what was said is gone by itself and what was printed has arrived, in seconds.
GONE_SECONDS = 40


class Printing(Protocol):
    """A guest whose output is known."""

    @property
    def printed(self) -> bytes | bytearray:
        """Every byte of it so far."""


Guest = TypeVar("Guest", bound=Printing)


class Pair(Generic[Guest]):
    """A guest, a person's terminal, and one that gets the guest's bytes only."""

    def __init__(self, server: Server, guest: Guest, terminal: Tmux, plain: Tmux, feed: IO[bytes]) -> None:
        self.server, self.guest, self.terminal, self.plain = server, guest, terminal, plain
        self._feed = feed
        self._fed = 0

    def follow(self) -> None:
        """Give the other terminal what the guest has printed since."""
        data = bytes(self.guest.printed[self._fed :])
        self._fed += len(data)
        self._feed.write(data)
        self._feed.flush()

    def equal(self, timeout: float = GONE_SECONDS) -> None:
        """Wait until both are equal."""
        deadline = Deadline(timeout)
        while True:
            self.follow()
            seen, wanted = self._states()
            if seen == wanted:
                return
            if not deadline.left:
                raise ExpectError(f"not equal:\n{_difference(seen, wanted)}")

    def _states(self) -> tuple[list[str], list[str]]:
        return _state(self.terminal), _state(self.plain)


def _state(terminal: Tmux) -> list[str]:
    rows = [repr(row) for row in terminal.runs]
    modes = terminal.modes().items()
    return rows + [f"{mode}={value}" for mode, value in modes if not mode.startswith("mouse")]  # that is filtered


def _difference(seen: list[str], wanted: list[str]) -> str:
    lines = []
    for number, (ours, theirs) in enumerate(zip(seen, wanted, strict=True)):
        mark = " " if ours == theirs else "!"
        lines.append(f"{mark}{number:3} {ours!r}" + (f"\n     {theirs!r}" if ours != theirs else ""))
    return "\n".join(lines)


class Visitor:
    """Somebody else who watches, and so is announced when coming and when leaving."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def __enter__(self) -> Visitor:
        self._ssh = subprocess.Popen(
            self._server.ssh("watch", "web1", options=("-tt",)), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._ssh.kill()
        self._ssh.wait()
