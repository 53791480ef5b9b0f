"""How a cell looks. SGR sequences are read and written without loss.

Sources: ECMA-48, 8.3.117, and the additions of xterm and kitty.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

#: The SGR numbers of styles. A style's bit in `Pen.styles` is 1 shifted by its number.
_STYLES: Final = (1, 2, 3, 5, 7, 8, 9, 53)
#: By SGR number: the styles that the number takes away.
_WITHOUT: Final = {22: (1, 2), 23: (3,), 25: (5,), 27: (7,), 28: (8,), 29: (9,), 55: (53,)}
_REVERSE: Final = 1 << 7
_COLOURS: Final = (38, 48, 58)


class Pen(NamedTuple):
    """What characters are written with.

    Attributes:
        styles: a bit for each of bold, faint, italic, blink, reverse, hidden, struck and overlined.
        line: the underline as a parameter of SGR, such as "4", "21" or "4:3"; "": there is none.
        fg, bg, line_colour: colours as parameters of SGR, such as "31", "38;5;196" or "48;2;1;2;3"; "": the
            terminal's own colour.
    """

    styles: int = 0
    line: str = ""
    fg: str = ""
    bg: str = ""
    line_colour: str = ""

    @property
    def sgr(self) -> str:
        """The control sequence that chooses this pen, whatever was chosen before."""
        styles = [str(number) for number in _STYLES if self.styles >> number & 1]
        return f"\x1b[{';'.join(['0', *styles, *filter(None, self[1:])])}m"

    @property
    def blank(self) -> Pen:
        """The pen of cells that are erased with this one: only its background is kept (xterm's "bce")."""
        return Pen(bg=self.bg) if self != PLAIN else self

    @property
    def is_seen_on_blanks(self) -> bool:
        """Whether a space that is written with this pen can be seen."""
        return bool(self.bg or self.line or self.styles & (_REVERSE | 1 << 9 | 1 << 53))

    @lru_cache(maxsize=1024)  # noqa: B019 (pens are values, and programs use few)
    def changed(self, parameters: str) -> Pen:
        """The pen behind an SGR control sequence with these parameters."""
        pen = self
        items = parameters.split(";")
        at = 0
        while at < len(items):
            code, _, rest = items[at].partition(":")
            number = _number(code)
            if number in _COLOURS and not rest:
                text, at = _colour(items, at)
                pen = pen._coloured(number, text)
            elif number in _COLOURS:
                pen = pen._coloured(number, _colour_with_colons(number, rest))
            else:
                pen = pen._simply_changed(number, rest)
            at += 1
        return pen

    def _coloured(self, number: int, text: str) -> Pen:
        """The pen with that colour; the same pen when the sequence named no colour."""
        if not text:
            return self
        if number == 38:
            return self._replace(fg=text)
        return self._replace(bg=text) if number == 48 else self._replace(line_colour=text)

    def _simply_changed(self, number: int, rest: str) -> Pen:
        if number == 0:
            return PLAIN
        if number in _STYLES:
            return self._replace(styles=self.styles | 1 << number)
        if number in _WITHOUT:
            return self._replace(styles=self.styles & ~sum(1 << style for style in _WITHOUT[number]))
        if number in (4, 21):
            kind = _number(rest.partition(":")[0]) if rest else 1
            line = "21" if number == 21 else "" if kind == 0 or kind > 5 else "4" if kind == 1 else f"4:{kind}"
            return self._replace(line=line)
        if number in (24, 59):
            return self._replace(line="") if number == 24 else self._replace(line_colour="")
        if 30 <= number <= 37 or 90 <= number <= 97:
            return self._replace(fg=str(number))
        if 40 <= number <= 47 or 100 <= number <= 107:
            return self._replace(bg=str(number))
        if number in (39, 49):
            return self._replace(fg="") if number == 39 else self._replace(bg="")
        return self


def _number(text: str) -> int:
    """Return the number that a parameter says. A missing parameter counts as 0. One that is no number, or has more
    than four digits and not only zeros, counts as 9999, which no attribute and no colour has."""
    if not text.strip("0"):
        return 0
    return int(text) if text.isdecimal() and len(text) <= 4 else 9999


def _colour(items: list[str], at: int) -> tuple[str, int]:
    """An indexed or a true colour in parameters of their own; returns it and where its last parameter is."""
    kind = items[at + 1] if at + 1 < len(items) else ""
    count = {"5": 1, "2": 3}.get(kind.lstrip("0"), 0)
    values = [_number(item.partition(":")[0]) for item in items[at + 2 : at + 2 + count]]
    if not count or len(values) < count or any(value > 255 for value in values):
        return "", at + 1 + count
    return ";".join([items[at].lstrip("0"), kind.lstrip("0"), *map(str, values)]), at + 1 + count


def _colour_with_colons(number: int, rest: str) -> str:
    """Return the parameters for a colour that is given in one parameter (ITU-T T.416): `38:5:N`, `38:2::R:G:B`, and
    `38:2:R:G:B`, as most programs write it."""
    kind, *values = rest.split(":")
    numbers = [_number(value) for value in values]
    if kind == "5" and numbers and numbers[0] <= 255:
        return f"{number};5;{numbers[0]}"
    numbers = numbers[1:4] if len(numbers) > 3 else numbers
    if kind == "2" and len(numbers) == 3 and max(numbers) <= 255:
        return f"{number};2;{';'.join(map(str, numbers))}"
    return ""


PLAIN: Final = Pen()
