"""prompt_toolkit on a user's terminal that is at the other end of a network connection."""

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

#: Input without a key in it, in bytes, that is no person's: an escape sequence without an end.
_NO_KEY_MAX: Final = 4096
#: A marked paste that is longer, in bytes, is no name that somebody looks for.
PASTE_MAX: Final = 4096
_DEFAULT_SIZE: Final = (24, 80)
#: The menu is drawn in the upper left part of a terminal that has more rows or columns: prompt_toolkit needs more
#: than a microsecond for each cell, at once, and nobody else's echo comes meanwhile.
_ROWS_MAX: Final = 64
_COLUMNS_MAX: Final = 200


class Terminal(Protocol):
    """The user's terminal."""

    @property
    def term(self) -> str:
        """What the client said of its kind of terminal (the variable TERM)."""

    @property
    def client(self) -> str:
        """The program at the other end, as its SSH version says (`OpenSSH_9.2p1`); empty for unknown."""

    def size(self) -> tuple[int, int]:
        """Return the present number of rows and of columns; 0: unknown."""

    async def read(self) -> bytes:
        """Wait for keys, and return them. Empty: the user will type no more."""

    def draw(self, text: str) -> None:
        """Send without waiting. Raises `HungUp` when the other end is gone."""

    async def drain(self) -> None:
        """Wait while the other end is slow. Raises `HungUp` when it is gone."""

    def lend(self, restored: Callable[[], bytes] | None) -> None:
        """From now on a guest's output, or a menu, is drawn here; `restored` says what gives the terminal back. None:
        it is as it was."""

    def give_back(self) -> None:
        """Give the terminal back; what comes next is no guest's. Idempotent, and never waits."""

    async def break_wanted(self) -> Break:
        """Wait until the client asks for a break. Whoever gets the break answers it (`Break.answer`)."""

    def forget_breaks(self) -> int:
        """Give up those that wait; returns how many."""

    def on_resize(self, call: Callable[[], object] | None) -> None:
        """Say whom to call when the size changes."""


class Keys(Input):
    """Keys from bytes, without a file descriptor.

    A marked paste is one key, `BracketedPaste`, with its text; one that is too long is none. It is taken apart here
    and not by prompt_toolkit, which keeps all of it, however long it is.
    """

    def __init__(self) -> None:
        self._pressed: list[KeyPress] = []
        self._parser = Vt100Parser(self._pressed.append)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._since_key = 0
        self._before = b""  # what may be the beginning of a mark
        self._paste: bytearray | None = None  # one has begun; this is what of it is kept
        self._pasted = 0  # bytes of it
        self._dropped = 0
        self._ready: Callable[[], None] = self._nobody
        self._closed = False
        self._may_wait = False

    def feed(self, data: bytes) -> None:
        """Take what the user typed; nothing ends the input."""
        self._closed = self._closed or not data
        self._may_wait = bool(data)
        while data:
            data = self._feed_typed(data) if self._paste is None else self._feed_pasted(self._paste, data)
        self._ready()

    def _feed_typed(self, data: bytes) -> bytes:
        """Keys, up to the mark with which a paste begins; returns what is behind that."""
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
            self._parser.reset()  # the beginning of the mark waits in it
        else:
            self._parser.flush()  # what it waits with is Escape
        self._before, self._paste, self._pasted = b"", bytearray(), 0
        return whole[at + len(PASTE) :]

    def _feed_pasted(self, paste: bytearray, data: bytes) -> bytes:
        """A paste, up to its end; returns what is behind that."""
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
        """How many bytes of what comes next belong to the paste that has begun."""
        if self._paste is None:
            return 0
        end = (self._before + data).find(PASTE_END)
        return len(data) if end < 0 else end + len(PASTE_END) - len(self._before)

    def end_paste(self) -> None:
        """It is over, though its end was not marked."""
        self._dropped = self._pasted + len(self._before)
        self._before, self._paste = b"", None

    def dropped(self) -> int:
        """Bytes of the last paste, if that was dropped, and nobody has asked since; otherwise 0."""
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
        """May what came last be the beginning of a sequence? Then `flush` when nothing follows."""
        return self._may_wait

    def flush(self) -> None:
        """Nothing follows: what looked like the beginning of a sequence was the Escape key."""
        self._may_wait = False
        self._parser.flush()
        if self._pressed:
            self._ready()

    def flush_keys(self) -> list[KeyPress]:
        """prompt_toolkit asks for this by a clock that does not know whether anybody has looked for the rest: who
        reads the terminal calls `flush`."""
        return []

    def take(self) -> bytes:
        """What nobody has looked at.

        prompt_toolkit keeps that for whichever input has the same hash next, and that may be another user's.
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
