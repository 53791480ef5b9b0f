"""The contract of a line: bytes out, bytes in, and a break, but no registers, because somebody else has the device.

Everything is called from the event loop's thread and returns at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Protocol


class StreamEvents(Protocol):
    """What a line tells the console that it is wired to."""

    def up(self, peer: str) -> None:
        """The line is connected; `peer` says to what, in words."""

    def down(self, reason: str, retry_s: float | None) -> None:
        """The line is not connected, for that reason. The next attempt is in `retry_s` seconds; None: it is not
        known."""

    def output(self, data: bytes) -> None:
        """The guest has printed `data`."""

    def gap(self, lost: int) -> None:
        """`lost` bytes that the guest printed here never reached us."""

    def writable(self) -> None:
        """`Stream.write` takes input again, after it has not taken all that it was given."""


class Stream(ABC):
    """One serial line, connected again whenever it is lost.

    Attributes:
        has_break: can it send a break condition?
        keeps_output: does the other end keep what the guest prints while nobody is connected?
        recorded: set before `start`, for a line that keeps output while we are away: says how many bytes of an
            instance and a number the console's recording has (`Recorder.bind`). None: nothing is recorded.
    """

    has_break = False
    keeps_output = False
    recorded: Callable[[int, int], int | None] | None = None

    @property
    def position(self) -> tuple[int, int, int] | None:
        """Of a line that keeps output: the connected instance and number, and how many bytes of their output have
        come."""
        return None

    @abstractmethod
    async def start(self, events: StreamEvents) -> None:
        """Begin to connect. What cannot be reached now is tried again later.

        Raises:
            EnvironmentFault: the line can never be connected as it is configured.
        """

    @abstractmethod
    async def stop(self) -> None:
        """Disconnect, and do not connect again. A second call does nothing."""

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Type `data`; returns how many bytes were accepted, which is 0 while the line is down. When fewer than all
        were accepted, `writable` comes later."""

    def hold(self, held: bool) -> bool:
        """Stop taking what the guest prints (True), or take it again. Returns False when this line cannot make it
        wait."""
        return False

    def send_break(self) -> bool | Awaitable[None]:
        """Send a break condition.

        Returns:
            True: it was sent. False: it could not be sent now. Something to await: the line will know later.

        Raises:
            LineFault: the line refuses breaks, and goes on all the same. It may also come when the result is awaited.
        """
        return False

    def take(self) -> bool:
        """Connect at once, and make another program leave that has the line. False: there is no such program."""
        return False
