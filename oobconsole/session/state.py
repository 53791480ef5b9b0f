"""The consoles that sessions can reach, and the settings that they share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from oobconsole.access import Access
from oobconsole.console.console import Console
from oobconsole.events import Events


class Source(Protocol):
    """A machine or a line: where consoles come from."""

    name: str

    @property
    def consoles(self) -> list[Console]:
        """Its consoles."""

    async def start(self) -> None:
        """Begin. Raises `EnvironmentFault`."""

    async def stop(self, reason: str) -> None:
        """Tell whoever is attached, and let the guests go on without us."""


@dataclass(frozen=True)
class Consoles:
    """Every console of the server.

    Attributes:
        machines: and lines: all of them.
        access: who may do what.
        events: what happens.
        tail_lines: lines shown on attach.
        drain_s: how long a pipe's output must be quiet after its input has ended, in seconds.
        drain_max_s: how long a pipe stays at most after its input has ended, in seconds.
        stopping: set when the server stops.
    """

    machines: Sequence[Source]
    access: Access
    events: Events
    tail_lines: int
    drain_s: float
    drain_max_s: float
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def stop(self, reason: str) -> None:
        """End every session, and let the guests go on without us."""
        self.stopping.set()
        for machine in self.machines:
            await machine.stop(reason)

    def find(self, name: str) -> Console | None:
        """The console of that name."""
        return next((c for machine in self.machines for c in machine.consoles if c.name == name), None)

    def rows(self) -> list[tuple[str, str, int, str]]:
        """Name, state, attached, machine: of every console, by name."""
        return sorted((c.name, c.state.name.lower(), c.attached, m.name) for m in self.machines for c in m.consoles)
