"""What a console's screen looks like now: pyte's terminal, fed from the kept output when somebody wants to see it.

pyte takes about a second for a megabyte, so nothing is fed for nobody, and never much at a time.
"""

from __future__ import annotations

import asyncio
import codecs
import re
import time
import unicodedata
from collections.abc import Callable
from typing import Any, Final

import pyte
import structlog
from pyte import charsets, modes
from wcwidth import wcwidth

from oobconsole.console.console import Console

log = structlog.get_logger(__name__)

#: Fed between two looks at the clock, in bytes; and between two turns of the event loop, in seconds.
SLICE: Final = 64
TURN_SECONDS: Final = 0.003
#: A few bytes can change every cell. A redraw that has taken so much processor time, in seconds, skips to the last
#: so many bytes.
PATIENCE_SECONDS: Final = 1.0
LATEST: Final = 2048
#: Fed at most for one redraw, in bytes. What came before has most probably left the screen.
BACKLOG_MAX: Final = 65536
#: A line's end is looked for in so many bytes.
_LINE: Final = 512
#: Private modes that a terminal must have as the guest has set them: DECCKM, DECAWM, bracketed paste.
_KEPT_MODES: Final = (1, 7, 2004)
_ALTERNATE: Final = (47, 1047, 1049)
_SGR: Final = (
    ("bold", 1),
    ("italics", 3),
    ("underscore", 4),
    ("blink", 5),
    ("reverse", 7),
    ("strikethrough", 9),
)
_COLOURS: Final = ("black", "red", "green", "brown", "blue", "magenta", "cyan", "white")
#: Marks that one character carries at most; Unicode's Stream-Safe Text Format allows 30, writing needs three.
_MARKS_MAX: Final = 4
_CSI: Final = re.compile(r"\x1b\[([<=>?]?)([\d:;]*)([ -/]*)([@-~])", re.ASCII)
#: So many parameters have these; others have one.
_PARAMETERS_MAX: Final = {"m": 32, "h": 32, "l": 32, "H": 2, "f": 2, "r": 2}
_CONTROLS: Final = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)))


class _Terminal(pyte.Screen):
    """pyte's screen, with the alternate one that pyte lacks, and with modes that only the user's terminal needs."""

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self.kept_modes: set[int] = set()
        self._main: tuple[Any, Any] | None = None

    @property
    def alternate(self) -> bool:
        """Is the alternate screen shown?"""
        return self._main is not None

    def set_mode(self, *mode: int, **kwargs: Any) -> None:
        """As pyte; and ours."""
        if kwargs.get("private"):
            self.kept_modes.update(m for m in mode if m in _KEPT_MODES)
            if self._main is None and any(m in _ALTERNATE for m in mode):
                self._main = ({y: dict(line) for y, line in self.buffer.items()}, self.cursor)
                self.save_cursor()
                self.erase_in_display(2)
            mode = tuple(m for m in mode if m not in _ALTERNATE and m != 3)  # DECCOLM would change our size
        super().set_mode(*mode, **kwargs)

    def reset_mode(self, *mode: int, **kwargs: Any) -> None:
        """As pyte; and ours."""
        if kwargs.get("private"):
            self.kept_modes.difference_update(mode)
            if self._main is not None and any(m in _ALTERNATE for m in mode):
                lines, _ = self._main
                self._main = None
                self.buffer.clear()
                for y, line in lines.items():
                    self.buffer[y].update(line)
                self.restore_cursor()
            mode = tuple(m for m in mode if m not in _ALTERNATE and m != 3)
        super().reset_mode(*mode, **kwargs)

    def report_device_status(self, mode: int, **kwargs: Any) -> None:
        """Nobody is asked."""

    def report_device_attributes(self, mode: int = 0, **kwargs: Any) -> None:
        """Nobody is asked."""

    def save_cursor(self, *_: int) -> None:
        """As a terminal: there is one place to save it, not a stack."""
        self.savepoints.clear()
        super().save_cursor()

    def restore_cursor(self, *_: int) -> None:
        """As a terminal: it stays saved."""
        super().restore_cursor()
        self.save_cursor()

    def scroll_up(self, count: int = 1) -> None:
        """SU: the lines of the scrolling region move up."""
        self._at_top(self.delete_lines, count)

    def scroll_down(self, count: int = 1) -> None:
        """SD: the lines of the scrolling region move down."""
        self._at_top(self.insert_lines, count)

    def repeat(self, count: int = 1) -> None:
        """REP: the character to the left of the cursor again; ncurses uses it for lines."""
        if self.cursor.x:
            last = self.buffer[self.cursor.y][self.cursor.x - 1].data
            super().draw(last * min(count or 1, self.columns))

    def draw(self, data: str) -> None:
        """As pyte, which leaves out all that follows a control, and lets one cell grow for ever."""
        data = data.translate(_CONTROLS)
        super().draw(data if data.isascii() else self._with_few_marks(data))

    def _with_few_marks(self, data: str) -> str:
        kept = []
        marks = len(self.buffer[self.cursor.y][self.cursor.x - 1].data) - 1 if self.cursor.x else _MARKS_MAX
        for character in data:
            marks = marks + 1 if unicodedata.combining(character) else 0
            if marks <= _MARKS_MAX and wcwidth(character) >= bool(not marks):
                kept.append(character)
        return "".join(kept)

    def _at_top(self, move: Callable[[int], None], count: int) -> None:
        x, y = self.cursor.x, self.cursor.y
        self.cursor.y = self.margins.top if self.margins else 0
        move(count)
        self.cursor.x, self.cursor.y = x, y


