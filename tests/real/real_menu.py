"""syslinux's menu.c32 on a serial port, as it boots: real-guests.md F2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.real.guests import RealProgram, disturb, image, marked, real_program, undisturbed

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]
DOWN = "\x1b[B"
#: Does nothing at this menu.
NO_KEY = "x"
REVERSED = "7"
ENTRIES = [f"Entry {number:02}" for number in range(1, 21)]


@pytest.fixture(scope="module")
def menu() -> Iterator[RealProgram]:
    with real_program("-cdrom", image("menu.iso")) as running:
        yield running


@pytest.mark.parametrize("rows", [24, 25, 50])
def test_the_marked_row_is_what_enter_chooses(menu: RealProgram, rows: int) -> None:
    """Its cursor is in the last row but one: lines of ours would scroll it."""
    with menu.attached(rows) as both:
        both.terminal.expect("Entry 12")
        entry = marked(both.terminal, REVERSED, ENTRIES) + 3
        disturb(both, DOWN, DOWN)
        both.terminal.send(DOWN)
        both.terminal.wait(lambda shown: marked(shown, REVERSED, ENTRIES) == entry)
        undisturbed(both, NO_KEY)
        both.terminal.send("\r")
        both.terminal.expect(f"This is what {ENTRIES[entry].lower()} leads to")
        undisturbed(both, NO_KEY)
        both.terminal.send(f"{DOWN}\r")
        both.terminal.expect("Twenty entries")
        undisturbed(both, NO_KEY)
