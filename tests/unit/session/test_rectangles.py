"""What only some terminals know leaves the screen as it was when our lines come and go."""

from __future__ import annotations

import pytest

from oobconsole.terminal.model import Terminal
from oobconsole.terminal.safe import SafeFilter
from tests.unit.session.notices import COLUMNS, RESET, ROWS, Case, sent

#: Fills the left of all rows with A (DECFRA); moves all columns to the right (SR); goes back before the first column,
#: which moves all columns to the right, too (DECBI).
UNKNOWN = [b"\x1b[65;1;1;24;20$x", b"\x1b[3 A", b"\x1b[H\x1b6"]


class _Everything(SafeFilter):
    """A filter that drops nothing."""

    def feed(self, data: bytes, now: float = 0.0) -> bytes:
        return data


class Xterm(Terminal):
    """A terminal that filters nothing, and that fills rectangles and moves columns as xterm does."""

    def __init__(self) -> None:
        super().__init__(ROWS, COLUMNS)
        self._filter = _Everything()

    def feed(self, data: bytes, now: float = 0.0) -> None:
        before, *parts = data.split(b"\x1b6")
        super().feed(before, now)
        for part in parts:
            self._right(1)
            super().feed(part, now)

    def _control_sequence(self, prefix: str, parameters: str, intermediate: str, final: str) -> None:
        if prefix + intermediate + final == "$x":
            code, top, left, bottom, right = map(int, parameters.split(";"))
            for y in range(top - 1, bottom):
                self.grid.put(y, left - 1, [(chr(code), self.cursor.pen)] * (right - left + 1))
        elif prefix + intermediate + final == " A":
            self._right(int(parameters))
        else:
            super()._control_sequence(prefix, parameters, intermediate, final)

    def _right(self, columns: int) -> None:
        for y in range(self.rows):
            self.grid.insert(y, 0, columns, self.cursor.pen)


@pytest.mark.parametrize("unknown", UNKNOWN)
async def test_a_notice_leaves_what_was_drawn_by_such_a_sequence(
    monkeypatch: pytest.MonkeyPatch, unknown: bytes
) -> None:
    """real-guests.md F2, a variation: both models know nothing of a rectangle, so both agreed, and rows without it
    were put back."""
    case = Case([RESET, b"\r\n".join(b"line %d" % y for y in range(ROWS)), unknown, b"\x1b[1;1H", 1, 100.0])
    noticed, plain = Xterm(), Xterm()
    noticed.feed(await sent(case, monkeypatch))
    plain.feed(SafeFilter().feed(case.output))
    assert noticed.text == plain.text
    assert "notice" not in "".join(plain.text)
