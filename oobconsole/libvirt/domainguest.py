"""One domain of libvirt as a guest: its ports, each a console, and which host's word counts if several have it."""

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
        connected: libvirt is reached.
        trouble: why it is not.
        settings: of its consoles.
        host: the connection to libvirt.
        threads: what its consoles may keep waiting.
    """

    prefix: str
    connected: bool
    trouble: str
    settings: ConsoleConfig
    host: Host
    threads: HostThreads


class DomainPort(Wire):
    """One port of a domain, on whichever host that runs.

    Args:
        look: looks at the domain again, soon.
    """

    def __init__(self, console: Console, look: Callable[[], object]) -> None:
        super().__init__(console)
        self._look = look
        self._run: object = None
        self._fault: tuple[str, float | None] | None = None

    async def follow(self, run: object, port: Port, make: Callable[[], Stream]) -> None:
        """The domain is active: have the console of this run of it."""
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
        """There is nothing to be connected to."""
        await self.leave()
        self.console.set_state(state, reason)

    async def leave(self) -> None:
        """Let go of the domain's run. Idempotent."""
        stream, self.stream, self._run, self._fault = self.stream, None, None, None
        self._left = None
        self.console.bind(None)
        if stream is not None:
            await stream.stop()

    def up(self, peer: str) -> None:
        self._fault = None
        super().up(peer)

    def down(self, reason: str, retry_s: float | None) -> None:
        """A domain that ends takes its line with it: before that is called a fault, the domain is looked at."""
        self.console.bind(None)
        self._fault = reason, retry_s
        if self.console.state is ConsoleState.LIVE:
            self._look()
        else:
            super().down(reason, retry_s)


class DomainGuest(Guest):
    """A domain, wherever it is.

    Attributes:
        domain: its name at its hosts.
        key: prefix and UUID, by which hosts know it.
        at: what it is at each host that has it.
        home: the host whose word counts: where it runs, or ran last.
        ports: by what follows the guest's name in the names of their consoles.
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
        """The host whose word counts, which is also the guest's source."""
        return self._home

    def move(self, home: Home) -> None:
        """Another host's word counts from now on."""
        if home is not self._home:
            self.source = self._home = home
            self.configure(home.settings)

    def find_home(self) -> Domain | None:
        """Say where it is: there where it is as long as it runs there; None: nowhere."""

        def rank(source: Home) -> tuple[bool, ...]:
            domain, there = self.at[source], source.connected  # what a lost host said last may not be so any more
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
        """Its ports as they are now, by what follows its name in their consoles'; none when it is nowhere."""
        domain = self.at.get(self.home)
        ports = domain.ports if domain is not None else ()
        return {"" if i == 0 else f".{port.name}": port for i, port in enumerate(ports)}

    def look(self) -> None:
        """Look at it again, soon."""
        self.home.host.look(self.uuid)

    async def do(self, action: PowerAction) -> str:
        """Switch it (`Power`)."""
        return await self.home.host.switch(self.uuid, ACTIONS[action])
