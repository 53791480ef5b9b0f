"""One guest whose serial port somebody else emulates, or a real port: a stream wired to a console."""

from __future__ import annotations

from oobconsole.console.console import Console, ConsoleState
from oobconsole.interceptors.stream import Stream
from oobconsole.settings import ConsoleConfig


class Line:
    """A stream and its console.

    Args:
        name: of both.
        kind: where it comes from, in a word, as lists show it.
        stream: brings the bytes.
    """

    def __init__(
        self, name: str, kind: str, stream: Stream, *, scrollback: int, settings: ConsoleConfig | None = None
    ) -> None:
        self.name = kind
        self.stream = stream
        self.console = Console(name, scrollback=scrollback, settings=settings)

    @property
    def consoles(self) -> list[Console]:
        """The one."""
        return [self.console]

    async def start(self) -> None:
        """Begin to connect. Raises `EnvironmentFault`."""
        await self.stream.start(self)

    async def stop(self, reason: str) -> None:
        """Tell whoever is attached, and let the guest go on without us."""
        self.console.close(reason)
        await self.stream.stop()

    # -- StreamEvents -------------------------------------------------------------------------------

    def up(self, peer: str) -> None:
        self.console.set_state(ConsoleState.LIVE)
        self.console.bind(self.stream.write)

    def down(self, reason: str, retry_s: float | None) -> None:
        self.console.bind(None)
        when = "" if retry_s is None else f"; the next attempt is in {retry_s:.1f} s"
        self.console.set_state(ConsoleState.FAULT, reason + when)

    def output(self, data: bytes) -> None:
        self.console.output(data)

    def gap(self, lost: int) -> None:
        self.console.gap(lost)

    def writable(self) -> None:
        self.console.pump()
