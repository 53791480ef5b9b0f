"""What patterns see of a console's output (faults.md 6): words, whatever sequences stand between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.client.transcript import RAW_MAX, TRANSCRIPT_MAX, Transcript, Words

SHOWN = {
    "plain\r\ntext\t1\b2": "plain\r\ntext\t1\b2",
    "\x1b[01;32mroot@web1\x1b[00m:\x1b[01;34m~\x1b[00m# \x1b[0m": "root@web1:~# ",
    "# \x1b[K\x1b[?2004h": "# ",
    "\x1b]133;A\x07# \x1b]133;B\x1b\\": "# ",
    "\x9b31mC1\x9d0;title\x9c.": "C1.",
    "\x1b(0\x0elqk\x0f\x1b(B\x1b7\x1b8\x1b=\x1bM": "lqk",
    "\x1bPq#0;2;0;0;0\x1b\\after": "after",
    "\x1b]0;no end\nnext line": "\nnext line",
    "\x1b]0;cut off by\x1b[1manother": "another",
    "bell\x07, null\x00, delete\x7f": "bell, null, delete",
    "\x1b[not \x1b[\x01what": "ot what",
    "Größe สวัสดี": "Größe สวัสดี",
}
SEQUENCES = st.sampled_from(
    ["\x1b", "[", "0;", "m", "]", "P", "\\", "\x07", "\n", "\x9b", "\x9d", "\x9c", "x", "é", " "]
)


@pytest.mark.parametrize("text", SHOWN)
def test_words_are_left(text: str) -> None:
    assert Words().feed(text) == SHOWN[text]


@pytest.mark.parametrize("text", SHOWN)
def test_they_are_left_when_each_character_comes_alone(text: str) -> None:
    words = Words()
    assert "".join(words.feed(character) for character in text) == SHOWN[text]


@given(st.lists(SEQUENCES).map("".join), st.lists(SEQUENCES).map("".join))
def test_how_a_text_is_cut_makes_no_difference(one: str, two: str) -> None:
    words, whole = Words(), Words()
    assert words.feed(one) + words.feed(two) == whole.feed(one + two)


def test_positions_stay_while_old_output_is_forgotten() -> None:
    transcript = Transcript()
    transcript.feed("begin")
    for _ in range(20):
        transcript.feed("\x1b[1mx\x1b[0m" * (TRANSCRIPT_MAX // 16))
    transcript.feed("the end")
    assert transcript.text.endswith("xthe end")
    assert len(transcript.text) == TRANSCRIPT_MAX
    assert transcript.end == len("begin") + 20 * (TRANSCRIPT_MAX // 16) + len("the end")
    assert transcript.start == transcript.end - TRANSCRIPT_MAX
    assert len(transcript.raw) == RAW_MAX
    assert transcript.raw.endswith("\x1b[0mthe end")
