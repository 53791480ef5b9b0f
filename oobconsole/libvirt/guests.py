"""The domains of libvirt hosts as consoles, which come, move and go while the server runs.

How is a domain recognized? By its UUID, at every host that has it. So a domain that migrates keeps its console and
whoever is attached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial
from typing import Final, Protocol

import structlog

from oobconsole.config.guests import ConsoleConfig, LibvirtConfig
from oobconsole.config.schema import Config, console_name
from oobconsole.console.console import Console, ConsoleState
from oobconsole.guests.guest import Listing
from oobconsole.libvirt import library as virt
from oobconsole.libvirt.domain import Domain, Port
from oobconsole.libvirt.domainguest import DomainGuest, DomainPort, Home
from oobconsole.libvirt.host import Host
from oobconsole.libvirt.stream import LibvirtStream
from oobconsole.libvirt.threads import HostThreads
from oobconsole.lines.base import Stream
from oobconsole.lines.chardev import ChardevStream, parse
from oobconsole.log.log import LogLimit
from oobconsole.recording.recorder import Recorder
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

#: How many domains of all hosts together get consoles.
DOMAINS_MAX: Final = 10000
LOG_LINES: Final = 20


class Adopts(Protocol):
    """Goes on with the recordings of consoles that come while the server runs."""

    async def adopt(self, console: Console) -> None:
        """Go on with the recording of that console's name, before the console prints anything."""


class Domains:
    """All domains of all hosts.

    Args:
        scrollback: how many bytes of output are kept of each console.
        directory: told of each domain, and of each of its ports.
        recordings: goes on with what was recorded of a console; None: nothing is recorded.
    """

    def __init__(self, scrollback: int, directory: Listing, recordings: Adopts | None = None) -> None:
        self._scrollback = scrollback
        self._directory = directory
        self._recordings = recordings
        self._guests: dict[tuple[str, str], DomainGuest] = {}  # by prefix and UUID
        self._vanished: dict[str, DomainGuest] = {}  # by the guest's name: somebody is attached
        self._lock = asyncio.Lock()
        self._limit = LogLimit(LOG_LINES)

    def of(self, source: Home) -> list[DomainGuest]:
        """Return the guests whose home is that host. This looks through all domains of all hosts, so it is only for
        what concerns a whole host."""
        return [g for g in (*self._guests.values(), *self._vanished.values()) if g.home is source]

    def find(self, source: DomainSource, uuid: str) -> DomainGuest | None:
        """Return the guest with that UUID at a host; None: there is none."""
        return self._guests.get((source.prefix, uuid))

    async def saw(self, source: DomainSource, uuid: str, domain: Domain | None) -> None:
        """Note that a host has this domain, or, with None, that it has the domain no more."""
        async with self._lock:
            if domain is not None and not source.wants(domain.name):
                domain = None
            guest = self.find(source, uuid)
            if guest is not None and domain is not None and guest.domain != domain.name:
                await self._vanish(guest, f"it is called {domain.name} now")
                guest = None
            if guest is None and (domain is None or (guest := self._make(source, domain)) is None):
                return
            if domain is None:
                guest.at.pop(source, None)
            else:
                guest.at[source] = domain
            await self._settle(guest)

    async def heard(self, source: DomainSource, uuids: frozenset[str]) -> None:
        """Note that a host is connected, and that these are all the domains that it has."""
        gone = [guest.uuid for guest in self._guests.values() if source in guest.at and guest.uuid not in uuids]
        for uuid in gone:
            await self.saw(source, uuid, None)

    async def lost(self, source: DomainSource) -> None:
        """Note that a host is not connected."""
        async with self._lock:
            for guest in [g for g in self._guests.values() if source in g.at]:
                await self._settle(guest)

    async def leave(self, source: DomainSource) -> None:
        """Let go of all guests whose home is that host."""
        async with self._lock:
            for port in [port for guest in self.of(source) for port in guest.ports.values()]:
                await port.leave()

    # -- one domain ---------------------------------------------------------------------------------

    def _make(self, source: DomainSource, domain: Domain) -> DomainGuest | None:
        if len(self._guests) >= DOMAINS_MAX:
            if self._limit.allows(host=source.name):
                log.error(f"more than {DOMAINS_MAX} domains: no console for another", domain=domain.name)
            return None
        name = console_name(source.prefix + domain.name, domain.uuid)
        guest = self._vanished.pop(name, None)
        if guest is not None:
            guest.uuid, guest.domain, guest.key = domain.uuid, domain.name, (source.prefix, domain.uuid)
            guest.move(source)
        else:
            if self._directory.find(name) is not None:
                other, name = name, console_name(source.prefix + domain.name, domain.uuid, unique=True)
                log.warning(
                    "a domain's name is taken by another console", console=name, taken=other, host=source.name
                )
            guest = DomainGuest(domain.uuid, domain.name, name, source)
            self._directory.appeared(guest)
        self._guests[guest.key] = guest
        return guest

    async def _settle(self, guest: DomainGuest) -> None:
        """Make the consoles of a guest match what its domain is now."""
        domain = guest.find_home()
        if domain is None:
            await self._vanish(guest, "its host has no such domain any more: undefined, or ended and not persistent")
            return
        wanted = guest.wanted
        for suffix, port in wanted.items():
            if suffix not in guest.ports:
                await self._adopt(guest, suffix)
            await self._follow(guest, domain, guest.ports[suffix], port)
        for left in [port for suffix, port in guest.ports.items() if suffix not in wanted]:
            await left.off(ConsoleState.GONE, f"{guest.domain} has no such port any more")
        self._tidy(guest)

    async def _adopt(self, guest: DomainGuest, suffix: str) -> None:
        name = guest.name + suffix
        if self._directory.find(name) is not None:
            name = f"{name}-{guest.uuid[:8]}"
        console = Console(name, scrollback=self._scrollback, settings=guest.settings)
        loop = asyncio.get_running_loop()
        console.on_attended(lambda _: loop.call_soon(self._tidy, guest))  # later, when whoever leaves has left
        if self._recordings is not None:
            await self._recordings.adopt(console)
        self._directory.grew(guest, console)
        guest.ports[suffix] = DomainPort(console, guest.look)

    async def _follow(self, guest: DomainGuest, domain: Domain, wire: DomainPort, port: Port) -> None:
        source = guest.home
        if not source.connected:
            await wire.off(ConsoleState.FAULT, f"{source.trouble}; {guest.domain}, if it runs, goes on without us")
        elif not domain.active:
            await wire.off(ConsoleState.OFF, f"{guest.domain} is {domain.state}")
        else:
            make = partial(_stream, wire.console.name, source, guest.uuid, port)
            await wire.follow((source, domain.run, port), port, make)

    async def _vanish(self, guest: DomainGuest, reason: str) -> None:
        del self._guests[guest.key]
        guest.at.clear()
        for port in tuple(guest.ports.values()):
            await port.off(ConsoleState.GONE, f"{guest.domain} is gone: {reason}")
        log.info("domain is gone", console=guest.name, host=guest.home.name, reason=reason)
        self._vanished[guest.name] = guest
        self._tidy(guest)

    def _tidy(self, guest: DomainGuest) -> None:
        """Forget the consoles that have no port behind them, and at which nobody is."""
        for suffix in guest.ports.keys() - guest.wanted.keys():
            port = guest.ports[suffix]
            if not port.console.attached:
                del guest.ports[suffix]
                self._directory.shrank(guest, port.console)
        if not guest.ports and self._vanished.get(guest.name) is guest:
            del self._vanished[guest.name]
            self._directory.vanished(guest)


