"""What a user types in the menu: keys, or a paste. A paste is text to search for, and chooses nothing.

prompt_toolkit knows the marks of a bracketed paste. If a terminal sends no marks, what came at once counts as a
paste, as at a console (`session/escape.py`). The part of it that stands before its first line end is searched for.
"""

from __future__ import annotations

import asyncio
import re
import time
from typing import Any, Final, Protocol

from oobconsole.session.keyboard import KEY_MAX, QUIET_SECONDS, SWALLOW_SECONDS
from oobconsole.session.tui.pace import PacedApplication, pace
from oobconsole.session.tui.terminal import Keys, Terminal
from oobconsole.session.typed import LOST_END_SECONDS, PASTE, PASTE_END, SEQUENCE, SevenBit, came_at_once
from oobconsole.session.within import within

#: How many bytes of keys are looked at before others have their turn. Each byte costs up to a millisecond.
_KEYS_AT_ONCE: Final = 16
#: Within how many seconds more comes behind a line end if the network has cut a paste there.
_MORE_SECONDS: Final = 0.05
#: After how many seconds an Escape without anything behind it is the Escape key.
_ESCAPE_SECONDS: Final = 0.5
#: The keys that choose (Enter, Ctrl-W, Ctrl-R, Ctrl-P, Ctrl-T), that mark (Tab, Ctrl-A), and that leave (Ctrl-C,
#: Ctrl-D).
_CHOOSES: Final = re.compile(rb"[\r\x17\x12\x10\x14\t\x01\x03\x04]")
_MARKED: Final = re.compile(re.escape(PASTE) + rb".*?(?:" + re.escape(PASTE_END) + rb"|\Z)", re.DOTALL)
_NO_TEXT: Final = bytes(range(0x20)) + b"\x7f"


class Screen(Protocol):
    """A menu, or something else that is shown. `app.run_async` returns its result."""

    @property
    def app(self) -> PacedApplication[Any]:
        """The application of prompt_toolkit that draws the screen."""

    def say(self, note: str) -> None:
        """Show `note` until the next key."""

    def quit(self) -> None:
        """Leave the screen without a result. A second call does nothing."""


