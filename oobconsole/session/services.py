"""What the server gives to every session: the guests, who may do what, and the settings that sessions share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from oobconsole.access import Access, Principal
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Events
from oobconsole.guests.directory import Directory
from oobconsole.recording.recordings import Recordings
from oobconsole.recording.trouble import Trouble
from oobconsole.session.seat import Seats
from oobconsole.session.view import Found, Views
from oobconsole.vitals import Vitals


async def _no_file(who: Principal | None) -> str:
    raise EnvironmentFault("this server was started without a file that could be read again")


@dataclass
class Services:
    """What the server gives to every session.

    Attributes:
        directory: all guests and their consoles.
        seats: who is at a console, and what it looks like.
        views: which consoles each user sees.
        access: who may do what.
        events: what happens.
        vitals: how the server does.
        tail_lines: lines that `~l` and `log` show.
        drain_s: how long a pipe's output must be quiet after its input has ended, in seconds.
        drain_max_s: how long a pipe stays at most after its input has ended, in seconds.
        recordings: of the consoles; None: nothing is recorded.
        reload: reads the configuration again, for whoever asks; returns what has changed, or raises `OobError`.
        audit_head: number and hash of the audit log's last entry.
        stopping: set when the server stops.
    """

    directory: Directory
    seats: Seats
    views: Views
    access: Access
    events: Events
    vitals: Vitals
    tail_lines: int
    drain_s: float
    drain_max_s: float
    recordings: Recordings | None = None
    reload: Callable[[Principal | None], Awaitable[str]] = _no_file
    audit_head: Callable[[], tuple[int, str]] = lambda: (0, "")
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def trouble(self) -> Trouble:
        """Which consoles are not recorded as they should be. None are if nothing is to be recorded."""
        return self.recordings.trouble if self.recordings is not None else Trouble()

    def knows(self, name: str) -> bool:
        """Return whether there is a console of that name, or the recording of one that is gone. Looking for a
        recording may take as long as the disk takes."""
        if self.directory.find(name) is not None:
            return True
        return self.recordings is not None and self.recordings.has(name)

    async def stop(self, reason: str) -> None:
        """End every session, and let the guests go on without us."""
        self.stopping.set()
        await self.directory.stop(reason)

    async def visible(self, who: Principal) -> Found:
        """Every console at which `who` has any right, sorted by name."""
        return (await self.views.of(who)).everything
