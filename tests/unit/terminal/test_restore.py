"""A terminal is given back as it was: faults.md 11."""

from __future__ import annotations

import re

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.terminal.model import Terminal
from oobconsole.terminal.restore import Lent

#: What faults.md 11 names.
WANTED = [
    *(b"\x1b[4l", b"\x1b[?6l", b"\x1b(B", b"\x0f", b"\x1b[?5l", b"\x1b[0 q", b"\x1b[20l", b"\x1b[12h", b"\x1b[?69l"),
    *(b"\x1b[r", b"\x1b[?1l", b"\x1b>", b"\x1b[?7h", b"\x1b[?2004l", b"\x1b[?25h", b"\x1b[?2026l"),
]


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("filtered", [True, False])
def test_every_mode_is_undone(wanted: bytes, filtered: bool) -> None:
    """faults.md 11."""
    assert wanted in Lent(filtered=filtered).restored()


def test_a_mouse_is_undone_where_nothing_was_filtered() -> None:
    """faults.md 11."""
    assert b"\x1b[?1000;1002;1003;1004;1006l" in Lent(filtered=False).restored()
    assert b"1000" not in Lent(filtered=True).restored()


@pytest.mark.parametrize("wanted", [b"1060;1061", b";2027l", b"\x1bW", b'\x1b[0"q'])
def test_other_keys_widths_and_protection_are_undone_where_nothing_was_filtered(wanted: bytes) -> None:
    """faults.md 11, variations."""
    assert wanted in Lent(filtered=False).restored()


@pytest.mark.parametrize("shown", [b"\x1b[3g", b"\x1b[5G\x1bH", b"\x1b[9G\x1b[g", b"\x1b[3g\x1b[4G\x1bH\x1b[H"])
@pytest.mark.parametrize("columns", [40, 80, 132])
def test_tab_stops_are_set_back(shown: bytes, columns: int) -> None:
    """faults.md 11, a variation: the user's shell had no tab stops, or a guest's, in every later `ls`."""
    screen = pyte.Screen(columns, 24)
    stream = pyte.ByteStream(screen)
    at_first = set(screen.tabstops)
    lent = Lent(filtered=True)
    for part in (b"\x1b[7;7H", shown):
        stream.feed(part)
        lent.feed(part)
    before = screen.cursor.y, screen.cursor.x
    stream.feed(re.sub(rb"\x1b\[0 q", b"", lent.restored()))  # pyte takes it for text
    assert screen.tabstops - {columns - 1} == at_first  # a tab goes to the last column anyhow
    assert (screen.cursor.y, screen.cursor.x) == before
    model = Terminal(24, columns)
    model.feed(shown + lent.restored())
    assert model.tabs == Terminal(24, columns).tabs


def test_tab_stops_that_nobody_has_changed_cost_nothing() -> None:
    lent = Lent(filtered=True)
    lent.feed(b"\x1b[3g\x1bc\x1b[H\x1b[?25h")
    assert b"\x1bH" not in lent.restored()


@pytest.mark.parametrize(
    ("shown", "alternate"),
    [
        (b"", False),
        (b"\x1b[?1049h", True),
        (b"\x1b[?01047h", True),
        (b"\x1b[?25;47h", True),
        (b"\x1b[?1049h\x1b[?1049l", False),
        (b"\x1b[?1049h\x1bc", False),
        (b"\x1b[?1049h\x1b[!p", True),
        (b"1049h", False),
    ],
)
def test_the_main_screen_comes_back_if_it_was_left(shown: bytes, alternate: bool) -> None:
    """It is not switched to when it is there: that would move the cursor."""
    for size in (1, 2, 3, 100):
        lent = Lent(filtered=False)
        for at in range(0, len(shown), size):
            lent.feed(shown[at : at + size])
        assert (b"\x1b[?1049l" in lent.restored()) is alternate


@given(st.lists(st.sampled_from([b"\x1b[?6h", b"\x1b[?6l", b"\x1b[4h", b"\x1b[3;9r", b"\x1b[?7l", b"\x1b[5;5H"])))
def test_whatever_was_set_nothing_of_it_is_left(parts: list[bytes]) -> None:
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    lent = Lent(filtered=True)
    for part in parts:
        stream.feed(part)
        lent.feed(part)
    before = screen.cursor.y, screen.cursor.x
    stream.feed(re.sub(rb"\x1b\[0 q", b"", lent.restored()))  # pyte takes it for text
    assert screen.mode & {pyte.modes.IRM, pyte.modes.DECOM} == set()
    assert pyte.modes.DECAWM in screen.mode
    assert (screen.margins or (0, 23)) == (0, 23)
    if b"\x1b[?6h" not in parts:
        assert (screen.cursor.y, screen.cursor.x) == before


def test_a_sequence_that_is_not_finished_is_cancelled() -> None:
    lent = Lent(filtered=False)
    lent.feed(b"\x1b[?10")
    assert lent.restored().startswith(b"\x18")


#: What a guest at a console without a filter may have used of what changes what keys send, and what undoes it.
KEYS_UNDONE = [
    (b"\x1b G", b"\x1b F"),
    (b'\x1b[62;0"p', b'\x1b[62;1"p\x1b[64;1"p\x1b F'),
    (b'\xc2\x9b62;0"p', b'\x1b[62;1"p\x1b[64;1"p\x1b F'),
    (b"\x1b[?2l", b'\x1b<\x1b[62;1"p\x1b[64;1"p\x1b F'),
    (b"\x1b[>4;1f", b"\x1b[>4f"),
]


@pytest.mark.parametrize(("shown", "undone"), KEYS_UNDONE)
@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_what_keys_send_is_undone_if_a_guest_has_changed_it(shown: bytes, undone: bytes, size: int) -> None:
    """faults.md 11, a variation: behind S8C1T, no shell knew its arrow keys any more. On a terminal that does not
    know these sequences, a part of them would be seen, so they are sent only if the guest has used them."""
    lent = Lent(filtered=False)
    assert undone not in lent.restored()
    for at in range(0, len(shown), size):
        lent.feed(shown[at : at + size])
    assert lent.touched
    assert lent.restored().startswith(undone)


def test_keyboard_modes_of_both_screens_are_undone_where_nothing_was_filtered() -> None:
    """faults.md 11, a variation: kitty has keyboard modes for each screen."""
    lent = Lent(filtered=False)
    lent.feed(b"\x1b[>1u\x1b[?1049h\x1b[>1u")
    before, behind = lent.restored().split(b"\x1b[?1049l")
    assert b"\x1b[=0;1u" in before
    assert b"\x1b[=0;1u" in behind
    assert b"\x1b[>m" in before
    assert b";9001;" in before