class Typist:
    """Gives a screen what the user types. What is typed after the end of the screen is kept for what comes next.

    Args:
        terminal: the user's terminal.
        keys: the keys that the screen reads.
        screen: the screen.
    """

    def __init__(self, terminal: Terminal, keys: Keys, screen: Screen) -> None:
        self._terminal = terminal
        self._keys = keys
        self._screen = screen
        self._seven_bit = SevenBit()  # prompt_toolkit knows no keys that begin with C1 controls
        self._waiting = b""
        self._company = False  # text is a part of what is coming at once
        self._before = b""  # the bytes that may be the beginning of a mark, or a mark whose paste goes on
        self._ended = False

    async def run(self) -> None:
        """Give the screen what is typed, until the screen or the input ends."""
        try:
            while not self._screen.app.is_done and not self._ended:
                await self._terminal.drain()  # a client that does not read what is drawn cannot ask for more
                await self._next()
            if self._ended:
                await pace().turn()
                self._keys.feed(b"")
        finally:
            self._screen.quit()  # the client may have gone while `drain` waited for it

    async def _next(self) -> None:
        """Take what is typed next; or note that what has begun has no end, because nothing comes for a while."""
        began = time.monotonic()  # what came while others had their turn is read without a wait
        data = await within(self._patience, self._read)
        if data is None:
            self._nothing_follows()
        elif data:
            await self._packet(data, time.monotonic() - began)
        else:
            self._ended = True

    async def _read(self) -> bytes:
        """Wait for what is typed, and return it. Empty: the user will type no more."""
        began = time.monotonic()
        while data := await self._terminal.read():
            if time.monotonic() - began >= LOST_END_SECONDS:
                data = self._seven_bit.end_paste() + data
            if typed := self._seven_bit.translate(data):
                return typed
        return b""

    @property
    def _patience(self) -> float | None:
        """How many seconds the end of what has begun is waited for; None: nothing has begun."""
        if self._keys.is_pasting:
            return LOST_END_SECONDS
        return _ESCAPE_SECONDS if self._keys.may_wait else None

    def _nothing_follows(self) -> None:
        if self._keys.is_pasting:
            self._before = b""
            if held := self._seven_bit.end_paste():
                self._keys.feed(held)
            self._keys.end_paste()
            self._say_dropped()
        else:
            self._keys.flush()

    def _say_dropped(self) -> None:
        if pasted := self._keys.dropped():
            self._screen.say(f"a paste of {pasted} bytes was dropped: it is no name to look for, and chooses nothing")

    def rest(self) -> bytes:
        """Return what was typed after the screen had ended."""
        return self._keys.take() + self._waiting + self._seven_bit.held

    async def _packet(self, data: bytes, pause: float) -> None:
        self._company = self._company and came_at_once(pause)
        unmarked = self._unmarked(data)
        chooses = _CHOOSES.search(unmarked)
        if chooses is None:
            self._company = self._company or _is_text(unmarked)
            await self._feed(data)
            return
        at = chooses.start()
        company = self._company or _is_text(unmarked[:at])
        behind = unmarked[chooses.end() :]
        if _is_text(behind) or (company and (behind or await self._soon(_MORE_SECONDS))):
            await self._feed(data[:at])
            await self._drop(len(data) - at)
            return
        await self._feed(data[: at + 1])
        self._waiting = data[at + 1 :] + self._waiting
        if not self._screen.app.is_done and self._waiting:
            await self._feed_waiting()

    async def _feed_waiting(self) -> None:
        """Take what came behind a key that has chosen nothing: it is keys, too."""
        data, self._waiting = self._waiting, b""
        await self._feed(data)

    def _unmarked(self, data: bytes) -> bytes:
        """Return the same bytes, with every byte of marked pastes replaced by NUL."""
        whole = self._before + data
        begun = whole.rfind(PASTE)  # the last mark that has come as a whole
        is_within = begun >= 0 and PASTE_END not in whole[begun:]
        self._before = (PASTE if is_within else b"") + whole[begun + len(PASTE) if begun >= 0 else 0 :][
            1 - len(PASTE) :
        ]
        return _MARKED.sub(lambda found: bytes(len(found[0])), whole)[len(whole) - len(data) :]

    async def _feed(self, data: bytes) -> None:
        while data and not self._screen.app.is_done:
            await pace().turn()
            at = self._keys.pasted(data) or _at_once(data)
            with pace().spending():
                self._keys.feed(data[:at])
            self._say_dropped()
            data = data[at:]
        self._waiting = data + self._waiting

    async def _soon(self, seconds: float) -> bool:
        """Return whether more comes within so many seconds. What comes waits to be read."""
        data = await within(seconds, self._read)
        if data is None:
            return False
        self._waiting += data
        self._ended = not data
        return bool(data)

    async def _drop(self, count: int) -> None:
        """Drop the rest of a paste, which is no text to search for, and say so. `count` bytes of it have come."""
        count, self._waiting = count + len(self._waiting), b""
        try:
            async with asyncio.timeout(SWALLOW_SECONDS) as limit:
                while not self._screen.app.is_done and await self._soon(QUIET_SECONDS):
                    if len(self._waiting) > KEY_MAX:
                        limit.reschedule(asyncio.get_running_loop().time() + SWALLOW_SECONDS)
                    count, self._waiting = count + len(self._waiting), b""
        except TimeoutError:
            pass  # keys that never stop: what comes from now on counts
        self._waiting = b""
        self._screen.say(f"nothing is chosen by what comes at once; {count} bytes of it were dropped")


def _at_once(data: bytes) -> int:
    """Return how many bytes are looked at next. None of them begins a control sequence whose end would only come in
    the next part."""
    if len(data) <= _KEYS_AT_ONCE:
        return len(data)
    last = data.rfind(b"\x1b", 1, _KEYS_AT_ONCE)
    return last if last > 0 else _KEYS_AT_ONCE


def _is_text(data: bytes) -> bool:
    return bool(SEQUENCE.sub(b"", data).strip(_NO_TEXT))
