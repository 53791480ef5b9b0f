"""What a console's guest does, as events."""

from __future__ import annotations

from oobconsole.access import Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.events import Events, Kind


class StateEvents:
    """An observer of one console: its guest came, went, or is away."""

    def __init__(self, console: Console, events: Events) -> None:
        self._name = console.name
        self._events = events

    def output(self, offset: int, data: bytes) -> None:
        """No event: there would be thousands."""

    def gap(self, offset: int, lost: int) -> None:
        """No event: its readers are told."""

    def typed(self, data: bytes, who: Principal | None) -> None:
        """No event: what is typed is nobody else's business."""

    def state_changed(self, state: ConsoleState, reason: str) -> None:
        self._events.emit(Kind.CONSOLE, self._name, state=state.name.lower(), reason=reason)
