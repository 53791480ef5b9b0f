"""The contract of a serial line that somebody else's device ends: bytes out, bytes in, a break. No registers.

Everything is called from the event loop's thread and returns at once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Protocol


class StreamEvents(Protocol):
    """What a line tells its console."""

    def up(self, peer: str) -> None:
        """It is connected."""

    def down(self, reason: str, retry_s: float | None) -> None:
        """It is not connected, for that reason; the next attempt is in `retry_s` seconds, if there is one."""

    def output(self, data: bytes) -> None:
        """The guest printed."""

    def gap(self, lost: int) -> None:
        """So many bytes of output were lost here."""

    def writable(self) -> None:
        """`write` accepts something again."""


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
        """Of such a line: the instance and the number that are connected, and how many bytes of their output came."""
        return None

    @abstractmethod
    async def start(self, events: StreamEvents) -> None:
        """Begin; what cannot be reached is tried again later. Raises `EnvironmentFault` for what never can be had."""

    @abstractmethod
    async def stop(self) -> None:
        """Close everything. Idempotent."""

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Type; returns how many bytes were accepted. None while the line is down; after fewer than all, `writable`
        comes."""

    def hold(self, held: bool) -> bool:
        """Take nothing more of what the guest prints, or take it again; False: this line cannot wait, and goes on."""
        return False

    def send_break(self) -> bool | Awaitable[None]:
        """Send a break condition; False when it could not be sent now; something to await where that is known later.
        Raises `LineFault`, at once or when it is awaited: why the line refuses it, and goes on all the same."""
        return False

    def take(self) -> bool:
        """Connect at once, and end whatever other program has the line; False when there is nothing to be ended."""
        return False
