"""Connects prompt_toolkit to a user's terminal that is at the other end of a network connection."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final, Protocol, TextIO, cast

from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import get_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys as Key
from prompt_toolkit.output import Output
from prompt_toolkit.output.vt100 import Vt100_Output

from oobconsole.session.breaks import Break
from oobconsole.session.typed import PASTE, PASTE_END

#: How many bytes may come without a key in them. More of them are an escape sequence without an end, which no person
#: types.
_NO_KEY_MAX: Final = 4096
#: How long a marked paste may be, in bytes. A longer one is no name that somebody looks for.
PASTE_MAX: Final = 4096
_DEFAULT_SIZE: Final = (24, 80)
#: How large the menu is drawn at most, in the upper left part of the terminal. prompt_toolkit needs more than a
#: microsecond for each cell, all at once, and nobody else's echo comes meanwhile.
_ROWS_MAX: Final = 64
_COLUMNS_MAX: Final = 200


class Terminal(Protocol):
    """The user's terminal."""

    @property
    def term(self) -> str:
        """Which kind of terminal the client has named (the variable TERM)."""

    @property
    def client(self) -> str:
        """Which program is at the other end, as its SSH version says (`OpenSSH_9.2p1`); empty: unknown."""

    def size(self) -> tuple[int, int]:
        """Return the present numbers of rows and of columns; 0: unknown."""

    async def read(self) -> bytes:
        """Wait for keys, and return them. Empty: the user will type no more."""

    def draw(self, text: str) -> None:
        """Send text without waiting. Raises `HungUp` if the other end is gone."""

    async def drain(self) -> None:
        """Wait while the other end is slow. Raises `HungUp` if it is gone."""

    def lend(self, restored: Callable[[], bytes] | None) -> None:
        """Note that from now on a guest's output or a menu is drawn on the terminal.

        Args:
            restored: returns the bytes that give the terminal back; None: the terminal is as it was.
        """

    def give_back(self) -> None:
        """Give the terminal back, because nothing of a guest's comes next. It never waits, and may be called
        again."""

    async def break_wanted(self) -> Break:
        """Wait until the client asks for a break, and return it. Whoever gets the break answers it
        (`Break.answer`)."""

    def forget_breaks(self) -> int:
        """Drop the breaks that wait to be sent. Returns how many there were."""

    def on_resize(self, call: Callable[[], object] | None) -> None:
        """Have `call` called when the size changes. None: nobody is called any more."""