class _Stream(pyte.Stream):
    """pyte's parser, with the sequences that ncurses uses and pyte lacks."""

    def __init__(self, terminal: _Terminal) -> None:
        more = {"S": "scroll_up", "T": "scroll_down", "b": "repeat", "s": "save_cursor", "u": "restore_cursor"}
        self.csi = {**pyte.Stream.csi, **more}
        super().__init__(terminal)
        self.use_utf8 = False  # we decode; so it obeys the sequences that choose line drawing


class Screen:
    """The screen of one console.

    Args:
        console: whose output; its settings say how large its guest believes its terminal to be.
        clean: makes what takes out of output the strings and half sequences that are nothing on a screen.

    Attributes:
        failures: how often the emulator gave up, and the screen was begun anew.
    """

    def __init__(self, console: Console, clean: Callable[[], Callable[[bytes], bytes]]) -> None:
        self._console = console
        self._make_clean = clean
        self.failures = 0
        self._turn = asyncio.Lock()
        self._forget()

    def _forget(self, backlog: int = BACKLOG_MAX) -> None:
        settings = self._console.settings
        self._terminal = _Terminal(settings.columns, settings.rows)
        self._stream = _Stream(self._terminal)
        self._clean = self._make_clean()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._position = max(self._console.start, self._console.end - backlog)
        if self._position:  # most probably in the middle of a line
            self._position += self._console.read_from(self._position, _LINE).data.find(b"\n") + 1

    async def redraw(self, rows: int = 0, columns: int = 0) -> tuple[int, bytes]:
        """Bring the screen up to date; returns the offset up to which it is true, and what draws it.

        Args:
            rows, columns: of the terminal to draw on; 0: as the guest's. On a smaller one, what is around the
                cursor is drawn.
        """
        async with self._turn:
            settings, target = self._console.settings, self._console.end
            is_size = (settings.rows, settings.columns) == (self._terminal.lines, self._terminal.columns)
            if self._position < target - BACKLOG_MAX or not is_size:
                self._forget()
            turn, spent = time.monotonic(), 0.0
            while self._position < target:
                if spent > PATIENCE_SECONDS and target - self._position > LATEST:
                    self._forget(self._console.end - target + LATEST)
                chunk = self._console.read_from(self._position, min(SLICE, target - self._position))
                self._position = chunk.offset + len(chunk.data)
                began = time.thread_time()
                self._feed(chunk.data)
                spent += time.thread_time() - began
                if time.monotonic() - turn > TURN_SECONDS:
                    await asyncio.sleep(0)
                    turn = time.monotonic()
            return self._position, _drawing(self._terminal, rows or settings.rows, columns or settings.columns)

    def _feed(self, data: bytes) -> None:
        try:
            self._stream.feed(_CSI.sub(_understood, self._decoder.decode(self._clean(data))))
        except Exception as error:  # pyte's own, at output that no terminal was made for
            self.failures += 1
            log.debug("a screen is begun anew", console=self._console.name, reason=repr(error))
            self._terminal.reset()


