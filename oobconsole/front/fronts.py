"""All fronts of a server: their listening sockets, their settings, and their processes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from oobconsole.config.schema import Config
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Events
from oobconsole.front.ends import BACKLOG
from oobconsole.front.kinds import Kind
from oobconsole.front.process import Process, begin
from oobconsole.front.reception import Lobby, Reception
from oobconsole.front.relay import Relay
from oobconsole.front.spare import Spare
from oobconsole.front.supervisor import Front, Given
from oobconsole.vitals import FrontReport


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that was read and found good, with the settings that each kind of front gets, by its name."""

    config: Config
    settings: Mapping[str, bytes]


def prepare(kinds: Sequence[Kind], config: Config, before: Mapping[str, bytes] | None = None) -> Prepared:
    """Read everything that `config` names for the fronts, and change nothing. It reads files, so it must be called in
    a thread beside the event loop.

    Args:
        before: the settings that the fronts have now, by the kind's name; None at the start.

    Raises:
        EnvironmentFault: a file cannot be used.
    """
    given = before or {}
    return Prepared(config, {kind.name: kind.prepare(config, given.get(kind.name)) for kind in kinds})


class Fronts:
    """All fronts of a server. Why do they not own their listening sockets? This class does, so that no connection
    attempt is refused while a front is started again.

    Args:
        kinds: the kinds of fronts that there are.
        prepared: the configuration and the settings that the first processes get.
    """

    def __init__(self, kinds: Sequence[Kind], prepared: Prepared, reception: Reception, events: Events) -> None:
        self._kinds = kinds
        self._prepared = prepared
        self._reception = reception
        self._events = events
        self._sockets: list[socket.socket] = []
        self._fronts: dict[str, Front] = {}
        self._spares: list[Spare] = []

    def prepare(self, config: Config) -> Prepared:
        """Read everything that another configuration names, as `prepare` does; what only a start reads is kept."""
        return prepare(self._kinds, config, self._prepared.settings)

    async def start(self) -> dict[str, list[str]]:
        """Listen, and wait until each front serves, or has ended once. Returns the addresses of each kind, with the
        real port where the configuration says 0.

        Raises:
            EnvironmentFault: it is not possible to listen on an address.
        """
        config = self._prepared.config
        bound = {}
        for kind in self._kinds:
            if addresses := kind.listen(config):
                listening, bound[kind.name] = await listen(addresses)
                self._sockets += listening
                spare = Spare(partial(self._begin, kind, listening))
                self._spares.append(spare)
                for number in range(1, config.front.workers + 1):
                    name = f"{kind.name} {number}"
                    self._fronts[name] = Front(name, kind, self._events, partial(self._given, kind), spare)
        await asyncio.gather(*(front.start() for front in self._fronts.values()))
        return bound

    async def _begin(self, kind: Kind, listening: Sequence[socket.socket]) -> Process:
        """Start a process that has no settings yet."""
        config = self._prepared.config
        most = kind.connections(config)
        relay = Relay(Lobby(self._reception, most), kind.keys(config))
        return await begin(kind.name, kind.module, relay, listening, config.front.user, most)

    def _given(self, kind: Kind) -> Given:
        return Given(self._prepared.config, self._prepared.settings[kind.name])

    async def apply(self, prepared: Prepared) -> None:
        """Serve by another configuration from now on. Returns when every front does so, or has ended."""
        self._prepared = prepared
        await asyncio.gather(*(front.settle() for front in self._fronts.values()))

    async def stop(self) -> None:
        """Accept no more clients, let those that are there leave, and end every process."""
        for sock in self._sockets:
            sock.close()
        await asyncio.gather(*(front.stop() for front in self._fronts.values()))
        await asyncio.gather(*(spare.stop() for spare in self._spares))

    def report(self) -> dict[str, FrontReport]:
        """Return the state of each front by its name, for `status` and the metrics."""
        return {
            name: {
                "state": front.state.value,
                "pid": front.pid,
                "begun_again": front.again,
                "reason": front.reason,
                "confined_by": [line[1:] for line in front.about if line.startswith("+")],
                "lacking": [line[1:] for line in front.about if not line.startswith("+")],
                "connections": front.connections,
                "sessions": front.sessions,
                "logins": front.counts.logins,
                "refused": front.counts.refused,
                "turned_away": front.counts.turned_away,
                "received_bytes": front.counts.received_bytes,
                "sent_bytes": front.counts.sent_bytes,
            }
            for name, front in self._fronts.items()
        }


async def listen(addresses: Sequence[str]) -> tuple[list[socket.socket], list[str]]:
    """Listen on each HOST:PORT. Returns the sockets, and the addresses with their real ports.

    Raises:
        EnvironmentFault: it is not possible to listen on one of them; then none is listened on.
    """
    listening: list[socket.socket] = []
    bound = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            made = await _listen(host.strip("[]"), int(port))
        except OSError as error:
            for sock in listening:
                sock.close()
            raise EnvironmentFault(f"cannot listen on {address}: {error.strerror}") from error
        listening += made
        bound.append(f"{host}:{made[0].getsockname()[1]}")
    return listening, bound


async def _listen(host: str, port: int) -> list[socket.socket]:
    """Listen on all addresses for which the name `host` stands."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    made: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            made.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(BACKLOG)
    except OSError:
        for sock in made:
            sock.close()
        raise
    return made
