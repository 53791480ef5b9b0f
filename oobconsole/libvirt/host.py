"""Follows a libvirt host: its domains, what happens to them, and switching them.

An event of libvirt's only says which domain to look at again. So an event that is missed, or comes too early, does no
harm. Source: https://libvirt.org/html/libvirt-libvirt-domain.html
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

import structlog

from oobconsole.libvirt import library as virt
from oobconsole.libvirt.domain import Domain, Port, host_of, ports_of
from oobconsole.libvirt.library import LibvirtFault
from oobconsole.log.log import LogLimit
from oobconsole.net.dialer import Dialer, Look
from oobconsole.net.looking import look as look_at
from oobconsole.power.power import PowerAction, PowerError

log = structlog.get_logger(__name__)

T = TypeVar("T")

#: How many seconds libvirt has to open a connection.
CONNECT_SECONDS: Final = 15.0
#: After how many seconds of silence libvirtd is asked, and how many questions without an answer end the connection.
KEEPALIVE_SECONDS: Final = 5
KEEPALIVE_COUNT: Final = 3
#: How many seconds switching a guest may take. libvirt itself gives a busy domain 30 s (QEMU_JOB_WAIT_TIME).
POWER_SECONDS: Final = 60.0
#: How many lines a minute the log gets about the connection to one host.
LOG_LINES: Final = 10

#: Words for each virDomainState, in its order.
_STATES: Final = ("no state", "running", "running", "paused", "shutting down", "shut off", "crashed", "asleep")
_SHUT_OFF: Final = 5
_RUNNING: Final = frozenset({1, 2, 4})
_OFF_WHY: Final = {  # virDomainShutoffReason
    1: "it was shut down",
    2: "it was destroyed",
    3: "it crashed",
    4: "it migrated to another host",
    5: "it was saved",
    6: "it could not be started",
    7: "it was loaded from a snapshot that was not running",
    8: "libvirt lost it",
}
_NO_DOMAIN: Final = 42  # VIR_ERR_NO_DOMAIN
_NO_SUPPORT: Final = 3  # VIR_ERR_NO_SUPPORT
#: virDomainEventType in words. The detail of an event is told only if it changes the meaning.
_LIFE: Final = {
    2: "the guest is started",
    3: "the guest is paused",
    4: "the guest goes on",
    6: "the guest is shut down",
    7: "the guest sleeps",
    8: "the guest has crashed",
}
_LIFE_DETAIL: Final = {
    (2, 1): "the guest has arrived here by migration",
    (2, 2): "the guest is restored",
    (3, 1): "the guest is paused, to migrate",
    (3, 2): "the guest is paused by an I/O error",
    (3, 3): "the guest is paused by its watchdog",
    (4, 1): "the guest goes on, after its migration",
    (8, 0): "the guest's kernel has panicked",
}


class HostEvents(Protocol):
    """What a host tells whoever follows its domains."""

    async def connected_to(self, domains: list[Domain]) -> None:
        """libvirt is connected; `domains` are all domains that it has."""

    async def seen(self, uuid: str, domain: Domain | None) -> None:
        """A domain was looked at; None: there is no domain with that UUID any more."""

    def happened(self, uuid: str, what: str) -> None:
        """Something happened to a domain that people at its consoles are to be told, in words."""

    def lost(self, reason: str, retry_s: float | None) -> None:
        """libvirt is not connected, for that reason; the next attempt is in `retry_s` seconds. None: nobody knows."""


def sockets_of(uri: str) -> Look | None:
    """Return a function for `Dialer` that looks at the sockets of a libvirt daemon on this host; None: it is another
    host's.

    What is this for? A daemon whose socket appears is connected to at once. The daemon is tried now and then all the
    same: libvirt may know other sockets, and may start a daemon by itself. Source: https://libvirt.org/uri.html and
    daemons.html.
    """
    parts = urlsplit(uri)
    driver, _, transport = parts.scheme.partition("+")
    named = parse_qs(parts.query).get("socket")
    if parts.netloc or transport not in ("", "unix") or driver == "test":
        return None
    if named:
        paths = named[:1]
    elif parts.path == "/session":
        runtime = os.environ.get("XDG_RUNTIME_DIR") or f"{Path.home()}/.cache"
        paths = [f"{runtime}/libvirt/{name}-sock" for name in ("libvirt", f"virt{driver}d")]
    else:
        paths = [f"/run/libvirt/{name}-sock" for name in ("libvirt", f"virt{driver}d")]

    async def look() -> object:
        return tuple([await look_at(path) for path in paths])

    return look


class Host:
    """One connection to libvirt, which is made again whenever it is lost.

    Args:
        name: the name of the source, for the log.
        uri: where libvirt is (https://libvirt.org/uri.html).
        events: told of the domains.
    """

    def __init__(self, name: str, uri: str, events: HostEvents) -> None:
        self.name = name
        self.uri = uri
        self._events = events
        self._dialer = Dialer(self._connect, self._down, look=sockets_of(uri))
        self._connection: Any = None
        self._opening: asyncio.Future[Any] | None = None
        self._why = "it has not been reached yet"
        self._due: dict[str, None] = {}  # the UUIDs of the domains to look at, in order
        self._wake = asyncio.Event()
        self._limit = LogLimit(LOG_LINES)

    def start(self) -> None:
        """Begin to connect."""
        self._dialer.start()

    async def stop(self) -> None:
        """Disconnect, and do not connect again. A second call does nothing."""
        await self._dialer.stop()

    def look(self, uuid: str) -> None:
        """Have a domain looked at, soon; `HostEvents.seen` tells the result."""
        self._due[uuid] = None
        self._wake.set()

    async def switch(self, uuid: str, act: Callable[[Any, Any], str]) -> str:
        """Call `act` with libvirt and a domain, in a thread.

        Raises:
            PowerError: it could not be done; the message says why.
        """
        connection = self._connection
        if connection is None:
            raise PowerError(f"libvirt at {self.uri} is not connected: {self._why}")
        try:
            async with asyncio.timeout(POWER_SECONDS):
                return await virt.begin(lambda: act(virt.load(), connection.lookupByUUIDString(uuid)), self.name)
        except TimeoutError as error:
            raise PowerError(f"libvirt at {self.uri} did not do it in {POWER_SECONDS:g} s") from error
        except LibvirtFault as error:
            raise PowerError(f"libvirt refuses: {error}") from error

    # -- the connection's life ----------------------------------------------------------------------

    async def _connect(self) -> str:
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[str] = loop.create_future()
        connection = await self._open()
        try:
            await virt.begin(lambda: _register(connection, loop, self, ended), self.name)
            domains = await virt.begin(lambda: _all(connection, host_of(self.uri)), self.name)
            self._connection = connection
            log.info("libvirt connected", host=self.name, uri=self.uri, domains=len(domains))
            await self._events.connected_to(domains)
            looking = asyncio.ensure_future(self._look_on(connection))
            try:
                await asyncio.wait((looking, ended), return_when=asyncio.FIRST_COMPLETED)
                return await (ended if ended.done() else looking)
            finally:
                looking.cancel()
                await asyncio.gather(looking, return_exceptions=True)
        finally:
            self._connection = None
            virt.begin(connection.close, self.name).add_done_callback(_closed)

    async def _open(self) -> Any:
        """Open a connection. A libvirtd that hangs keeps one thread waiting, not one for each attempt."""
        if self._opening is None:
            uri = self.uri
            self._opening = virt.begin(lambda: virt.load().open(uri), self.name)
        done, _ = await asyncio.wait((self._opening,), timeout=CONNECT_SECONDS)
        if not done:
            raise OSError(f"it has not answered in {CONNECT_SECONDS:g} s")
        opened, self._opening = self._opening, None
        return opened.result()

    async def _look_on(self, connection: Any) -> str:
        """Look at domains that are due, until the connection is lost. Returns why it was lost."""
        host = host_of(self.uri)
        while True:
            await self._wake.wait()
            while self._due:
                uuid = next(iter(self._due))
                del self._due[uuid]
                try:
                    domain = await virt.begin(partial(_one, connection, uuid, host), self.name)
                except LibvirtFault as error:
                    if not await virt.begin(connection.isAlive, self.name):
                        return f"it was lost: {error}"
                    log.warning("libvirt cannot show a domain", host=self.name, domain=uuid, reason=str(error))
                    continue
                await self._events.seen(uuid, domain)
            self._wake.clear()

    def event(self, uuid: str, what: str) -> None:
        """Note that something has happened to a domain. `what` says it in words; empty: nobody needs to be told."""
        if what:
            self._events.happened(uuid, what)
        self.look(uuid)

    def _down(self, reason: str, retry_s: float | None) -> None:
        self._why = reason
        self._due.clear()
        if self._limit.allows(host=self.name):
            log.warning("libvirt is not connected", host=self.name, uri=self.uri, reason=reason)
        self._events.lost(reason, retry_s)


def _closed(closing: asyncio.Future[int]) -> None:
    if not closing.cancelled() and (error := closing.exception()) is not None:
        log.debug("libvirt connection closed", reason=str(error))


# -- in threads -------------------------------------------------------------------------------------


def _register(connection: Any, loop: asyncio.AbstractEventLoop, host: Host, ended: asyncio.Future[str]) -> None:
    """Have `host` told of everything that happens, on its event loop."""
    library = virt.load()

    def tell(domain: Any, what: str) -> None:
        virt.post(loop, host.event, domain.UUIDString(), what)

    def life(_: Any, domain: Any, event: int, detail: int, __: object) -> None:
        tell(domain, _LIFE_DETAIL.get((event, detail), _LIFE.get(event, "")))

    def end(reason: int) -> None:
        if not ended.done():
            ended.set_result(_CLOSED.get(reason, "libvirt closed the connection"))

    def on(event: int, call: Callable[..., None]) -> None:
        connection.domainEventRegisterAny(None, event, call, None)

    try:
        virt.attempt(lambda: connection.setKeepAlive(KEEPALIVE_SECONDS, KEEPALIVE_COUNT))
        virt.attempt(
            lambda: connection.registerCloseCallback(lambda _, reason, __: virt.post(loop, end, reason), None)
        )
    except LibvirtFault as error:
        if error.code != _NO_SUPPORT:  # a driver in this process has no connection that could be lost
            raise
    on(library.VIR_DOMAIN_EVENT_ID_LIFECYCLE, life)
    on(library.VIR_DOMAIN_EVENT_ID_REBOOT, lambda _, domain, __: tell(domain, "the guest is reset"))
    on(library.VIR_DOMAIN_EVENT_ID_WATCHDOG, lambda _, d, *__: tell(d, "the guest's watchdog has expired"))


#: virConnectCloseReason
_CLOSED: Final = {
    0: "the connection failed",
    1: "libvirtd closed the connection",
    2: f"libvirtd has not answered for {KEEPALIVE_SECONDS * (KEEPALIVE_COUNT + 1)} s",
}


def _all(connection: Any, host: str) -> list[Domain]:
    found = (_read(connection, domain, host) for domain in connection.listAllDomains())
    return [domain for domain in found if domain is not None]


def _one(connection: Any, uuid: str, host: str) -> Domain | None:
    try:
        domain = virt.attempt(lambda: connection.lookupByUUIDString(uuid))
    except LibvirtFault as error:
        if error.code == _NO_DOMAIN:
            return None
        raise
    return _read(connection, domain, host)


def _read(connection: Any, domain: Any, host: str) -> Domain | None:
    """Ask libvirt what a domain is now; None: it has gone meanwhile."""
    try:
        active = bool(virt.attempt(domain.isActive))
        state, why = virt.attempt(domain.state)  # asked second: a domain that is off by now is off for good
        active = active and state != _SHUT_OFF
        xml = virt.attempt(lambda: domain.XMLDesc(0))
    except LibvirtFault as error:
        if error.code == _NO_DOMAIN:
            return None
        if not connection.isAlive():
            raise
        trouble = Port("serial0", trouble=f"libvirt cannot show the domain: {error}")
        return Domain(domain.UUIDString(), domain.name(), -1, True, False, "unknown", (trouble,))
    try:
        ports = ports_of(xml, host)
    except ValueError as error:
        ports = (Port("serial0", trouble=str(error)),)
    words = _STATES[state] if state < len(_STATES) else f"state {state}"
    if not active and why in _OFF_WHY:
        words = f"{words}: {_OFF_WHY[why]}"
    return Domain(domain.UUIDString(), domain.name(), _run(domain), active, state in _RUNNING, words, ports)


def _run(domain: Any) -> int:
    """Return libvirt's ID of the domain's present run; -1: it had none when it was looked up."""
    try:
        return int(virt.attempt(domain.ID))
    except LibvirtFault:
        return -1


# -- power ------------------------------------------------------------------------------------------


def _reset(library: Any, domain: Any) -> str:
    domain.reset(0)
    return "the guest is reset"


def _nmi(library: Any, domain: Any) -> str:
    domain.injectNMI(0)
    return "an NMI is injected"


def _off(library: Any, domain: Any) -> str:
    domain.shutdown()
    return "the guest is asked to switch off"


def _on(library: Any, domain: Any) -> str:
    state, _ = domain.state()
    if state == library.VIR_DOMAIN_PAUSED:
        domain.resume()
        return "the guest goes on"
    if state == library.VIR_DOMAIN_PMSUSPENDED:
        domain.pMWakeup(0)
        return "the guest is woken up"
    if domain.isActive():
        return "the guest runs already"
    domain.create()
    return "the guest is started"


ACTIONS: Final[dict[PowerAction, Callable[[Any, Any], str]]] = {
    PowerAction.RESET: _reset,
    PowerAction.NMI: _nmi,
    PowerAction.OFF: _off,
    PowerAction.ON: _on,
}