def _understood(found: re.Match[str]) -> str:
    """The sequence as pyte understands it; nothing, when it would take it for another."""
    prefix, parameters, intermediates, final = found.groups()
    if intermediates or (prefix and (prefix != "?" or final not in "hlJK")):
        return ""
    values = [value.lstrip("0") for value in parameters.replace(":", ";").split(";")]
    values = values[: _PARAMETERS_MAX.get(final, 1)]
    if final in "hl":
        values = [value for value in values if value and (len(value) <= 2 or prefix) and len(value) <= 4]
        values = [
            value for value in values if prefix or int(value) < 32
        ]  # pyte's numbers for private ones begin there
        if not values:
            return ""
    return f"\x1b[{prefix}{';'.join(value if len(value) <= 4 else '9999' for value in values)}{final}"


def _drawing(terminal: _Terminal, rows: int, columns: int) -> bytes:
    """What makes another terminal look the same."""
    cursor = terminal.cursor
    out = ["\x1b[?1049h" if terminal.alternate else "", "\x1b[0m\x0f\x1b(B\x1b[?6l\x1b[4l\x1b[r\x1b[H\x1b[2J"]
    last = max((y for y in range(terminal.lines) if _is_used(terminal, y)), default=-1)
    top = max(0, cursor.y - rows + 1)
    last = min(last, top + rows - 1)
    for y in range(top, last + 1):
        out += [_line(terminal, y, columns), "\x1b[0m", "\r\n" if y < last else ""]
    out += _modes(terminal, rows)
    out.append(f"\x1b[{cursor.y - top + 1};{min(cursor.x, terminal.columns - 1, columns - 1) + 1}H")
    out.append(f"\x1b[?25{'l' if cursor.hidden else 'h'}")
    out.append(_attributes(cursor.attrs))
    return "".join(out).encode("utf-8", "replace")


def _modes(terminal: _Terminal, rows: int) -> list[str]:
    """What the guest has set that a screen does not show, but what comes next depends on."""
    out = []
    margins = terminal.margins
    if margins is not None and margins.bottom < rows:
        out.append(f"\x1b[{margins.top + 1};{margins.bottom + 1}r")
    for mode in _KEPT_MODES:
        on = mode in terminal.kept_modes or (mode == 7 and modes.DECAWM in terminal.mode)
        out.append(f"\x1b[?{mode}{'h' if on else 'l'}")
    if terminal.g0_charset == charsets.VT100_MAP:
        out.append("\x1b(0")
    if terminal.charset:
        out.append("\x1b)0\x0e" if terminal.g1_charset == charsets.VT100_MAP else "\x0e")
    return out


def _is_used(terminal: _Terminal, y: int) -> bool:
    return y <= terminal.cursor.y or any(c.data.strip() or c.bg != "default" for c in terminal.buffer[y].values())


def _line(terminal: _Terminal, y: int, columns: int) -> str:
    line = terminal.buffer[y]
    last = max((x for x, c in line.items() if c.data != " " or c.bg != "default" or c.reverse), default=-1)
    out: list[str] = []
    attributes = ""
    for x in range(min(last + 1, terminal.columns, columns)):
        cell = line[x]
        wanted = _attributes(cell)
        if wanted != attributes:
            out.append(wanted)
            attributes = wanted
        out.append("".join(c for c in cell.data if c.isprintable()))
    return "".join(out)


def _attributes(cell: Any) -> str:
    codes = ["0", *(str(code) for name, code in _SGR if getattr(cell, name))]
    return f"\x1b[{';'.join(codes + _colour(cell.fg, 30) + _colour(cell.bg, 40))}m"


def _colour(colour: str, base: int) -> list[str]:
    if colour == "default":
        return []
    name = colour.removeprefix("bright")
    if name in _COLOURS:
        return [str(base + _COLOURS.index(name) + (60 if name != colour else 0))]
    if not re.fullmatch(r"[0-9a-f]{6}", colour):
        return []
    red, green, blue = (int(colour[i : i + 2], 16) for i in (0, 2, 4))
    return [f"{base + 8};2;{red};{green};{blue}"]
