"""Every script's text is the same on a terminal that is drawn anew; a real terminal (tmux) says so."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from tests.support.terminals import drawn, on_tmux, printed, state_of

#: Texts in twelve scripts, one a line: combining vowels, wide characters, joined emoji, right to left.
TEXTS = Path(__file__).with_name("scripts.txt").read_text().splitlines()
DOCUMENT = "\r\n".join(TEXTS).encode()
WIDTHS = (20, 21, 37, 40, 41, 60, 61, 79, 80, 81, 100, 131, 132)


@pytest.mark.parametrize("text", TEXTS, ids=[text.split()[0] for text in TEXTS])
def test_the_text_is_the_text(text: str) -> None:
    """faults.md 12: up to normalization; also when it comes byte by byte."""
    for pieces in ([text.encode()], [bytes((byte,)) for byte in text.encode()]):
        terminal = printed(b"", 3, 132)
        for piece in pieces:
            terminal.feed(piece)
        again = printed(drawn(terminal), 3, 132)
        assert unicodedata.normalize("NFC", again.text[0]) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text", ["क्\u200da", "क्\u200d b", "\u0647\u200d 1447", "क्\u200dष", "👩\u200d🚀", "👩\u200dok"]
)
@pytest.mark.parametrize("columns", [2, 3, 20])
def test_where_a_text_is_cut_makes_no_difference(text: str, columns: int) -> None:
    """faults.md 12, a variation: an ASCII character behind a joiner took no column if both came in one piece."""
    whole, pieces = printed(text.encode(), 3, columns), printed(b"", 3, columns)
    for byte in text.encode():
        pieces.feed(bytes((byte,)))
    assert state_of(whole) == state_of(pieces)


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("columns", WIDTHS)
def test_a_real_terminal_shows_the_same_at_every_width(columns: int) -> None:
    """faults.md 12, 13: what tmux makes of the output, what it makes of the redraw, and what we take it for."""
    model = printed(DOCUMENT, 50, columns)
    straight = on_tmux(DOCUMENT, 50, columns)
    assert [row.rstrip() for row in model.text] == straight.lines
    again = on_tmux(drawn(model), 50, columns)
    assert again.lines == straight.lines
    assert again.cells == straight.cells
    assert again.modes == straight.modes


@pytest.mark.parametrize("columns", range(20, 81))
def test_no_row_moves_on_a_narrower_terminal(columns: int) -> None:
    """faults.md 13: rows of wide characters stay where they are; half a one is left out."""
    rows = [f"{y}{'漢' * 39}{'x' * (y % 2)}" for y in range(7)]
    narrow = printed(drawn(printed("\r\n".join(rows).encode()), 24, columns), 24, columns)
    for y, row in enumerate(rows):
        assert narrow.text[y] == row[: 1 + (columns - 1) // 2 + (columns == 80 and y % 2)]
    assert narrow.text[7:] == [""] * 17


@pytest.mark.needs("tmux")
@pytest.mark.parametrize("columns", [40, 60, 61])
def test_a_real_narrower_terminal(columns: int) -> None:
    """faults.md 13, with tmux; also a character that has no room in the guest's own last column."""
    data = ("x" * 79 + "漢\r\n" + "\r\n".join(f"{y}{'漢' * 39}" for y in range(7))).encode()
    lines = on_tmux(drawn(printed(data), 24, columns), 24, columns).lines
    assert lines[:2] == ["x" * columns, "漢"]
    assert [line[0] for line in lines[2:9]] == list("0123456")
    assert printed(data).text == on_tmux(data).lines


def test_marks_on_one_character_are_bounded() -> None:
    terminal = printed("a\u0300\x1b[m".encode() + "\u0301\x1b[m".encode() * 10000)
    assert len(drawn(terminal)) < 300
    assert len(terminal.text[0]) == 16


def test_a_wide_character_that_is_written_upon_is_gone_whole() -> None:
    assert printed("漢字\x1b[2Gx".encode()).text[0] == " x字"
    assert printed("漢字\x1b[3Gx".encode()).text[0] == "漢x"
    assert printed("漢字\x1b[2G\x1b[P".encode()).text[0] == " 字"
    assert printed("漢字\x1b[2G\x1b[K".encode()).text[0] == ""
    assert state_of(printed("漢".encode() * 40 + b"\x1b[1G\x1b[@", 2)) is not None
