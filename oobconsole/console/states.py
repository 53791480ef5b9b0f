"""The states of a console, the transitions between them, and the observers that are told of them."""

from __future__ import annotations

from enum import Enum
from typing import Final, Protocol

from oobconsole.access import Principal


class ConsoleState(Enum):
    """What is known of the console's guest. The value says it in words."""

    WAITING = "no guest has used this port yet"
    LIVE = "a guest uses this port"
    AWAY = "the native half is away; the guest, if it runs, goes on without us"
    GONE = "the guest is gone"
    OFF = "the guest is switched off"
    FAULT = "its line cannot be reached"


#: The states in which the last guest has ended.
ENDED: Final = frozenset({ConsoleState.GONE, ConsoleState.OFF})
#: The states in which no guest takes input, and the next guest may be another one.
NOBODY: Final = frozenset({ConsoleState.GONE, ConsoleState.OFF, ConsoleState.FAULT})
#: For each state: the states that may follow it.
ALLOWED: Final = {
    ConsoleState.WAITING: {ConsoleState.LIVE, *NOBODY},
    ConsoleState.LIVE: {ConsoleState.AWAY, *NOBODY},
    ConsoleState.AWAY: {ConsoleState.LIVE, ConsoleState.GONE},
    ConsoleState.GONE: {ConsoleState.LIVE, ConsoleState.OFF, ConsoleState.FAULT},
    ConsoleState.OFF: {ConsoleState.LIVE, ConsoleState.GONE, ConsoleState.FAULT},
    ConsoleState.FAULT: {ConsoleState.LIVE, ConsoleState.GONE, ConsoleState.OFF},
}


class Observer(Protocol):
    """Is told everything that happens at a console, in order. Its methods return at once, and never raise."""

    def output(self, offset: int, data: bytes) -> None:
        """The guest has printed `data`. `offset` is that of its first byte."""

    def gap(self, offset: int, lost: int) -> None:
        """`lost` bytes that the guest printed just before that offset never reached the server."""

    def typed(self, data: bytes, who: Principal | None) -> None:
        """Somebody has typed `data`, and it is on its way to the guest. `who` is None if it was not a user."""

    def state_changed(self, state: ConsoleState, reason: str) -> None:
        """The console has moved to that state, for that reason."""
