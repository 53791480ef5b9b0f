"""A visitor is the user of a session, as the session sees it: `Peer`, `Terminal` and `Caller`. A client's end feeds
it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from oobconsole import supervise
from oobconsole.errors import FrontError, HungUp
from oobconsole.front.ends import INPUT_WINDOW, OUTPUT_WINDOW, PORTION, ClientEnd
from oobconsole.front.frames import DATA_MAX, KEPT_MIN, Opening
from oobconsole.session.arrival import Arrivals
from oobconsole.session.breaks import Break
from oobconsole.session.request import AtOnce, ExitStatus
from oobconsole.session.signals import SIGNALS, has_breaks, key_of
from oobconsole.supervise import Tasks
from oobconsole.words import harmless

#: How large a terminal may be. No real terminal is larger, and a larger one would cost memory and time, because the
#: menu draws all of it.
_ROWS_MAX: Final = 200
_COLUMNS_MAX: Final = 500
#: How many breaks may wait to be sent.
BREAKS_MAX: Final = 16
#: How often a changed size is drawn, in seconds. Somebody who drags a window's edge changes it a hundred times a
#: second.
_RESIZE_SECONDS: Final = 0.05
_DISMISS_SECONDS: Final = 1.0  # how long a client may take to read the reason of its dismissal


class Visitor:
    """The user of a session. The session reads and writes here, and the client's end calls the methods of
    `SessionEnd`.

    Args:
        wanted: what the client asks for.
        client: where output goes.
        closed: called once, when the client has closed the session.
        window: how many bytes of input may wait to be read.

    Attributes:
        why_gone: why the client is gone, if it did not leave by itself.
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
        self._at_once: AtOnce | None = None  # takes input while the session waits in `read`
        self._unsent: deque[tuple[bytes, bool]] = deque()
        self._credit = OUTPUT_WINDOW
        self._room = True
        self._flushed = asyncio.Event()
        self._flushed.set()
        self._gone = asyncio.Event()
        self._read = 0  # how many bytes of input the session has read
        self._breaks: deque[Break] = deque()
        self._breaks_refused = 0
        self._break_due = asyncio.Event()
        self._signal_keys: set[bytes] = set()  # keys that signals have typed, and that the session has not read
        self._status: int | None = None  # the exit status with which the session has ended
        self._has_finished = False  # the client's end has been told the status
        self._resize_timer: asyncio.TimerHandle | None = None
        self._dismissal = Tasks()
        self._resized: Callable[[], object] | None = None
        self._restored: Callable[[], bytes] | None = None
        self._give_credit()

    # -- what the client's end calls ----------------------------------------------------------------

    def typed(self, data: bytes, at: float) -> None:
        """Bytes have come. Raises `FrontError` if they are more than there was credit for."""
        self._may_come -= len(data)
        if self._may_come < 0:
            raise FrontError("INPUT is more input than there was credit for")
        self._take(data, at)

    def _take(self, data: bytes, at: float) -> None:
        is_first = not self._input
        self._arrivals.came(min(at, time.monotonic()), first=is_first, full=self._may_come == 0)
        if is_first and self._is_taken_at_once(data):
            self._was_read(len(data))
        else:
            self._input += data
            self._readable.set()

    def _is_taken_at_once(self, data: bytes) -> bool:
        """Return whether the session, which waits in `read`, has taken this input. Input behind a break that is not
        sent yet is not taken, so that it does not overtake the break."""
        if self._at_once is None or self._input_ended or self._breaks:
            return False
        try:
            return self._at_once(data, self._arrivals.next_pause)
        except Exception as error:  # a bug in one session must not end the front, which all sessions share
            supervise.tell("input of a session", error)
            return True

    def input_ended(self) -> None:
        """The client will type no more. Output goes on."""
        self._input_ended = True
        self._readable.set()

    def resized(self, rows: int, columns: int) -> None:
        """The client's terminal has another size. The session draws it a moment later, once for all changes until
        then.
        """
        self._size = rows, columns
        if self._resize_timer is None and not self._gone.is_set():
            self._resize_timer = asyncio.get_running_loop().call_later(_RESIZE_SECONDS, self._draw_resized)

    def _draw_resized(self) -> None:
        self._resize_timer = None
        if self._resized is not None:
            self._resized()

    def break_asked(self, *, answer: bool) -> None:
        """The client asks for a break. It will be sent after the input that came before it."""
        if len(self._breaks) >= BREAKS_MAX or not has_breaks(self.command):
            self._breaks_refused += 1
            if answer:
                self._client.break_answered(False)
            return
        answered = self._client.break_answered if answer else None
        self._breaks.append(Break(self._read + len(self._input), answered))
        self._break_due.set()

    def signalled(self, signal: str) -> None:
        """The client has sent a signal. It does nothing to a session that is over. Raises `FrontError` if the signal
        means nothing here.

        A key that a signal stands for needs no credit. So it is typed only once until the session has read it, as a
        process has one pending signal of each kind (signal(7)).
        """
        if signal not in SIGNALS:
            raise FrontError(f"SIGNAL is {signal[:8]!r}, which no front passes on")
        if self._is_over:
            return
        key = key_of(signal, self.command, terminal=self.has_terminal)
        if not key:
            self.dismissed(f"ended by signal {signal}")
        elif key not in self._signal_keys and not self._input_ended:
            self._signal_keys.add(key)
            self._take(key, time.monotonic())

    def credit(self, count: int) -> None:
        """The client's end can take `count` more bytes of output. Raises `FrontError` if that is more than were
        sent."""
        self._credit += count
        if self._credit > OUTPUT_WINDOW:
            raise FrontError("CREDIT is more credit than there was output")
        self._pump()

    def reads_no_more(self) -> None:
        """The session ends as if the client had hung up, but the client's end is still told the exit status."""
        self._unsent.clear()
        self._gone.set()
        self._flushed.set()
        self._finish()

    def dismissed(self, reason: str) -> None:
        """The user has lost the right to be here. The user is told why, and the session ends."""
        if not len(self._dismissal):
            self._dismissal.start(self._dismiss(reason), "dismissal of a session")

    def lost(self) -> None:
        """The client has closed the session."""
        if self._resize_timer is not None:
            self._resize_timer.cancel()
        self._input_ended = self._has_finished = True
        for wanted in self._breaks:
            wanted.forget()
        self._readable.set()
        self.reads_no_more()
        self._closed(self)

    def set_room(self, room: bool) -> None:
        """Say whether the connection to the front takes more output now. It is shared by all sessions, while credit
        counts what this session may send."""
        self._room = room
        self._pump()

    # -- Peer ---------------------------------------------------------------------------------------

    @property
    def pause(self) -> float:
        """The pause before the last input, as `Peer.pause` defines it."""
        return self._arrivals.pause

    async def read(self, at_once: AtOnce | None = None) -> bytes:
        """Wait for input, and return it. Empty: the client will type no more.

        Args:
            at_once: while this waits, input is taken by this function, as long as it can. No task is woken then,
                which is a third of what a key costs.
        """
        self._at_once = at_once
        try:
            while not self._input and not self._input_ended:
                self._readable.clear()
                await self._readable.wait()
        finally:
            self._at_once = None
        data = bytes(self._input)
        self._input.clear()
        self._was_read(len(data))
        return data

    def _was_read(self, size: int) -> None:
        """The session has read all input that there was, which is `size` bytes."""
        self._signal_keys.clear()
        self._arrivals.was_read()
        self._read += size
        if self._breaks:
            self._break_due.set()
        self._give_credit()

    def _give_credit(self) -> None:
        """Give the client credit for input that was read. Small amounts wait, because the client can use the rest of
        its window meanwhile."""
        more = self._window - self._may_come - len(self._input)
        if more >= self._window // PORTION and not self._gone.is_set():
            self._may_come += more
            self._client.taken(more)

    def put_back(self, data: bytes) -> None:
        """Put input back, so that the next `read` returns it first."""
        self._input[:0] = data
        self._arrivals.was_put_back()
        self._read -= len(data)
        self._readable.set()

    async def write(self, data: bytes) -> None:
        """Send output, and wait while the client is slow. Raises `HungUp` when the client is gone."""
        if self._may_send_at_once(len(data)):
            self._credit -= len(data)
            self._client.send(data, error=False)
        else:
            self._send(data)
            await self.drain()

    def takes(self, size: int) -> bool:
        """Return whether so many bytes of output can be sent now, without waiting."""
        return size <= self._credit and self._room and not self._unsent and not self._is_over

    def put(self, data: bytes) -> None:
        """Send output without waiting, right after `takes` has allowed it."""
        self._put(data)

    async def tell(self, text: str) -> None:
        """Say something that does not come from the guest: on standard error, or with a mark on a terminal."""
        lines = [harmless(line) for line in text.split("\n")]  # the text may quote other users and guests
        if self.has_terminal:
            self._send(("\r\n" + "".join(f"[oobconsole: {line}]\r\n" for line in lines)).encode())
        else:
            self._send("".join(f"oobconsole: {line}\n" for line in lines).encode(), error=True)
        await self.drain()

    async def error(self, data: bytes) -> None:
        """Send bytes to standard error as they are. A terminal has only one output, so they go there."""
        self._send(data, error=not self.has_terminal)
        await self.drain()

    async def gone(self) -> None:
        """Wait until the client has hung up."""
        await self._gone.wait()

    async def drain(self) -> None:
        """Wait until all output is sent. Raises `HungUp` when the client is gone."""
        await self._flushed.wait()
        if self._gone.is_set():
            raise HungUp("the client hung up")

    def exit(self, status: int) -> None:
        """Give the terminal back, and end the session with that status once all output is sent. If this is called
        again, the first status counts."""
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

    def _may_send_at_once(self, count: int) -> bool:
        """Whether so many bytes can be handed over now, and nothing waits before them. Nearly all output can."""
        return (
            0 < count <= self._credit
            and count <= DATA_MAX
            and self._room
            and self._status is None
            and not self._unsent
            and not self._gone.is_set()
        )

    def _send(self, data: bytes, *, error: bool = False) -> None:
        if self._is_over:
            raise HungUp("the client hung up")
        self._put(data, error=error)

    def _put(self, data: bytes, *, error: bool = False) -> None:
        """Send all of `data`, now or when there is credit. No other output comes in between."""
        if data:
            self._unsent.append((data, error))
            self._pump()

    def _pump(self) -> None:
        while self._unsent and self._credit and self._room:
            data, error = self._unsent.popleft()
            most = min(self._credit, DATA_MAX)
            if most < len(data) <= DATA_MAX and len(data) > KEPT_MIN:
                # What others get, too, is sent whole, so that it can be sent to all of them at once. There will be
                # credit for it: a client keeps back less than a fourth of the window, which is twice as large.
                self._unsent.appendleft((data, error))
                break
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
        """Return the present number of rows and of columns; 0: unknown."""
        rows, columns = self._size
        return min(rows, _ROWS_MAX), min(columns, _COLUMNS_MAX)

    def draw(self, text: str) -> None:
        """Send text without waiting. For a client that is gone this does nothing."""
        if not self._is_over:
            self._put(text.encode("utf-8", "replace"))

    def lend(self, restored: Callable[[], bytes] | None) -> None:
        """A guest's output, or a menu, is drawn on the terminal from now on. `restored` returns the bytes that give
        the terminal back as it was. None: the terminal is as it was."""
        self._restored = restored

    def give_back(self) -> None:
        """Give the terminal back, because what follows is not a guest's output. This never waits, and a second call
        does nothing."""
        restored, self._restored = self._restored, None
        if restored is not None and not self._is_over:
            self._put(restored())

    async def break_wanted(self) -> Break:
        """Wait until the client asks for a break, and the input before it was read. (RFC 4335; in OpenSSH's client it
        is `~B` after Enter.)"""
        while not self._breaks or self._breaks[0].after > self._read:
            self._break_due.clear()
            await self._break_due.wait()
        wanted = self._breaks.popleft()
        wanted.refused, self._breaks_refused = self._breaks_refused, 0
        return wanted

    def forget_breaks(self) -> int:
        """Give up the breaks that wait. Returns how many, with those that were refused."""
        forgotten = len(self._breaks) + self._breaks_refused
        for wanted in self._breaks:
            wanted.answer(False)
        self._breaks.clear()
        self._breaks_refused = 0
        return forgotten

    def on_resize(self, call: Callable[[], object] | None) -> None:
        """Say which function is called when the terminal's size has changed; None: none."""
        self._resized = call
