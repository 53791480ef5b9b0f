"""memtest86+ on a serial port: 25 rows on any terminal, and it prints all the time (real-guests.md F2, F5)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.real.guests import RealGuest, RealProgram, come_and_go, disturb, image, real_program, undisturbed
from tests.support.pair import Pair
from tests.support.tmux import Tmux

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]
#: Does nothing in it.
NO_KEY = "x"
BOOT_SECONDS = 60
#: What a terminal sends for F1; memtest86+ takes the first byte for Escape, which restarts the machine.
F1 = "\x1bOP"


@pytest.fixture(scope="module")
def memtest() -> Iterator[RealProgram]:
    with real_program("-m", "64", "-kernel", image("memtest"), "-append", "console=ttyS0,115200 nobench") as running:
        with running.attached(25) as both:
            both.terminal.expect("Status: Testing", timeout=BOOT_SECONDS)
        yield running


def equal_while_standing(both: Pair[RealGuest]) -> None:
    with both.guest.standing():
        undisturbed(both, NO_KEY)
        assert "<F1> Configuration" in both.terminal.lines[24]  # its 25th row


@pytest.mark.parametrize("rows", [25, 50])
def test_notices_over_what_prints_all_the_time(memtest: RealProgram, rows: int) -> None:
    with memtest.attached(rows) as both:
        both.terminal.expect("Status: Testing")
        disturb(both, NO_KEY, NO_KEY)
        equal_while_standing(both)


def test_a_redraw_has_all_25_rows(memtest: RealProgram) -> None:
    """real-guests.md F5: whoever comes later sees them all."""
    with memtest.attached(25) as first:
        first.terminal.expect("Status: Testing")
        with memtest.guest.standing(), memtest.attached(25) as both:
            undisturbed(both, NO_KEY)
            assert "<F1> Configuration" in both.terminal.lines[24]
            both.terminal.send("~d")
            undisturbed(both, NO_KEY)


def test_a_terminal_of_24_rows_is_left_as_it_was(memtest: RealProgram) -> None:
    """What it shows of 25 rows is its own affair, but our lines change none of it."""
    with memtest.attached(24) as both:
        both.terminal.expect("Status: Testing")
        with memtest.guest.standing():
            both.terminal.gone(NO_KEY)
            before = both.terminal.cells, both.terminal.modes()
            both.terminal.send("\r~w")
            both.terminal.expect(" types ")
            both.terminal.gone(NO_KEY)
            assert (both.terminal.cells, both.terminal.modes()) == before


def test_the_marked_row_is_what_is_set(memtest: RealProgram) -> None:
    """Its menu of error modes, by the keys that it takes on a serial port: digits for function keys, `u` and `d`."""
    with memtest.attached(25) as both:
        both.terminal.expect("Status: Testing")
        both.terminal.send("1")
        both.terminal.expect("Error reporting mode")
        both.terminal.send("4")
        both.terminal.wait(lambda shown: len(pointed_at(shown)) == 1)
        before = pointed_at(both.terminal)
        come_and_go(both, "d", NO_KEY)
        both.terminal.wait(lambda shown: len(pointed_at(shown)) == 1 and pointed_at(shown) != before)
        equal_while_standing(both)
        mode = pointed_at(both.terminal)
        both.terminal.send("0")
        both.terminal.expect("CPU sequencing mode")
        both.terminal.send("4")
        both.terminal.wait(lambda shown: pointed_at(shown) == mode)
        both.terminal.send("00")
        both.terminal.wait(lambda shown: not any("Exit menu" in line for line in shown.lines))


def pointed_at(terminal: Tmux) -> list[str]:
    return [line for line in terminal.lines if re.search(r"\* +<F\d>", line)]


def test_function_keys_are_digits(memtest: RealProgram) -> None:
    """What docs/guide.md says: `1` is F1; an F1 of a terminal restarts it, because it begins with Escape."""
    with memtest.attached(25) as both:
        both.terminal.expect("Status: Testing")
        both.terminal.send("1")
        both.terminal.expect("CPU sequencing mode")
        both.terminal.send("0")
        both.terminal.wait(lambda shown: not any("Exit menu" in line for line in shown.lines))
        starts = memtest.guest.printed.count(b"\x1b[2J")
        both.terminal.send(F1)
        both.terminal.wait(lambda _: memtest.guest.printed.count(b"\x1b[2J") > starts)
