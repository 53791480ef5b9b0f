"""The recordings of everything in the directory: begun before any guest prints, and kept when a console goes."""

from __future__ import annotations

from oobconsole.console.console import Console
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Guest
from oobconsole.recording.recordings import Recordings


async def record(directory: Directory, recordings: Recordings) -> None:
    """Go on with the recordings of all consoles that are there, and tell the sources what records their consoles.
    A console that comes later is brought to the recordings by its source, before the directory hears of it.

    Raises:
        EnvironmentFault: nothing can be recorded.
    """

    def late(console: Console) -> None:
        guest = directory.guest_of(console)
        if guest is not None:
            guest.source.record(recordings.recorder)

    def vanished(guest: Guest, console: Console) -> None:
        recordings.forget(console)

    recordings.on_late(late)
    directory.on_vanished(vanished)
    await recordings.start(tuple(directory.consoles()))
    for source in directory.sources:
        source.record(recordings.recorder)
