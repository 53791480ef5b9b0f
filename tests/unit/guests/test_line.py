"""What a line says of the output that nobody has seen."""

from __future__ import annotations

import pytest

from oobconsole.console.console import Console, ConsoleState
from oobconsole.guests.line import Wire
from oobconsole.lines.base import Stream, StreamEvents


class Carrier(Stream):
    """Carries nothing."""

    async def start(self, events: StreamEvents) -> None:
        """Never."""

    async def stop(self) -> None:
        """Never."""

    def write(self, data: bytes) -> int:
        return len(data)


class Keeper(Carrier):
    keeps_output = True


def test_what_was_printed_before_the_connection_is_said_to_be_missing() -> None:
    """faults.md 33: the beginning of a boot was missing, and nothing said so."""
    wire = Wire(Console("web1", scrollback=4096), Carrier())
    wire.down("it cannot be reached", 1.0)
    wire.up("unix:/x")
    assert wire.console.reason == "connected; what the guest printed before, if it ran, is not here"
    wire.down("the other end closed the connection", 1.0)
    wire.down("it cannot be reached", 2.0)
    wire.up("unix:/x")
    assert wire.console.reason == "connected again after 0.0 s; what the guest printed meanwhile is not here"


@pytest.mark.parametrize("kind", [Keeper, None])
def test_a_line_that_keeps_it_says_nothing(kind: type[Carrier] | None) -> None:
    wire = Wire(Console("web1", scrollback=4096), kind() if kind else None)
    wire.up("keeper")
    assert wire.console.reason == ConsoleState.LIVE.value
