"""Connects the directory and the recordings. Each console is recorded before its guest prints anything, and its
recording is kept when the console goes."""

from __future__ import annotations

from oobconsole.console.console import Console
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Guest
from oobconsole.recording.recordings import Recordings


async def record(directory: Directory, recordings: Recordings) -> None:
    """Continue the recordings of all consoles that are there, and tell the sources what records their consoles.
    If a console comes later, its source begins the recording before the source adds the console to the directory.

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
