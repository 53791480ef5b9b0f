"""Whether the server at the other end of a UNIX socket takes what we send, and how a person leaves if it does not.

A server that is stopped, or that hangs, reads nothing. The kernel knows how much it has not read (SIOCOUTQ, unix(7)).
"""

from __future__ import annotations

import asyncio
import fcntl
import struct
import termios
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

#: How often to look, in seconds.
LOOK_SECONDS: Final = 0.5
#: After so many seconds of silence, a person at a terminal is told. Nobody is told of a server that is late by less.
TOLD_SECONDS: Final = 10.0
#: Somebody who asks to leave does so without the server, if the server has not read that for so many seconds.
LEAVE_SECONDS: Final = 5.0

_CTRL_C: Final = b"\x03"
_ENTER, _TILDE, _DOT, _OTHER = 0x0D, 0x7E, 0x2E, 0


class _Socket(Protocol):
    """The part of a socket that is needed here."""

    def fileno(self) -> int:
        """The descriptor; -1 when the socket is closed."""


class Silence:
    """Notices that a server neither reads nor answers.

    Something must be sent at times, such as a keepalive, because a server that is asked nothing owes no answer.

    Args:
        sock: a UNIX socket that is connected to the server.

    Attributes:
        told: whether the present silence has lasted for TOLD_SECONDS.
    """

    def __init__(self, sock: _Socket) -> None:
        self._sock = sock
        self._heard = 0
        self.told = False

    def heard(self) -> None:
        """Note that the server has sent something."""
        self._heard += 1
        self.told = False

    async def lasts(self, seconds: float) -> bool:
        """Wait for so many seconds. Returns True if the server has read and sent nothing in that time, and False as
        soon as it does."""
        loop, heard = asyncio.get_running_loop(), self._heard
        end = loop.time() + seconds
        while loop.time() < end:
            await asyncio.sleep(LOOK_SECONDS)
            if heard != self._heard or not self._owes():
                return False
        return True

    async def watch(self, tell: Callable[[], Awaitable[object]]) -> None:
        """Call `tell` once for each silence that lasts for TOLD_SECONDS. This does not end."""
        while True:
            if not await self.lasts(TOLD_SECONDS):
                self.told = False
            elif not self.told:
                self.told = True
                await tell()

    def _owes(self) -> bool:
        """Whether there is something that the server has not read."""
        try:
            unread = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4))
        except (OSError, ValueError):  # the socket is closed
            return False
        return struct.unpack("i", unread) != (0,)


class Leaving:
    """Finds the keys by which a person wants to leave: Enter, `~` and `.`, and Ctrl-C where no guest gets it.

    What comes together with other text is pasted, and never means to leave.

    Args:
        by_ctrl_c: whether Ctrl-C means to leave, because the command passes no keys to a guest.
    """

    def __init__(self, *, by_ctrl_c: bool) -> None:
        self._by_ctrl_c = by_ctrl_c
        self._before = _ENTER  # the key before, if it counts

    def feed(self, typed: bytes) -> bool:
        """Note what one read from the terminal has returned. Returns whether these keys end with it."""
        leaves = False
        for key in typed:
            leaves = key == _DOT and self._before == _TILDE
            if key == _ENTER:
                self._before = _ENTER
            elif key == _TILDE and self._before in (_ENTER, _TILDE):  # `~~~` may be what escapes begin with
                self._before = _TILDE
            else:
                self._before = _OTHER
        return (leaves and not typed.strip(b"\r~.")) or (self._by_ctrl_c and typed == _CTRL_C)