class DomainSource:
    """The domains of one libvirt host (`guests.guest.Source`, `libvirt.host.HostEvents`).

    Args:
        config: the [[libvirt]] of the configuration.
        domains: all domains of all hosts.
        defaults: the settings of consoles, as far as [[libvirt]] has none of its own.

    Attributes:
        connected: whether libvirt is reached.
        trouble: why libvirt is not reached.
        settings: the settings of its consoles.
        host: the connection to libvirt.
        threads: the threads that its consoles may keep waiting.
    """

    def __init__(self, config: LibvirtConfig, domains: Domains, defaults: ConsoleConfig) -> None:
        self.name = config.name
        self.prefix = config.prefix
        self.connected = False
        self.trouble = f"libvirt at {config.uri} has not been reached yet"
        self.settings = defaults.with_own(config.console)
        self.host = Host(config.name, config.uri, self)
        self.threads = HostThreads()
        self._patterns = config.domains
        self._domains = domains
        self._tasks = Tasks()

    @property
    def links(self) -> dict[str, bool]:
        """Whether the connection to libvirt is there, by the name of the host."""
        return {self.name: self.connected}

    def introduce(self, directory: Listing) -> None:
        """Do nothing. Which domains there are is only known when libvirt is connected; then `Domains` tells the
        directory."""

    def wants(self, domain: str) -> bool:
        """Return whether a domain of that name is to have consoles."""
        return any(fnmatchcase(domain, pattern) for pattern in self._patterns)

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Do nothing: `Domains` has the recordings adopt each console."""

    def configure(self, config: Config) -> None:
        """Give the host's domains, and those that come later, the settings that a configuration has for the host."""
        libvirt = config.libvirt(self.name)
        self.settings = config.console.with_own(libvirt.console if libvirt is not None else None)
        for guest in self._domains.of(self):
            guest.configure(self.settings)

    async def start(self) -> None:
        """Begin to connect. Raises `EnvironmentFault` if libvirt's library is missing."""
        await asyncio.to_thread(virt.load)
        self.host.start()

    async def stop(self, reason: str) -> None:
        """Tell everybody who is attached, and disconnect. The guests go on."""
        for guest in self._domains.of(self):
            for console in guest.consoles:
                console.close(reason)
        await self.host.stop()
        await self._tasks.stop()
        await self._domains.leave(self)

    # -- HostEvents ---------------------------------------------------------------------------------

    async def connected_to(self, domains: list[Domain]) -> None:
        self.connected = True
        await self._domains.heard(self, frozenset(domain.uuid for domain in domains))
        for domain in domains:
            await self._domains.saw(self, domain.uuid, domain)
            await asyncio.sleep(0)  # there may be thousands, and others need their turns

    async def seen(self, uuid: str, domain: Domain | None) -> None:
        await self._domains.saw(self, uuid, domain)

    def happened(self, uuid: str, what: str) -> None:
        guest = self._domains.find(self, uuid)
        if guest is not None:
            guest.happened(what)

    def lost(self, reason: str, retry_s: float | None) -> None:
        self.connected = False
        due = "" if retry_s is None else f"; the next attempt is in {retry_s:.1f} s"
        self.trouble = f"libvirt at {self.host.uri} is not connected: {reason}{due}"
        self._tasks.start(self._domains.lost(self), f"libvirt {self.host.uri} lost")


def _stream(name: str, source: Home, uuid: str, port: Port) -> Stream:
    if port.address:
        return ChardevStream(name, parse(port.address))
    return LibvirtStream(name, source.threads, source.host.uri, uuid, port.device)
