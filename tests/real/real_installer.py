"""Debian's installer on a serial port, in GNU screen, as it boots from the network: real-guests.md F2."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from tests.real.guests import RealGuest, RealProgram, disturb, image, marked, real_program, undisturbed
from tests.support.pair import Pair

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1800)]
UP, DOWN = "\x1bOA", "\x1bOB"
#: White on red.
ON_RED = "41"
CONTINENTS = [
    *("Africa", "Antarctica", "Asia", "Atlantic Ocean", "Caribbean", "Central America", "Europe", "Indian Ocean"),
    *("North America", "Oceania", "South America"),
]
#: A minute of one core, for the kernel and what it unpacks.
BOOT_SECONDS = 240
#: Does nothing in its lists: no entry begins with it.
NO_KEY = "\x1d"


@pytest.fixture(scope="module")
def installer() -> Iterator[RealProgram]:
    """At its list of continents."""
    boot = ("-m", "1024", "-kernel", image("installer.linux"), "-initrd", image("installer.initrd"))
    with real_program(*boot, "-append", "console=ttyS0,115200") as running:
        with running.attached(24) as both:
            to_the_continents(both)
        yield running


def to_the_continents(both: Pair[RealGuest]) -> None:
    both.terminal.expect("Select a language", timeout=BOOT_SECONDS)
    choose(both, DOWN, ["English"])
    both.terminal.expect("Select your location", timeout=60)
    choose(both, DOWN, ["United States", "Zambia", "Zimbabwe", "other"])
    both.terminal.expect("Continent or region:", timeout=60)


def choose(both: Pair[RealGuest], way: str, entries: Sequence[str]) -> None:
    """Go from the first of these entries, which is marked, to the last one, and choose it."""
    for at, _ in enumerate(entries):
        both.terminal.wait(lambda shown, at=at: marked(shown, ON_RED, entries) == at)  # type: ignore[misc]
        both.terminal.send(way if at + 1 < len(entries) else "\r")


@pytest.mark.parametrize("rows", [24, 25, 50])
def test_the_marked_row_is_what_enter_chooses(installer: RealProgram, rows: int) -> None:
    """One went down in the list of continents, and Enter chose another than the marked one."""
    with installer.attached(rows) as both:
        both.terminal.expect("Continent or region:")
        continent = marked(both.terminal, ON_RED, CONTINENTS) - 1
        disturb(both, UP, UP)
        both.terminal.send(DOWN)
        both.terminal.wait(lambda shown: marked(shown, ON_RED, CONTINENTS) == continent)
        undisturbed(both, NO_KEY)
        both.terminal.send("\r")
        both.terminal.expect(f"locations for: {CONTINENTS[continent]}.")
        disturb_at_a_line(both)
        undisturbed(both, NO_KEY)
        both.terminal.send("\x1b")
        both.terminal.expect("Continent or region:")
        undisturbed(both, NO_KEY)


def disturb_at_a_line(both: Pair[RealGuest]) -> None:
    """Behind Enter we have keys of our own; the drawing anew is one."""
    both.terminal.send("~w")
    both.terminal.expect(" types ")
    both.terminal.send("~d")