class Keys(Input):
    """Makes keys of bytes, without a file descriptor.

    What becomes of a paste? A marked paste is one key, `BracketedPaste`, with its text; a paste that is too long is
    no key at all. Pastes are taken apart here and not by prompt_toolkit, because prompt_toolkit keeps all of a paste,
    however long it is.
    """

    def __init__(self) -> None:
        self._pressed: list[KeyPress] = []
        self._parser = Vt100Parser(self._pressed.append)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._since_key = 0  # how many bytes have come since the last key
        self._before = b""  # bytes that may be the beginning of a paste's mark
        self._paste: bytearray | None = None  # the kept part of the paste that is coming; None: no paste is coming
        self._pasted = 0  # how many bytes of that paste have come
        self._dropped = 0  # how many bytes the last paste had, if it was dropped
        self._ready: Callable[[], None] = self._nobody
        self._closed = False
        self._may_wait = False

    def feed(self, data: bytes) -> None:
        """Take what the user has typed. No bytes at all end the input."""
        self._closed = self._closed or not data
        self._may_wait = bool(data)
        while data:
            data = self._feed_typed(data) if self._paste is None else self._feed_pasted(self._paste, data)
        self._ready()

    def _feed_typed(self, data: bytes) -> bytes:
        """Take keys up to the mark with which a paste begins. Returns what stands behind the mark."""
        whole = self._before + data
        at = whole.find(PASTE)
        own = data if at < 0 else data[: max(0, at - len(self._before))]
        self._parser.feed(self._decoder.decode(own))
        self._since_key = 0 if self._pressed else self._since_key + len(own)
        self._closed = self._closed or self._since_key > _NO_KEY_MAX
        if at < 0:
            self._before = whole[1 - len(PASTE) :]
            return b""
        if at < len(self._before):
            self._parser.reset()  # the parser holds the beginning of the mark
        else:
            self._parser.flush()  # what the parser holds is the key Escape
        self._before, self._paste, self._pasted = b"", bytearray(), 0
        return whole[at + len(PASTE) :]

    def _feed_pasted(self, paste: bytearray, data: bytes) -> bytes:
        """Take a paste up to its end. Returns what stands behind the end."""
        whole = self._before + data
        end = whole.find(PASTE_END)
        own = whole[:end] if end >= 0 else whole[: 1 - len(PASTE_END)]
        self._pasted += len(own)
        paste += own[: PASTE_MAX - len(paste)]
        self._before = whole[len(own) :]
        if end < 0:
            return b""
        if self._pasted > PASTE_MAX:
            self._dropped = self._pasted
        else:
            self._pressed.append(KeyPress(Key.BracketedPaste, paste.decode(errors="replace")))
        self._before, self._paste = b"", None
        return whole[end + len(PASTE_END) :]

    @property
    def is_pasting(self) -> bool:
        """Whether a paste has begun and not ended."""
        return self._paste is not None

    def pasted(self, data: bytes) -> int:
        """Return how many bytes of `data`, which comes next, belong to the paste that has begun."""
        if self._paste is None:
            return 0
        end = (self._before + data).find(PASTE_END)
        return len(data) if end < 0 else end + len(PASTE_END) - len(self._before)

    def end_paste(self) -> None:
        """End the paste that has begun, although its end was not marked. It is dropped."""
        self._dropped = self._pasted + len(self._before)
        self._before, self._paste = b"", None

    def dropped(self) -> int:
        """Return how many bytes the last paste had, if it was dropped and nobody has asked since; otherwise 0."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    @property
    def closed(self) -> bool:
        return self._closed

    def read_keys(self) -> list[KeyPress]:
        pressed = self._pressed[:]
        self._pressed.clear()
        return pressed

    @property
    def may_wait(self) -> bool:
        """Whether what came last may be the beginning of a control sequence. Then `flush` is to be called if nothing
        follows."""
        return self._may_wait

    def flush(self) -> None:
        """Note that nothing follows: what looked like the beginning of a control sequence was the Escape key."""
        self._may_wait = False
        self._parser.flush()
        if self._pressed:
            self._ready()

    def flush_keys(self) -> list[KeyPress]:
        """Return nothing. prompt_toolkit asks for this by a clock of its own, which does not know whether anybody has
        looked for the rest of a sequence. Whoever reads the terminal calls `flush` instead."""
        return []

    def take(self) -> bytes:
        """Return the input that nobody has looked at.

        Why is it taken out? prompt_toolkit keeps such input for whichever input has the same hash next, and that may
        be another user's.
        """
        self._parser.flush()
        left = [*get_typeahead(self), *self.read_keys()]
        return "".join(press.data for press in left).encode() + self._decoder.getstate()[0]

    @contextmanager
    def attach(self, input_ready_callback: Callable[[], None]) -> Iterator[None]:
        self._ready, before = input_ready_callback, self._ready
        try:
            yield
        finally:
            self._ready = before

    def detach(self) -> AbstractContextManager[None]:
        return self.attach(self._nobody)

    def raw_mode(self) -> AbstractContextManager[None]:
        return nullcontext()  # the user's own ssh client has done that

    def cooked_mode(self) -> AbstractContextManager[None]:
        return nullcontext()

    def fileno(self) -> int:
        raise NotImplementedError

    def typeahead_hash(self) -> str:
        return f"terminal-{id(self)}"

    def _nobody(self) -> None:
        """Do nothing: keys wait until prompt_toolkit attaches a handler."""


class _Screen:
    """The file to which prompt_toolkit writes what it draws."""

    encoding = "utf-8"

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.draw(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: `write` has sent everything already."""

    def isatty(self) -> bool:
        return True


def output(terminal: Terminal) -> Output:
    """Return prompt_toolkit's output for a terminal."""

    def size() -> Size:
        rows, columns = terminal.size()
        return Size(
            rows=min(rows or _DEFAULT_SIZE[0], _ROWS_MAX), columns=min(columns or _DEFAULT_SIZE[1], _COLUMNS_MAX)
        )

    return Vt100_Output(cast(TextIO, _Screen(terminal)), size, term=terminal.term, enable_cpr=False)
