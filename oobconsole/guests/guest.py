"""A guest is somebody's virtual machine, or whatever is connected to a real port, with all that the server knows of
it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from oobconsole.config.guests import ConsoleConfig
from oobconsole.config.schema import Config
from oobconsole.console.console import Console
from oobconsole.power.power import Power
from oobconsole.recording.recorder import Recorder


class Listing(Protocol):
    """What sources see of the directory (directory.py), into which they push guests and consoles."""

    def find(self, name: str) -> Console | None:
        """Return the console of that name, or None. If there is one, a new console cannot have the name."""

    def appeared(self, guest: Guest) -> None:
        """Add a guest with its consoles. Raises `ValueError` if a name is taken."""

    def grew(self, guest: Guest, console: Console) -> None:
        """Add a further console to a guest that is there. Raises `ValueError` if its name is taken."""

    def shrank(self, guest: Guest, console: Console) -> None:
        """Remove a console of a guest that stays."""

    def vanished(self, guest: Guest) -> None:
        """Remove a guest and its consoles."""


class Source(Protocol):
    """Where guests come from: a machine (an L1), the line or lines of a virtual machine, or a libvirt host.

    A source pushes: it tells the directory when guests and consoles appear and vanish. Nobody asks a source for a
    list of them.

    Attributes:
        name: the name that `ls` shows in the column MACHINE.
    """

    name: str

    @property
    def links(self) -> dict[str, bool]:
        """For the name of each connection: whether its other end (a native half, a line, libvirt) is there."""

    def introduce(self, directory: Listing) -> None:
        """Add all guests to the directory that the source has before it starts. If guests come later, the source adds
        them to the same directory."""

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records each console, by its name. This is called before `start`, and again when it changes."""

    def configure(self, config: Config) -> None:
        """Give the guests the settings that a configuration has for them. It names the same sources and the same
        guests as the one with which the server was started."""

    async def start(self) -> None:
        """Begin to connect. Raises `EnvironmentFault`."""

    async def stop(self, reason: str) -> None:
        """Tell the people who are attached why, and disconnect. The guests go on without the server."""


class Guest:
    """One guest. Its first console has the guest's name. The names of further consoles begin with that name.

    Args:
        settings: how the guest's consoles behave.
        consoles: one for each of its ports. A libvirt domain may get further ones while it runs.

    Attributes:
        source: where the guest is now. A libvirt domain that migrates has another source afterwards.
        power: what can switch the guest on and off. None: nothing of that kind is configured.
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
        """Give new settings to all consoles of the guest, and to those that come later."""
        self._settings = settings
        for console in self.consoles:
            console.settings = settings

    def happened(self, what: str) -> None:
        """Something has happened to the guest as a whole, such as a reset. Everybody who is attached to one of its
        consoles is told, with the name of that console."""
        for console in self.consoles:
            console.happened(what)
