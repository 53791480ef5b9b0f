"""One SSH session channel, as the session layer's `Peer` and the menu's `Terminal`."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import asyncssh

from oobconsole.errors import HungUp
from oobconsole.session.arrival import Arrivals
from oobconsole.ssh.private import TermModes, TermSize
from oobconsole.words import harmless

#: Input that waits here for the session, in bytes; beyond it the SSH window closes.
_INPUT_MAX: Final = 65536
#: More rows or columns than any terminal has cost only memory and time: the menu draws all of them.
_ROWS_MAX: Final = 200
_COLUMNS_MAX: Final = 500
_TERM_MAX: Final = 64  # characters of TERM
#: Breaks that wait to be sent, one behind the other.
_BREAKS_MAX: Final = 16
#: A channel that was opened has to be used, in seconds.
_UNUSED_SECONDS: Final = 120.0
#: Who drags a window's edge changes its size a hundred times a second; that is drawn so often, in seconds.
_RESIZE_SECONDS: Final = 0.05


class Channel(asyncssh.SSHServerSession[bytes]):
    """What a client opened.

    Args:
        started: called when the client has said what it wants: `command`, `has_terminal`.
        lost: called when the channel is closed.
    """

    def __init__(self, started: Callable[[Channel], object], lost: Callable[[Channel], object]) -> None:
        self._started = started
        self._lost = lost
        self._input = bytearray()
        self._input_ended = False
        self._arrivals = Arrivals()
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._room = asyncio.Event()
        self._room.set()
        self._gone = asyncio.Event()
        self._read = 0  # bytes of input that somebody has read
        self._breaks: deque[int] = deque()  # asked for by the client: how much input came before each
        self._breaks_refused = 0
        self._break_due = asyncio.Event()
        self._closed = False
        self.has_exited = False  # the client may still be reading, or has not closed it yet
        self._unused: asyncio.TimerHandle | None = None
        self._resize_timer: asyncio.TimerHandle | None = None
        self._resized: Callable[[], object] | None = None
        self._restored: Callable[[], bytes] | None = None
        self._instead: str | None = None

    # -- what the client asks for -------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        self._channel = chan
        self._unused = asyncio.get_running_loop().call_later(_UNUSED_SECONDS, self.exit, 1)

    def pty_requested(self, term_type: str, term_size: TermSize, term_modes: TermModes) -> bool:
        return len(term_type) <= _TERM_MAX

    def shell_requested(self) -> bool:
        return True  # the menu: there is no shell

    def exec_requested(self, command: str) -> bool:
        return True

    def session_started(self) -> None:
        if self._unused is not None:
            self._unused.cancel()
        self._started(self)

    @property
    def command(self) -> str | None:
        """What stands after `ssh HOST`, or what is to be done instead."""
        return self._channel.get_command() if self._instead is None else self._instead

    @command.setter
    def command(self, instead: str | None) -> None:
        self._instead = instead

    @property
    def garbled(self) -> bool:
        """Is the command no text, so that nobody knows what is asked for?"""
        return bool(getattr(self._channel, "garbled", ""))

    @property
    def has_terminal(self) -> bool:
        """Is there a pseudo-terminal at the other end?"""
        return self._channel.get_terminal_type() is not None

    # -- what the connection says -------------------------------------------------------------------

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        is_first = not self._input
        self._input += data
        is_full = len(self._input) >= _INPUT_MAX
        self._arrivals.came(time.monotonic(), first=is_first, full=is_full)
        if is_full:
            self._channel.pause_reading()
        self._readable.set()

    def eof_received(self) -> bool:
        self._input_ended = True
        self._readable.set()
        return True  # output goes on

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def set_room(self, room: bool) -> None:
        """Does the connection below take more? `pause_writing` says only what this channel's window does."""
        if room or self._gone.is_set():
            self._room.set()
        else:
            self._room.clear()

    def reads_no_more(self) -> None:
        """The session ends as that of a client that has hung up, but somebody still wants to know how."""
        for event in (self._gone, self._writable, self._room):
            event.set()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Said a moment later, once for all changes until then."""
        if self._resize_timer is None:
            self._resize_timer = asyncio.get_running_loop().call_later(_RESIZE_SECONDS, self._resize)

    def _resize(self) -> None:
        self._resize_timer = None
        if self._resized is not None:
            self._resized()

    def break_received(self, msec: int) -> bool:
        if not self.has_terminal:
            return False
        if len(self._breaks) >= _BREAKS_MAX:
            self._breaks_refused += 1
            return False
        self._breaks.append(self._read + len(self._input))
        self._break_due.set()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._input_ended = self._closed = self.has_exited = True
        for timer in (self._unused, self._resize_timer):
            if timer is not None:
                timer.cancel()
        for event in (self._gone, self._readable, self._writable, self._room):
            event.set()
        self._lost(self)

    # -- Peer ---------------------------------------------------------------------------------------

    @property
    def pause(self) -> float:
        """As `Peer` says."""
        return self._arrivals.pause

    async def read(self) -> bytes:
        """Wait for input; empty at its end."""
        while not self._input and not self._input_ended:
            self._readable.clear()
            await self._readable.wait()
        data = bytes(self._input)
        self._input.clear()
        self._arrivals.was_read()
        self._read += len(data)
        self._break_due.set()
        if not self._gone.is_set():
            self._channel.resume_reading()
        return data

    def put_back(self, data: bytes) -> None:
        """Have it read again, first."""
        self._input[:0] = data
        self._arrivals.was_put_back()
        self._read -= len(data)
        self._readable.set()

    async def write(self, data: bytes) -> None:
        """Send, waiting while the client is slow. Raises `HungUp` when it is gone."""
        self._send(data)
        await self.drain()

    async def tell(self, text: str) -> None:
        """Say something that is not the guest's: on standard error, or marked on a terminal."""
        lines = [harmless(line) for line in text.split("\n")]  # others' words are among them
        if self.has_terminal:
            self._send(("\r\n" + "".join(f"[oobconsole: {line}]\r\n" for line in lines)).encode())
        else:
            self._send("".join(f"oobconsole: {line}\n" for line in lines).encode(), asyncssh.EXTENDED_DATA_STDERR)
        await self.drain()

    async def error(self, data: bytes) -> None:
        """Send on standard error as it is; a terminal has but one output."""
        self._send(data, None if self.has_terminal else asyncssh.EXTENDED_DATA_STDERR)
        await self.drain()

    async def gone(self) -> None:
        """Wait until the client has hung up."""
        await self._gone.wait()

    async def drain(self) -> None:
        """Wait while the client is slow. Raises `HungUp` when it is gone."""
        await self._writable.wait()
        await self._room.wait()
        if self._gone.is_set():
            raise HungUp("the client hung up")

    def exit(self, status: int) -> None:
        """Give the terminal back, say how it ended, and close once everything is sent."""
        self.give_back()
        self.has_exited = True
        if not self._closed:
            self._channel.exit(status)

    def _send(self, data: bytes, datatype: asyncssh.DataType = None) -> None:
        if self._gone.is_set() or self._channel.is_closing():
            raise HungUp("the client hung up")
        self._channel.write(data, datatype)

    # -- Terminal -----------------------------------------------------------------------------------

    @property
    def term(self) -> str:
        """TERM."""
        return self._channel.get_terminal_type() or "dumb"

    @property
    def client(self) -> str:
        """The program at the other end, as its SSH version says (RFC 4253, section 4.2: `OpenSSH_9.2p1`)."""
        version = self._channel.get_extra_info("client_version")
        return str(version or "").removeprefix("SSH-2.0-")

    def size(self) -> tuple[int, int]:
        """Rows and columns, now; 0 for unknown."""
        columns, rows, _, _ = self._channel.get_terminal_size()
        return min(rows, _ROWS_MAX), min(columns, _COLUMNS_MAX)

    def draw(self, text: str) -> None:
        """Send without waiting. Nothing is drawn for a client that is gone."""
        if not self._gone.is_set() and not self._channel.is_closing():
            self._channel.write(text.encode("utf-8", "replace"))

    def lend(self, restored: Callable[[], bytes] | None) -> None:
        """From now on a guest's output, or a menu, is drawn here; `restored` says what gives the terminal back. None:
        it is as it was."""
        self._restored = restored

    def give_back(self) -> None:
        """Give the terminal back; what comes next is no guest's. Idempotent, and never waits."""
        restored, self._restored = self._restored, None
        if restored is not None and not self._gone.is_set() and not self._channel.is_closing():
            self._channel.write(restored())

    async def break_wanted(self) -> int:
        """Wait until the client asks for a break (RFC 4335: `~B` of OpenSSH's, after Enter), and what came before it
        was read. Returns how many were refused since the last time, too many being asked for."""
        while not self._breaks or self._breaks[0] > self._read:
            self._break_due.clear()
            await self._break_due.wait()
        self._breaks.popleft()
        refused, self._breaks_refused = self._breaks_refused, 0
        return refused

    def forget_breaks(self) -> int:
        """Give up those that wait; returns how many."""
        forgotten = len(self._breaks) + self._breaks_refused
        self._breaks.clear()
        self._breaks_refused = 0
        return forgotten

    def on_resize(self, call: Callable[[], object] | None) -> None:
        """Say whom to call when the size changes."""
        self._resized = call
