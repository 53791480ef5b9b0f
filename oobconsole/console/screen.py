"""What a console's screen looks like now: pyte's terminal, fed from the kept output when somebody wants to see it.

pyte takes about a second for a megabyte, so nothing is fed for nobody, and never much at a time.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, Final

import pyte
import structlog
from pyte import modes

from oobconsole.console.console import Console

log = structlog.get_logger(__name__)

#: Fed between two turns of the event loop, in bytes: a few milliseconds.
SLICE: Final = 4096
#: Fed at most for one redraw, in bytes. What came before has most probably left the screen.
BACKLOG_MAX: Final = 65536
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
_PARAMETER_MAX: Final = 9999
_PARAMETERS: Final = re.compile(rb"\x1b\[[0-9;]{0,256}")


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

    def draw(self, data: str) -> None:
        """As pyte, without characters that combine without end: one cell must not grow for ever."""
        super().draw(_COMBINING_FLOOD.sub(r"\1", data))


_COMBINING_FLOOD: Final = re.compile(
    "([\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]{4})[\u0300-\u036f\u1ab0-\u1aff\u20d0-\u20ff]+"
)


class Screen:
    """The screen of one console.

    Args:
        console: whose output; its settings say how large its guest believes its terminal to be.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._turn = asyncio.Lock()
        self._forget()

    def _forget(self) -> None:
        settings = self._console.settings
        self._terminal = _Terminal(settings.columns, settings.rows)
        self._stream = pyte.ByteStream(self._terminal)
        self._position = max(self._console.start, self._console.end - BACKLOG_MAX)

    async def redraw(self) -> tuple[int, bytes]:
        """Bring the screen up to date; returns the offset up to which it is true, and what draws it on a terminal."""
        async with self._turn:
            settings, target = self._console.settings, self._console.end
            is_size = (settings.rows, settings.columns) == (self._terminal.lines, self._terminal.columns)
            if self._position < target - BACKLOG_MAX or not is_size:
                self._forget()
            while self._position < target:
                chunk = self._console.read_from(self._position, SLICE)
                self._position = chunk.offset + len(chunk.data)
                self._feed(chunk.data)
                await asyncio.sleep(0)
            return self._position, _drawing(self._terminal)

    def _feed(self, data: bytes) -> None:
        try:
            self._stream.feed(_PARAMETERS.sub(_bounded, data))
        except Exception as error:  # pyte's own, at output that no terminal was made for
            log.debug("a screen is begun anew", console=self._console.name, reason=repr(error))
            self._terminal.reset()
            self._stream = pyte.ByteStream(self._terminal)


def _bounded(found: re.Match[bytes]) -> bytes:
    """pyte does as often as it is told: no screen has ten thousand lines to insert."""
    parts = found[0][2:].split(b";")
    return b"\x1b[" + b";".join(part if len(part) <= 4 else b"%d" % _PARAMETER_MAX for part in parts)


def _drawing(terminal: _Terminal) -> bytes:
    """What makes another terminal look the same."""
    out = ["\x1b[?1049h" if terminal.alternate else "", "\x1b[0m\x1b[r\x1b[H\x1b[2J"]
    last = max((y for y in range(terminal.lines) if _is_used(terminal, y)), default=-1)
    for y in range(last + 1):
        out += [_line(terminal, y), "\x1b[0m", "\r\n" if y < last else ""]
    margins = terminal.margins
    if margins is not None:
        out.append(f"\x1b[{margins.top + 1};{margins.bottom + 1}r")
    for mode in _KEPT_MODES:
        on = mode in terminal.kept_modes or (mode == 7 and modes.DECAWM in terminal.mode)
        out.append(f"\x1b[?{mode}{'h' if on else 'l'}")
    cursor = terminal.cursor
    out.append(f"\x1b[{cursor.y + 1};{min(cursor.x, terminal.columns - 1) + 1}H")
    out.append(f"\x1b[?25{'l' if cursor.hidden else 'h'}")
    out.append(_attributes(cursor.attrs))
    return "".join(out).encode("utf-8", "replace")


def _is_used(terminal: _Terminal, y: int) -> bool:
    return y <= terminal.cursor.y or any(c.data.strip() or c.bg != "default" for c in terminal.buffer[y].values())


def _line(terminal: _Terminal, y: int) -> str:
    line = terminal.buffer[y]
    last = max((x for x, c in line.items() if c.data != " " or c.bg != "default" or c.reverse), default=-1)
    out: list[str] = []
    attributes = ""
    for x in range(min(last + 1, terminal.columns)):
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
