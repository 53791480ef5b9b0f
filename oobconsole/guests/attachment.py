"""What connects a console of a guest with a UART of the context that is this guest now."""

from __future__ import annotations

from collections.abc import Callable

from oobconsole.console.console import NEW_GUEST, Console, ConsoleState
from oobconsole.devices.device import Resources
from oobconsole.guests.board import Board
from oobconsole.guests.serialport import SerialPort
from oobconsole.recording.recorder import Recorder


class Attachment:
    """One console of a guest that the configuration of a machine names.

    Args:
        place: where the guest has the UART of the console.

    Attributes:
        console: the console. It stays while contexts come and go.
        recorder: what records the console; None: nothing does now.
    """

    def __init__(self, console: Console, place: Resources) -> None:
        self.console = console
        self.place = place
        self.recorder: Recorder | None = None
        self._port: SerialPort | None = None  # None: no context is this guest now

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records the console, by its name. The recording may begin while a guest prints."""
        self.recorder = recorder_of(self.console.name)
        if self._port is not None:
            self._port.record(self.recorder)

    def attach(self, board: Board) -> None:
        """Connect the console with the UART at its place. No byte passes before `connect`. Raises `KeyError` if the
        board has no UART there."""
        self._port = board.port_at(self.place)
        self._port.attach(self.console, self.recorder)

    def connect(self) -> None:
        """The guest can be reached, for the first time or again: people are told, and bytes pass."""
        if self._port is not None:
            self.console.set_state(ConsoleState.LIVE, "" if self._port.known else NEW_GUEST)
            self._port.connect()

    def disconnect(self) -> None:
        """The guest cannot be reached now, but may come back. Typed text waits, and nobody is told."""
        if self._port is not None:
            self._port.disconnect()

    def missed(self, reason: str) -> None:
        """The guest has not come back so far, so people are told why."""
        if self.console.state is ConsoleState.LIVE:
            self.console.set_state(ConsoleState.AWAY, reason)

    def detach(self, reason: str) -> None:
        """The context is not this guest any more. People are told why."""
        port, self._port = self._port, None
        if port is not None:
            port.detach()
        self.console.set_state(ConsoleState.GONE, reason)
