"""A guest: somebody's virtual machine, or what hangs at a real port, with everything that the server has of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.console import Console
from oobconsole.power.power import Power
from oobconsole.recording.recorder import Recorder


class Listing(Protocol):
    """What sources push into: the directory (directory.py)."""

    def find(self, name: str) -> Console | None:
        """The console of that name, which is taken then."""

    def appeared(self, guest: Guest) -> None:
        """A guest is there, with its consoles."""

    def grew(self, guest: Guest, console: Console) -> None:
        """A guest that is there has a further console."""

    def shrank(self, guest: Guest, console: Console) -> None:
        """A guest that is there has lost a console."""

    def vanished(self, guest: Guest) -> None:
        """A guest is no more, nor are its consoles."""


class Source(Protocol):
    """Where guests come from: a machine (an L1), the line or lines of a virtual machine, or a libvirt host.

    A source pushes. It tells the directory of guests and consoles when they appear and when they vanish, and nobody
    asks a source for a list of them.

    Attributes:
        name: as `ls` shows it in the column MACHINE.
    """

    name: str

    @property
    def links(self) -> dict[str, bool]:
        """Its connections: the name of each, and whether the other end (a native half, a line, libvirt) is there."""

    def introduce(self, directory: Listing) -> None:
        """Tell the directory of every guest that the source has before it starts. A source whose guests come later
        tells the same directory of them."""

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records the source's consoles, by their names; before `start`, and again when that changes."""

    async def start(self) -> None:
        """Begin to be connected. Raises `EnvironmentFault`."""

    async def stop(self, reason: str) -> None:
        """Tell whoever is attached, and let the guests go on without us."""


class Guest:
    """One guest. Its first console has the guest's name; a further console's name begins with it.

    Args:
        settings: how its consoles behave.
        consoles: one for each of its ports; a libvirt domain may get further ones while it runs.

    Attributes:
        source: where the guest is now. A libvirt domain that migrates has another source afterwards.
        power: what switches the guest on and off; None: nothing is configured that could.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        *,
        settings: ConsoleConfig,
        power: Power | None = None,
        consoles: Iterable[Console] = (),
    ) -> None:
        self.name = name
        self.source = source
        self.power = power
        self.consoles = list(consoles)
        self._settings = settings

    @property
    def settings(self) -> ConsoleConfig:
        """How all consoles of the guest behave."""
        return self._settings

    def configure(self, settings: ConsoleConfig) -> None:
        """Have all consoles of the guest, and those that come later, behave so from now on."""
        self._settings = settings
        for console in self.consoles:
            console.settings = settings

    def happened(self, what: str) -> None:
        """Something happened to the guest as a whole, such as a reset: whoever is attached to any of its consoles is
        told, each with the name of the console that they see."""
        for console in self.consoles:
            console.happened(what)
