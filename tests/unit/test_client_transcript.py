"""What patterns see of a console's output (faults.md 6): words, whatever sequences stand between them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.client.transcript import RAW_MAX, TRANSCRIPT_MAX, Transcript
from oobconsole.terminal.plain import PlainText

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
    "\x1b[not \x1b[\x01what": "ot hat",  # a control within a sequence does not end it (ECMA-48; as `wait` has it)
    "Größe สวัสดี": "Größe สวัสดี",
    "\u2066login:\u2069 zero\u200bwidth soft\u00adhyphen": "login: zerowidth softhyphen",
    "می\u200cروم 👩\u200d🚀 ❤\ufe0f": "می\u200cروم 👩\u200d🚀 ❤\ufe0f",
}
SEQUENCES = st.sampled_from(
    ["\x1b", "[", "0;", "m", "]", "P", "\\", "\x07", "\n", "\x9b", "\x9d", "\x9c", "x", "é", " "]
)


def words(*pieces: bytes) -> str:
    """What is left of output that comes in these pieces."""
    transcript = Transcript()
    for piece in pieces:
        transcript.feed(piece)
    return transcript.text


@pytest.mark.parametrize("text", SHOWN)
def test_words_are_left(text: str) -> None:
    assert words(text.encode()) == SHOWN[text]


@pytest.mark.parametrize("text", SHOWN)
def test_they_are_left_when_each_byte_comes_alone(text: str) -> None:
    data = text.encode()
    assert words(*(data[at : at + 1] for at in range(len(data)))) == SHOWN[text]


@given(st.lists(SEQUENCES).map("".join), st.lists(SEQUENCES).map("".join))
def test_how_a_text_is_cut_makes_no_difference(one: str, two: str) -> None:
    assert words(one.encode(), two.encode()) == words((one + two).encode())


@given(st.one_of(st.binary(), st.lists(SEQUENCES).map(lambda parts: "".join(parts).encode())))
def test_client_and_verb_see_the_same_text(data: bytes) -> None:
    """faults.md 6: they disagreed about C1 controls of one byte, and about what is invisible."""
    assert words(data) == PlainText().feed(data)


def test_positions_stay_while_old_output_is_forgotten() -> None:
    transcript = Transcript()
    transcript.feed(b"begin")
    for _ in range(20):
        transcript.feed(b"\x1b[1mx\x1b[0m" * (TRANSCRIPT_MAX // 16))
    transcript.feed(b"the end")
    assert transcript.text.endswith("xthe end")
    assert len(transcript.text) == TRANSCRIPT_MAX
    assert transcript.end == len("begin") + 20 * (TRANSCRIPT_MAX // 16) + len("the end")
    assert transcript.start == transcript.end - TRANSCRIPT_MAX
    assert len(transcript.raw) == RAW_MAX
    assert transcript.raw.endswith(b"\x1b[0mthe end")
