"""A domain of libvirt as a guest: its ports, each of which is a console, and which host counts if several have it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.console import Console, ConsoleState
from oobconsole.guests.guest import Guest, Source
from oobconsole.guests.line import Wire
from oobconsole.libvirt.domain import Domain, Port
from oobconsole.libvirt.host import ACTIONS, Host
from oobconsole.libvirt.threads import HostThreads
from oobconsole.lines.base import Stream
from oobconsole.power.power import PowerAction


class Home(Source, Protocol):
    """A libvirt host, as its domains know it (`guests.DomainSource`).

    Attributes:
        prefix: what the names of its consoles begin with.
        connected: whether libvirt is reached.
        trouble: why libvirt is not reached.
        settings: the settings of its consoles.
        host: the connection to libvirt.
        threads: the threads that its consoles may keep waiting.
    """

    prefix: str
    connected: bool
    trouble: str
    settings: ConsoleConfig
    host: Host
    threads: HostThreads


class DomainPort(Wire):
    """One port of a domain, on whichever host the domain runs.

    Args:
        console: the console of the port.
        look: has the domain looked at again, soon.
    """

    def __init__(self, console: Console, look: Callable[[], object]) -> None:
        super().__init__(console)
        self._look = look
        self._run: object = None
        self._fault: tuple[str, float | None] | None = None

    async def follow(self, run: object, port: Port, make: Callable[[], Stream]) -> None:
        """Connect the console to this run of the domain, which is active. Nothing happens if it is connected to this
        run already.

        Args:
            run: a value that is another one for each run.
            port: the port, as the domain's XML has it.
            make: makes the line.
        """
        if run == self._run:
            if self._fault is not None:
                super().down(*self._fault)
            return
        await self.leave()
        self._run = run
        if port.trouble:
            self.console.set_state(ConsoleState.FAULT, port.trouble)
            return
        self.stream = make()
        await self.stream.start(self)

    async def off(self, state: ConsoleState, reason: str) -> None:
        """Disconnect the console, because there is nothing to be connected to, and set its state."""
        await self.leave()
        self.console.set_state(state, reason)

    async def leave(self) -> None:
        """Let go of the domain's run. A second call does nothing."""
        stream, self.stream, self._run, self._fault = self.stream, None, None, None
        self._left = None
        self.console.bind(None)
        if stream is not None:
            await stream.stop()

    def up(self, peer: str) -> None:
        self._fault = None
        super().up(peer)

    def down(self, reason: str, retry_s: float | None) -> None:
        """Report that the line is down. A domain that ends takes its line with it, so the domain is looked at again
        before that is called a fault."""
        self.console.bind(None)
        self._fault = reason, retry_s
        if self.console.state is ConsoleState.LIVE:
            self._look()
        else:
            super().down(reason, retry_s)


class DomainGuest(Guest):
    """A domain, on whichever hosts it is.

    Attributes:
        uuid: its UUID.
        domain: its name at its hosts.
        key: the prefix and the UUID, by which hosts know it.
        at: what it is at each host that has it.
        ports: its ports, by what follows the guest's name in the names of their consoles.
    """

    def __init__(self, uuid: str, domain: str, name: str, home: Home) -> None:
        super().__init__(name, home, settings=home.settings, power=self)
        self.uuid = uuid
        self.key = home.prefix, uuid
        self.domain = domain
        self.at: dict[Home, Domain] = {}
        self._home = home
        self.ports: dict[str, DomainPort] = {}

    @property
    def home(self) -> Home:
        """The host that counts: where the domain runs, or ran last. This is also the guest's source."""
        return self._home

    def move(self, home: Home) -> None:
        """Note that another host counts from now on."""
        if home is not self._home:
            self.source = self._home = home
            self.configure(home.settings)

    def find_home(self) -> Domain | None:
        """Return the domain as the host has it that counts: the host where it is now, as long as it runs there. None:
        no host has it."""

        def rank(source: Home) -> tuple[bool, ...]:
            domain, there = self.at[source], source.connected  # what a lost host said last may be wrong by now
            return (
                domain.running and there,
                domain.active and there,
                domain.running,
                domain.active,
                source is self.home,
            )

        if not self.at:
            return None
        self.move(max(self.at, key=rank))
        return self.at[self.home]

    @property
    def wanted(self) -> dict[str, Port]:
        """Its ports as they are now, by what follows the guest's name in the names of their consoles. Empty: no host
        has it."""
        domain = self.at.get(self.home)
        ports = domain.ports if domain is not None else ()
        return {"" if i == 0 else f".{port.name}": port for i, port in enumerate(ports)}

    def look(self) -> None:
        """Have the domain looked at again, soon."""
        self.home.host.look(self.uuid)

    async def do(self, action: PowerAction) -> str:
        """Switch the guest (`Power.do`)."""
        return await self.home.host.switch(self.uuid, ACTIONS[action])
