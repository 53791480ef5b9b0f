"""Our own lines over a guest's screen. When they go, the screen is as it was."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Callable, Sequence
from typing import Final

from oobconsole.session.board import Board
from oobconsole.session.mirror import Mirror
from oobconsole.session.notices import PART, WHOLE_SECONDS, LineNotices, Notices
from oobconsole.session.once import FilteredOnce
from oobconsole.session.overlay import place, put_back, put_over
from oobconsole.session.request import ExitStatus, Peer
from oobconsole.session.tui.terminal import Terminal

#: How many rows and columns a terminal needs at least. In a smaller one nothing of ours could be read.
ROWS_MIN, COLUMNS_MIN = 2, 20
#: While the guest prints, our lines stay away from the screen for this many times as long as it took to find out what
#: they would cover. Behind no more output than `_LITTLE` bytes they come back at once.
_PAUSE: Final = 20
_LITTLE: Final = 1024
#: How much time is between two drawings of our lines while the guest prints, in seconds. A guest prints in pieces of
#: a few bytes, and each drawing costs hundreds.
REPAINT_SECONDS: Final = 0.05
#: For how many seconds our lines wait at most until the guest brings its cursor to a place about which all terminals
#: agree.
SURE_SECONDS: Final = 3.0
#: Output that stays in the row of the cursor, if there is room in that row, and that takes no more columns than it
#: has bytes.
_IN_ROW: Final = re.compile(rb"(?:[ -~\r]|[\xc2-\xf4][\x80-\xbf]+|\x1b\[[\d;:]*m)*")
#: The control sequence REP, which repeats the character before it.
_REPEAT: Final = re.compile(rb"\x1b\[(\d{0,3})b")
#: The values of TERM that mean that a terminal knows no control sequences.
_DUMB: Final = frozenset({"", "dumb", "unknown", "network"})


def notices_for(
    peer: Peer,
    terminal: Terminal | None,
    want_redraw: Callable[[], object],
    once: FilteredOnce,
    *,
    filtered: bool,
    raw: bool,
) -> Notices:
    """Return the kind of notices that fits a terminal.

    Most terminals get our lines over the guest's screen. Our lines stand between the guest's lines if the terminal
    knows no control sequences, if its size is unknown or too small, or if the user wants nothing but the guest's
    bytes.

    Args:
        peer: the person.
        terminal: the person's terminal; None: there is none.
        want_redraw: makes somebody call `begin` with a drawing of the guest's screen, soon.
        once: filters what the console prints, for all of its terminals.
        filtered: whether everything is kept from the terminal that would make it answer or act.
        raw: whether the user wants the guest's bytes as they are.
    """
    rows, columns = terminal.size() if terminal else (0, 0)
    if terminal is None or raw or terminal.term in _DUMB or rows < ROWS_MIN or columns < COLUMNS_MIN:
        return LineNotices(peer, once, filtered=filtered)
    return ScreenNotices(peer, terminal, want_redraw, once, filtered=filtered)


class ScreenNotices(Notices):
    """Our lines over the guest's, in the last rows of the terminal, or in the first rows if the cursor is at the
    bottom.

    What if the guest prints? Before output is sent that may touch or move our lines, they are taken away. Behind the
    output they are put over the guest's screen again; while the guest prints on and on, they come back only now and
    then. A line goes for good when a key is typed, or after it has been seen for some seconds.
    """

    covers = True

    def __init__(
        self,
        peer: Peer,
        terminal: Terminal,
        want_redraw: Callable[[], object],
        once: FilteredOnce,
        *,
        filtered: bool,
    ) -> None:
        super().__init__(peer, once, filtered=filtered)
        self._terminal = terminal
        self._want_redraw = want_redraw
        self._size = terminal.size()
        self._mirror = Mirror(*self._size)
        self._board = Board()
        self._over = range(0)  # the rows that our lines cover; while they do, the mirror has caught up
        self._wrote = False  # the terminal has written something of ours since it last wrote something of the guest's
        self._blinks = False  # our lines are away for a moment, because the guest prints
        self._unsent = b""  # the bytes that take our lines away, and that are about to be sent
        self._since = 0.0  # until when the entries' ages have been counted, by `time.monotonic`
        self._not_before = 0.0  # when our lines may come back at the earliest, because each time costs so much
        self._repaint_at = 0.0  # the same, between two pieces of the guest's output
        self._unsure_since: float | None = None  # since when it is not known what all terminals show
        self._printed_at = 0.0  # when the guest has printed last
        self._changed = False  # the entries are others than the lines that are on the screen
        self._redrawing = False  # a redraw was asked for, and has not come
        self._ended = False
        self._wake = asyncio.Event()

    # -- the guest's --------------------------------------------------------------------------------

    async def begin(self, drawing: bytes, before: bytes) -> None:
        async with self._lock:
            size = self._terminal.size()
            self._size = size if min(size) else self._size
            self._mirror = Mirror(*self._size)
            self._resume(before)
            self._age()
            self._over = range(0)
            self._redrawing = False
            self.lent.feed(drawing)
            self._mirror.sent(drawing)
            await self._peer.write(drawing)
        self._wake.set()

    async def output(self, data: bytes) -> None:
        for at in range(0, len(data), PART):
            if at:
                await asyncio.sleep(0)
            async with self._lock:
                if not self._ended:
                    await self._output(data[at : at + PART])

    async def _output(self, data: bytes) -> None:
        self._printed_at = time.monotonic()
        shown, were_over = await self._shown(data), bool(self._over)
        if self._leaves_ours(shown):
            self._wrote = self._wrote and not shown
            self._mirror.sent(shown)
            await self._mirror.catch_up()
            await self._write(shown)
            return
        self._blinks = len(shown) <= _LITTLE and (bool(self._over) or self._blinks)
        await self._send(shown, over=len(shown) <= _LITTLE and time.monotonic() >= self._repaint_at)
        await self._mirror.keep_up()
        if were_over and not self._over:
            self._wake.set()  # the time at which something is to be done has changed

    def output_at_once(self, data: bytes) -> bool:
        """Nothing of ours is there or waits, as mostly, so that nothing is to be taken away or put back."""
        if self._ended or self._over or self._blinks or self._board or self._mirror.is_due:
            return False
        shown = self._shown_at_once(data)
        if shown is None:
            return False
        self._printed_at = time.monotonic()
        shown = self._repeated(shown)
        self._mirror.sent(shown)
        self._peer.put(shown)
        return True

    def _repeated(self, shown: bytes) -> bytes:
        """Return the guest's output, with REP at its beginning replaced by the characters that it means. REP repeats
        the character before it, and on the terminal that would be a character of ours."""
        again = _REPEAT.match(shown) if self._wrote else None
        self._wrote = self._wrote and not shown
        if again is None:
            return shown
        count = min(max(1, int(again[1] or 1)), self._mirror.model.columns)
        return self._mirror.model.last.encode() * count + shown[again.end() :]

    def _leaves_ours(self, shown: bytes) -> bool:
        """Return whether the output changes nothing but the row of the cursor, and that row has nothing of ours."""
        cursor, columns = self._mirror.model.cursor, self._mirror.model.columns
        return (
            bool(self._over)
            and cursor.y not in self._over
            and cursor.x + len(shown) < columns
            and _IN_ROW.fullmatch(shown) is not None
            and self._mirror.is_sure(self._over)
        )

    # -- ours ---------------------------------------------------------------------------------------

    async def say(self, text: str, *, asked: bool = False) -> None:
        self._aged().say(text, asked=asked)
        await self._show_now()

    async def welcome(self, text: str) -> None:
        self._aged().welcome(text)
        await self._show_now()

    async def welcome_again(self, text: str) -> None:
        if self._board.welcome_again(text):
            await self._show_now()

    async def show(self, title: str, lines: Sequence[str]) -> None:
        self._aged().show(title, lines)
        await self._show_now()

    async def ask(self, question: str) -> None:
        self._aged().ask(question)
        await self._show_now()

    async def echo(self, keys: bytes) -> None:
        self._board.echo(keys)
        await self._show_now()

    async def erase(self, text: str) -> None:
        self._board.erase(text)
        await self._show_now()

    async def answered(self) -> None:
        self._board.answered()
        await self._show_now()

    def key(self) -> None:
        if not self._board:
            return
        self._age()
        if self._board.key():
            self._changed = True
            self._wake.set()

    def resized(self) -> None:
        if self._board:
            self._wake.set()

    def end(self) -> bytes:
        self._ended = True
        return self._unsent + self._take_away() + self._below() + self.lent.restored()

    def _below(self) -> bytes:
        """Return the bytes that lead behind the last row that shows anything, so that what follows is written
        there."""
        model = self._mirror.model
        last = max((y for y, text in enumerate(model.text) if text), default=0)
        return b"" if model.is_alternate or last <= model.cursor.y else b"\x1b[?6l\x1b[r\x1b[%d;1H" % (last + 1)

    async def _show_now(self) -> None:
        await self._show()
        self._wake.set()  # it is known now when the lines go, or when they can be shown

    async def _show(self) -> None:
        """Draw the lines that should be seen now."""
        async with self._lock:
            if not self._ended:
                self._changed = False
                await self._send(b"", over=True)

    async def _send(self, shown: bytes, *, over: bool) -> None:
        """Take our lines away, send output of the guest's, and put our lines over it again. All of this is one
        write."""
        self._age()
        self._unsent = before = self._take_away()
        shown = self._repeated(shown)
        self._mirror.sent(shown)
        put = await self._put_over() if over else b""
        self._since = time.monotonic()
        if not self._ended:
            self._unsent = b""
            await self._write(before + shown + put)

    async def _write(self, data: bytes) -> None:
        if data and not self._ended:
            await self._peer.write(data)

    def _take_away(self) -> bytes:
        """Return the bytes that show the guest's rows again where our lines are."""
        rows, self._over = self._over, range(0)
        if not rows:
            return b""
        self._wrote = True
        return put_back(self._mirror.model, rows.start, len(rows), exact=self._mirror.is_sure(rows))

    async def _put_over(self) -> bytes:
        """Return the bytes that put our lines over the guest's screen; empty if it is not time to do that."""
        now = time.monotonic()
        if not self._board:
            self._blinks, self._unsure_since = False, None
        if not self._board or now < self._not_before:
            return b""
        if not (self._at_rest or now > self._printed_at + WHOLE_SECONDS):
            return b""
        if self._is_stale():
            return b""
        if now < self._printed_at + WHOLE_SECONDS and not self._board.is_asked:
            self._not_before = self._mirror.next_turn
            if now < self._not_before:
                return b""
        self._not_before = now + _PAUSE * await self._mirror.catch_up()
        model = self._mirror.model
        lines = self._board.rows(model.columns, max(1, model.rows - 1))
        top = place(model, len(lines))
        rows = range(top, min(top + len(lines), model.rows))
        sure = self._mirror.is_sure(rows)
        if self._waits(sure, now):
            self._blinks = False  # our lines are away for longer than a moment, and nobody sees them meanwhile
            return b""
        self._wrote = True
        self._over, self._blinks, self._repaint_at = rows, False, now + REPAINT_SECONDS
        return put_over(model, lines, top, exact=sure)

    def _waits(self, sure: bool, now: float) -> bool:
        """Return whether our lines wait until the guest does something that makes its screen known, as most output
        soon does. `sure` says that the screen is known. Nobody waits who has asked for what we say. Nobody waits for
        a mirror that has left something out, either, because it will never be sure.

        A moment in which the screen was known does not begin the wait anew. Otherwise a program that draws its screen
        every three seconds would keep our lines away for ever.
        """
        if sure:
            return False
        if self._unsure_since is None:
            self._unsure_since = now
        return self._mirror.exact and not self._board.is_asked and now < self._unsure_since + SURE_SECONDS

    def _is_stale(self) -> bool:
        """Return whether the terminal's size has changed, so that nobody knows what the terminal shows. Then a redraw
        is asked for, and our lines wait for it."""
        stale = self._terminal.size() != self._size and min(self._terminal.size()) > 0
        if stale and not self._redrawing:
            self._redrawing = True
            self._want_redraw()
        return stale

    # -- time ---------------------------------------------------------------------------------------

    async def run(self) -> ExitStatus:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._next_look()):
                    await self._wake.wait()
            self._wake.clear()
            await self._look()

    async def _look(self) -> None:
        """Draw our lines if they have changed, or if it is time to show or remove some."""
        self._age()
        is_due = bool(self._board) and not self._over and time.monotonic() >= self._due_at
        if self._changed or is_due or (self._board and self._is_stale()):
            await self._show()

    def _next_look(self) -> float | None:
        """Return in how many seconds `_look` is due; None: only when something happens."""
        if not self._board:
            return None
        if self._over:
            return self._board.next_goes_in
        return max(WHOLE_SECONDS / 4, self._due_at - time.monotonic())

    @property
    def _due_at(self) -> float:
        """When our lines may be put over again at the earliest, by `time.monotonic`."""
        return max(self._not_before, self._repaint_at)

    def _aged(self) -> Board:
        """Return the board, on which the time until now is counted: for a new entry, the time begins now."""
        self._age()
        return self._board

    def _age(self) -> None:
        """Count the time until now for all lines that can be seen. A line that is away for a moment is counted as
        seen."""
        now = time.monotonic()
        if self._over or self._blinks:
            self._changed |= self._board.age(now - self._since)
        self._since = now
