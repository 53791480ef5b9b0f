"""A session's other end as the session layer wants it: `Peer`, `Terminal` and `Caller`. A client's end feeds it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from oobconsole.errors import FrontError, HungUp
from oobconsole.front.ends import INPUT_WINDOW, OUTPUT_WINDOW, PORTION, ClientEnd
from oobconsole.front.frames import DATA_MAX, Opening
from oobconsole.session.arrival import Arrivals
from oobconsole.session.request import ExitStatus
from oobconsole.supervise import Tasks
from oobconsole.words import harmless

#: More rows or columns than any terminal has cost only memory and time: the menu draws all of them.
_ROWS_MAX: Final = 200
_COLUMNS_MAX: Final = 500
#: Breaks that wait to be sent, one behind the other.
BREAKS_MAX: Final = 16
#: Who drags a window's edge changes its size a hundred times a second; that is drawn so often, in seconds.
_RESIZE_SECONDS: Final = 0.05
_DISMISS_SECONDS: Final = 1.0  # for a client to take the reason


class Visitor:
    """Who has begun a session. The session reads and writes here; the client's end calls what `SessionEnd` has.

    Args:
        wanted: what the client asks for.
        client: where output goes.
        closed: called once, when the client has closed the session.
        window: bytes of input that may wait to be read.

    Attributes:
        why_gone: why the client is gone, if not by its own will.
    """

    def __init__(
        self,
        wanted: Opening,
        client: ClientEnd,
        closed: Callable[[Visitor], object],
        *,
        window: int = INPUT_WINDOW,
    ) -> None:
        self.command = wanted.command
        self.garbled = wanted.garbled
        self.has_terminal = wanted.term is not None
        self.term = wanted.term or "dumb"
        self.client = wanted.client
        self.why_gone = ""
        self._client = client
        self._closed = closed
        self._window = window
        self._size = wanted.rows, wanted.columns
        self._input = bytearray()
        self._input_ended = False
        self._may_come = INPUT_WINDOW
        self._arrivals = Arrivals()
        self._readable = asyncio.Event()
        self._unsent: deque[tuple[bytes, bool]] = deque()
        self._credit = OUTPUT_WINDOW
        self._room = True
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._gone = asyncio.Event()
        self._read = 0  # bytes of input that somebody has read
        self._breaks: deque[int] = deque()  # how much input came before each
        self._breaks_refused = 0
        self._break_due = asyncio.Event()
        self._status: int | None = None  # the session has ended with it
        self._has_finished = False  # the client's end knows of that
        self._resize_timer: asyncio.TimerHandle | None = None
        self._dismissal = Tasks()
        self._resized: Callable[[], object] | None = None
        self._restored: Callable[[], bytes] | None = None
        self._give_credit()

    # -- what the client's end calls ----------------------------------------------------------------

    def typed(self, data: bytes, at: float) -> None:
        """Bytes came. Raises `FrontError`: more than there was credit for."""
        self._may_come -= len(data)
        if self._may_come < 0:
            raise FrontError("more input than there was credit for")
        is_first = not self._input
        self._input += data
        self._arrivals.came(min(at, time.monotonic()), first=is_first, full=self._may_come == 0)
        self._readable.set()

    def input_ended(self) -> None:
        """The client types no more; output goes on."""
        self._input_ended = True
        self._readable.set()

    def resized(self, rows: int, columns: int) -> None:
        """The client's terminal has another size. That is drawn a moment later, once for all changes until then."""
        self._size = rows, columns
        if self._resize_timer is None and not self._gone.is_set():
            self._resize_timer = asyncio.get_running_loop().call_later(_RESIZE_SECONDS, self._draw_resized)

    def _draw_resized(self) -> None:
        self._resize_timer = None
        if self._resized is not None:
            self._resized()

    def break_asked(self) -> None:
        """The client asks for a break; it follows the input that came before it."""
        if len(self._breaks) >= BREAKS_MAX:
            self._breaks_refused += 1
            return
        self._breaks.append(self._read + len(self._input))
        self._break_due.set()

    def credit(self, count: int) -> None:
        """So many bytes more of output can be taken. Raises `FrontError`: more than were ever sent."""
        self._credit += count
        if self._credit > OUTPUT_WINDOW:
            raise FrontError("more credit than there was output")
        self._pump()

    def reads_no_more(self) -> None:
        """The session ends as that of a client that has hung up, but somebody still wants to know how."""
        self._unsent.clear()
        self._gone.set()
        self._flushed.set()
        self._finish()

    def dismissed(self, reason: str) -> None:
        """Whoever it is may be here no longer: they are told why, and the session ends."""
        if not len(self._dismissal):
            self._dismissal.start(self._dismiss(reason), "dismissal of a session")

    def lost(self) -> None:
        """The client has closed the session."""
        if self._resize_timer is not None:
            self._resize_timer.cancel()
        self._input_ended = self._has_finished = True
        self._readable.set()
        self.reads_no_more()
        self._closed(self)

    def set_room(self, room: bool) -> None:
        """Does what is between us and the client take anything now? Credit says only what this session may send."""
        self._room = room
        self._pump()

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
        self._give_credit()
        return data

    def _give_credit(self) -> None:
        """In portions: what is left of the window lets the client go on meanwhile."""
        more = self._window - self._may_come - len(self._input)
        if more >= self._window // PORTION and not self._gone.is_set():
            self._may_come += more
            self._client.taken(more)

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
            self._send("".join(f"oobconsole: {line}\n" for line in lines).encode(), error=True)
        await self.drain()

    async def error(self, data: bytes) -> None:
        """Send on standard error as it is; a terminal has but one output."""
        self._send(data, error=not self.has_terminal)
        await self.drain()

    async def gone(self) -> None:
        """Wait until the client has hung up."""
        await self._gone.wait()

    async def drain(self) -> None:
        """Wait while the client is slow. Raises `HungUp` when it is gone."""
        await self._flushed.wait()
        if self._gone.is_set():
            raise HungUp("the client hung up")

    def exit(self, status: int) -> None:
        """Give the terminal back, say how it ended, and close once everything is sent. The first status counts."""
        self.give_back()
        if self._status is None:
            self._status = status
        self._finish()

    def _finish(self) -> None:
        if self._status is not None and not self._unsent and not self._has_finished:
            self._has_finished = True
            self._client.finish(self._status)

    async def _dismiss(self, reason: str) -> None:
        self.give_back()
        with contextlib.suppress(HungUp, TimeoutError):
            async with asyncio.timeout(_DISMISS_SECONDS):
                await self.tell(reason)
        self.exit(ExitStatus.FAILED)
        self.reads_no_more()

    # -- output -------------------------------------------------------------------------------------

    @property
    def _is_over(self) -> bool:
        return self._gone.is_set() or self._status is not None

    def _send(self, data: bytes, *, error: bool = False) -> None:
        if self._is_over:
            raise HungUp("the client hung up")
        self._put(data, error=error)

    def _put(self, data: bytes, *, error: bool = False) -> None:
        """All of it, at once or when there is credit: nothing else comes between."""
        if data:
            self._unsent.append((data, error))
            self._pump()

    def _pump(self) -> None:
        while self._unsent and self._credit and self._room:
            data, error = self._unsent.popleft()
            most = min(self._credit, DATA_MAX)
            if len(data) > most:
                self._unsent.appendleft((data[most:], error))
                data = data[:most]
            self._credit -= len(data)
            self._client.send(data, error=error)
        if self._unsent:
            self._flushed.clear()
        else:
            self._flushed.set()
            self._finish()

    # -- Terminal -----------------------------------------------------------------------------------

    def size(self) -> tuple[int, int]:
        """Rows and columns, now; 0 for unknown."""
        rows, columns = self._size
        return min(rows, _ROWS_MAX), min(columns, _COLUMNS_MAX)

    def draw(self, text: str) -> None:
        """Send without waiting. Nothing is drawn for a client that is gone."""
        if not self._is_over:
            self._put(text.encode("utf-8", "replace"))

    def lend(self, restored: Callable[[], bytes] | None) -> None:
        """From now on a guest's output, or a menu, is drawn here; `restored` says what gives the terminal back. None:
        it is as it was."""
        self._restored = restored

    def give_back(self) -> None:
        """Give the terminal back; what comes next is no guest's. Idempotent, and never waits."""
        restored, self._restored = self._restored, None
        if restored is not None and not self._is_over:
            self._put(restored())

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
