"""Where a console's guest is, what may come after what, and who is told of it."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from oobconsole.access import Principal


class ConsoleState(Enum):
    """Where the console's guest is."""

    WAITING = "no guest has used this port yet"
    LIVE = "a guest uses this port"
    AWAY = "the native half is away; the guest, if it runs, goes on without us"
    GONE = "the guest is gone"
    OFF = "the guest is switched off"
    FAULT = "its line cannot be reached"


#: Who was there has ended.
ENDED: Final = frozenset({ConsoleState.GONE, ConsoleState.OFF})
#: Nobody is there to type at, and whoever comes next may be somebody else.
NOBODY: Final = frozenset({ConsoleState.GONE, ConsoleState.OFF, ConsoleState.FAULT})
#: What may come after each.
ALLOWED: Final = {
    ConsoleState.WAITING: {ConsoleState.LIVE, *NOBODY},
    ConsoleState.LIVE: {ConsoleState.AWAY, *NOBODY},
    ConsoleState.AWAY: {ConsoleState.LIVE, ConsoleState.GONE},
    ConsoleState.GONE: {ConsoleState.LIVE, ConsoleState.OFF, ConsoleState.FAULT},
    ConsoleState.OFF: {ConsoleState.LIVE, ConsoleState.GONE, ConsoleState.FAULT},
    ConsoleState.FAULT: {ConsoleState.LIVE, ConsoleState.GONE, ConsoleState.OFF},
}


class Observer(Protocol):
    """What is told of everything that happens at a console, in order. It returns at once, and never raises."""

    def output(self, offset: int, data: bytes) -> None:
        """The guest printed `data`; its first byte has that offset."""

    def gap(self, offset: int, lost: int) -> None:
        """So many bytes that the guest printed before that offset never reached us."""

    def typed(self, data: bytes, who: Principal | None) -> None:
        """Somebody typed `data`; it is on its way to the guest."""

    def state_changed(self, state: ConsoleState, reason: str) -> None:
        """The guest came, went, or is away."""
