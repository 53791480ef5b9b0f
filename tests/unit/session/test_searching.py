"""What is searched of a recording: characters, in every line, however long it is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.patterns import TooSlow, compile_pattern
from oobconsole.recording.frames import Frame, Part
from oobconsole.session.searching import OVERLAP, PIECE, SHOWN_MAX, Line, Lines, Search


def frames(*parts: tuple[float, int, bytes]) -> Iterator[Frame]:
    return (Frame(at, Part(offset, data)) for at, offset, data in parts)


def lines(*parts: tuple[float, int, bytes]) -> list[tuple[float, int, str]]:
    return [line[:3] for line in Lines().of(frames(*parts))]


def found(pattern: str, *output: bytes) -> tuple[list[str], list[str]]:
    """What is shown behind time and offset, and what is said to have been left out."""
    parts, offset = [], 0
    for data in output:
        parts.append((0.0, offset, data))
        offset += len(data)
    search = Search(compile_pattern(pattern))
    shown = [line for turn in search.turns(frames(*parts)) for line in turn]
    return [line.split("  ", 2)[2] for line in shown], search.left_out()


def test_a_line_may_come_in_pieces() -> None:
    assert lines((1, 0, b"on"), (2, 2, b"e\ntw"), (3, 6, b"o")) == [(1, 0, "one"), (2, 4, "two")]


def test_a_hole_ends_a_line_and_is_said() -> None:
    """faults.md 8: what was not searched is not called absent."""
    assert lines((1, 0, b"on"), (2, 9, b"e\n")) == [(1, 0, "on"), (2, 9, "e")]
    search = Search(compile_pattern("x"))
    assert list(search.turns(frames((1, 0, b"on"), (2, 9, b"e\n")))) == [[]]
    assert search.left_out() == ["7 bytes are missing in the recording, and were not searched"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"a\r\nb\n\r\nc", ["a", "b", "", "c"]),
        (b"a\r\r\nb", ["a", "b"]),
        (b"1%\r2%\rERROR-A\r\nx", ["1%", "2%", "ERROR-A", "x"]),
        (b"\r\x1b[K$ ls\r", ["$ ls"]),
        (b"\n\n", ["", ""]),
        (b"Gr\xc3\xb6\nGr\xc3\n\xb6", ["Gr\u00f6", "Gr\ufffd", "\ufffd"]),
        (b"a\x1b]0;title\nb", ["a", "b"]),
    ],
)
def test_what_a_line_is(output: bytes, expected: list[str]) -> None:
    """faults.md 8: each piece that a progress bar draws is a line."""
    assert [text for _, _, text in lines((0, 0, output))] == expected
    cut = [(0.0, at, output[at : at + 1]) for at in range(len(output))]
    assert [text for _, _, text in lines(*cut)] == expected


@given(pieces=st.lists(st.lists(st.sampled_from([b"a", b"\r", b"\n", b"\xc3", b"\xb6", b"\x1b[1m"])).map(b"".join)))
def test_any_frames_are_the_same(pieces: list[bytes]) -> None:
    parts, offset = [], 0
    for piece in pieces:
        parts.append((0.0, offset, piece))
        offset += len(piece)
    cut, whole = lines(*parts), lines((0.0, 0, b"".join(pieces)))
    assert [text for _, _, text in cut] == [text for _, _, text in whole]
    assert [at for _, at, text in cut if text] == [at for _, at, text in whole if text]


@pytest.mark.parametrize(
    "pattern", ["Gr..e", "Gr\\w+:", "^Gr[\u00f6]\u00df", "[\u00f6x]", "(?i)gr\u00d6\u00dfe", "^Gr.{2}e: 5$"]
)
def test_a_pattern_is_of_characters(pattern: str) -> None:
    """faults.md 7: a dot, a class, \\w and (?i) are about characters, not bytes."""
    assert found(pattern, "Gr\u00f6\u00dfe: 5\r\n".encode()) == (["Gr\u00f6\u00dfe: 5"], [])


def test_what_is_no_utf8_is_a_character() -> None:
    """faults.md 7."""
    assert found("^Gr..e$", b"Gr\xf6\xdfe\r\n") == (["Gr\ufffd\ufffde"], [])


@pytest.mark.parametrize(
    ("pattern", "output"),
    [
        ("^ERROR-A$", b"".join(b"\r%d%%" % n for n in range(101)) + b"\rERROR-A\r\n"),
        ("ERROR-B", b'{"x": "' + b"x" * 5000 + b'ERROR-B"}\r\n'),
        ("ERROR-D", b"\x1b[31m\x1b[0m" * 450 + b"ERROR-D\r\n"),
        ("first.*last", b"first" + b"x" * 60_000 + b"last\r\n"),
        ("ERROR-E", b"x" * (PIECE - 3) + b"ERROR-E" + b"x" * 10_000),
        ("ERROR-F$", b"x" * 300_000 + b"ERROR-F\r\n"),
    ],
)
def test_a_long_line_is_searched_to_its_end(pattern: str, output: bytes) -> None:
    """faults.md 8: a progress bar, a JSON line, colours."""
    (shown,), left_out = found(pattern, output)
    assert "ERROR-" in shown or "first" in shown
    assert len(shown) <= SHOWN_MAX + 2
    assert not left_out or pattern == "first.*last"


@pytest.mark.parametrize("end", [b"", b"\r\n"])
@pytest.mark.parametrize("at", [0, PIECE - 500, PIECE, 2 * PIECE - OVERLAP, 200_000])
def test_what_a_pattern_without_repeats_finds_is_found_anywhere(at: int, end: bytes) -> None:
    """faults.md 8."""
    line = b"x" * at + b"needle-%d" % at + b"y" * (250_000 - at)
    shown, left_out = found(f"needle-{at}y", line + end)
    assert (len(shown), left_out) == (1, [])


@pytest.mark.parametrize("pattern", ["^x+z", "z$", "^z", "xz"])
def test_a_piece_is_no_line(pattern: str) -> None:
    output = b"y" + b"x" * (3 * PIECE) + b"zz" + b"x" * 9
    assert found(pattern, output)[0] == found(pattern, output)[0][: 1 if pattern == "xz" else 0]


def test_what_a_long_line_may_hide_is_said() -> None:
    """faults.md 8: never a silent no."""
    shown, left_out = found("first.*last", b"first" + b"x" * 200_000 + b"last\r\n")
    assert shown == []
    assert "1 lines are longer than 65536 characters" in left_out[0]
    assert "one by one" in found(r"a\nb", b"a\r\nb\r\n")[1][0]
    assert found(r"a[^\n]b", b"ab\r\n") == ([], [])


def test_escapes_are_not_searched_and_not_shown() -> None:
    assert found("^Error", b"\x1b[1mE\x1b[31mrror\x1b]0;x\x07\x07\r\n") == (["Error"], [])


def test_a_pattern_that_takes_for_ever_is_given_up() -> None:
    with pytest.raises(TooSlow, match="takes too long"):
        found("(a|a|aa)+$x", b"a" * 4000)


def test_a_line_has_its_time_and_place() -> None:
    (line,) = Lines().of(frames((7.0, 100, b"\xf6\r")))
    assert line == Line(7.0, 100, "\ufffd")
