"""The keeper: a process that is the device, and outlives the server (`python -m ….keeper JSON`).

Why is this a process of its own? QEMU aborts when the process of its device ends. So the keeper does nothing but be
the device. It has no log, because nobody may be there to read the log: it tells servers that attach what there is to
say. If it dies of a bug, its last words are in a file beside its control socket. It ends when it has neither a client
nor a server.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import secrets
import selectors
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from oobconsole.devices.bus import Slot
from oobconsole.errors import EnvironmentFault
from oobconsole.net.unixsocket import UnixSocket
from oobconsole.vfio_user import link
from oobconsole.vfio_user.attached import Attached
from oobconsole.vfio_user.client import Client
from oobconsole.vfio_user.device import Device
from oobconsole.vfio_user.door import Door
from oobconsole.vfio_user.intx import Intx
from oobconsole.vfio_user.pci import CARDS
from oobconsole.vfio_user.port import Port

#: After how many seconds without a client and a server the keeper ends. Until then, a server that is restarted finds
#: the keeper again, and a VM that is started meanwhile finds its device.
LINGER_S: Final = 10.0
#: After how many seconds a client is accepted again when one was at fault: the first time, and at most.
RETRY_FIRST: Final = 0.2
RETRY_MAX: Final = 30.0
#: A connection that lasted so many seconds was a good one: the next delay is short again.
GOOD_S: Final = 5.0
_JITTER: Final = 0.2
#: How many servers may be attached at once: one for each port, and those that are being replaced.
SERVERS_MAX: Final = 16
READY: Final = "ready"
#: How many bytes of last words are kept, of all keepers of this card; beyond that, the file begins anew.
LAST_WORDS_MAX: Final = 65536


class Settings(NamedTuple):
    """What the keeper is told to be.

    Attributes:
        socket: the path at which the VMM connects.
        control: the path at which servers connect.
        bar: where the card has its registers: "io" or "memory".
        ports: how many UARTs the card has.
    """

    socket: str
    control: str
    bar: str
    ports: int


class Keeper:
    """The device, its client and its servers.

    Args:
        settings: what the keeper is told to be.

    Raises:
        EnvironmentFault: one of its sockets cannot be made.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listener = UnixSocket(Path(settings.socket))
        try:
            self._control = UnixSocket(Path(settings.control))
        except EnvironmentFault:
            self._listener.close()
            raise
        self._selector = selectors.DefaultSelector()
        self._intx = Intx(self._watch_unmask)
        card = CARDS[settings.bar, settings.ports]
        self._device = Device(card, self._intx, self._device_failed)
        self._ports = [Port(slot) for slot in self._device.bus.slots]
        self._instance = secrets.randbits(63) | 1
        self._client: Client | None = None
        self._client_since = 0.0
        self._servers: set[Attached] = set()
        self._writing: set[Attached] = set()
        self._unmask: int | None = None
        self._reason = f"no VMM has connected to {settings.socket} yet"
        self._delay = RETRY_FIRST
        self._alone_since: float | None = time.monotonic()
        self._ended = False
        self._front_door = Door(self._selector, self._listener.socket, self._accept_client)
        self._back_door = Door(self._selector, self._control.socket, self._accept_server)

    def run(self) -> None:
        """Serve the device until nobody is there any more, or `stop` is called."""
        while not self._ended:
            for key, events in self._selector.select(self._timeout()):
                self._dispatch(key, events)
            self._turn()
        self.close()

    def stop(self) -> None:
        """Make `run` end soon."""
        self._ended = True

    def close(self) -> None:
        """Close every socket and descriptor."""
        self._listener.close()
        self._control.close()
        for server in self._servers:
            server.close()
        if self._client is not None:
            self._client.close()
        self._selector.close()

    # -- the loop -----------------------------------------------------------------------------------

    def _on(self, what: Any, call: Callable[[], object]) -> None:
        self._selector.register(what, selectors.EVENT_READ, call)

    def _dispatch(self, key: selectors.SelectorKey, events: int) -> None:
        if isinstance(key.fileobj, Attached):
            if key.fileobj.closed:
                return
            if events & selectors.EVENT_WRITE:
                key.fileobj.flush()
            if not events & selectors.EVENT_READ:
                return
        key.data()

    def _deadlines(self) -> Iterator[float]:
        """Yield the times at which something is due, by `time.monotonic`."""
        if (due := self._device.bus.next_deadline()) is not None:
            yield due / 1e9
        for door in (self._front_door, self._back_door):
            if door.opens_at is not None:
                yield door.opens_at
        if self._alone_since is not None:
            yield self._alone_since + LINGER_S
        if self._client is not None and (deadline := self._client.deadline()) is not None:
            yield deadline

    def _timeout(self) -> float | None:
        if self._client is not None and self._client.awake:
            return 0
        soonest = min(self._deadlines(), default=None)
        return None if soonest is None else max(0.0, soonest - time.monotonic())

    def _turn(self) -> None:
        """Do everything that is due, after whatever has happened."""
        now = time.monotonic()
        self._device.bus.poll()
        if self._client is not None:
            self._serve_client(self._client, now)
        self._back_door.open_if_due(now)
        if self._front_door.open_if_due(now):
            self._say(self._reason)
        self._pass_on()
        for server in [server for server in self._servers if server.closed]:
            self._remove(server)
        self._look_around(now)

    def _look_around(self, now: float) -> None:
        if self._client is not None or self._servers:
            self._alone_since = None
        elif self._alone_since is None:
            self._alone_since = now
        elif now - self._alone_since >= LINGER_S:
            self._ended = True

    # -- the client ---------------------------------------------------------------------------------

    def _accept_client(self) -> None:
        sock = self._front_door.accept()
        if sock is None:
            return
        if self._client is not None:
            sock.close()  # a second VMM's vCPUs would wait for answers that never come
            return
        self._device.reset()
        self._client = Client(sock, self._device, self._pass_on)
        self._client_since = time.monotonic()
        self._on(self._client, lambda: None)

    def _serve_client(self, client: Client, now: float) -> None:
        was_up = client.negotiated
        client.serve()
        deadline = client.deadline()
        if not client.fault and deadline is not None and now >= deadline:
            client.expire()
        if client.fault:
            self._client_ended(client)
        elif client.negotiated and not was_up:
            self._say(client.peer)

    def _client_ended(self, client: Client) -> None:
        self._selector.unregister(client)
        client.close()
        self._client = None
        for port in self._ports:
            port.forget_input()
            port.reset()
        if client.gone:
            self._delay = RETRY_FIRST
            self._say(f"the VMM is gone: {client.fault}")
            return
        if time.monotonic() - self._client_since >= GOOD_S and client.negotiated:
            self._delay = RETRY_FIRST
        wait = self._delay * random.uniform(1 - _JITTER, 1 + _JITTER)
        self._delay = min(RETRY_MAX, self._delay * 2)
        self._front_door.shut(wait)
        self._say(f"the VMM is at fault: {client.fault}")

    def _device_failed(self, _: Slot, error: Exception) -> None:
        """A UART has raised an exception, which is a bug of ours. Its guest reads all ones, and goes on."""
        sys.excepthook(type(error), error, error.__traceback__)
        told = last_words(self._settings.control)
        self._say(f"{self._reason}; but its UART has failed, a bug in oobconsole that {told} tells more of")

    def _watch_unmask(self, fd: int | None) -> None:
        if self._unmask is not None:
            self._selector.unregister(self._unmask)
        self._unmask = fd
        if fd is not None:
            self._on(fd, self._intx.unmasked_by_eventfd)

    # -- the servers --------------------------------------------------------------------------------

    def _accept_server(self) -> None:
        sock = self._back_door.accept()
        if sock is None:
            return
        if len(self._servers) >= SERVERS_MAX:
            sock.close()
            return
        hello = {
            "version": link.VERSION,
            "instance": self._instance,
            "pid": os.getpid(),
            "device": [self._settings.socket, self._settings.bar, self._settings.ports],
            "busy": self._client is not None,
            "breaks": True,
        }
        server = Attached(sock, self, hello)
        self._servers.add(server)
        self._on(server, server.readable)

    # as the servers' owner

    def port_for(self, server: Attached, number: int) -> Port | None:
        """Give the port to the newest server. The server before may have been killed, and nobody may know yet that it
        is dead."""
        if not 0 <= number < len(self._ports):
            return None
        for other in self._servers:
            if other is not server and other.port is self._ports[number]:
                other.closed = True
        return self._ports[number]

    def not_needed(self) -> None:
        """End, unless a client is connected, because then QEMU would abort."""
        if self._client is None:
            self._ended = True

    def state(self) -> dict[str, Any]:
        """Return what a STATE frame says: `up`, `reason`, and in how many seconds a client is accepted again
        (`retry_s`)."""
        up = self._client is not None and self._client.negotiated
        opens_at = self._front_door.opens_at
        wait = None if opens_at is None else max(0.0, opens_at - time.monotonic())
        return {"up": up, "reason": self._reason, "retry_s": wait}

    def _remove(self, server: Attached) -> None:
        self._servers.discard(server)
        self._writing.discard(server)
        self._selector.unregister(server)
        server.close()

    def _pass_on(self) -> None:
        """Send the servers what is new. The loop watches the servers whose sockets have not taken all of it."""
        for server in self._servers:
            if server.closed:
                continue
            server.flush()
            if server.wants_write != (server in self._writing) and not server.closed:
                events = selectors.EVENT_READ | (selectors.EVENT_WRITE if server.wants_write else 0)
                self._selector.modify(server, events, server.readable)
                (self._writing.add if server.wants_write else self._writing.discard)(server)

    def _say(self, reason: str) -> None:
        """Tell all servers the state of the device, behind its output so far."""
        self._pass_on()
        self._reason = reason
        for server in self._servers:
            if server.port is not None and not server.closed:
                server.state(self.state())


def main(argument: str) -> int:
    """Be the keeper, as nobody's child. Prints READY when the sockets are there, or else why they are not.

    Args:
        argument: `Settings` as JSON.

    Returns the exit status.
    """
    settings = Settings(**json.loads(argument))
    if os.fork():
        return 0
    os.umask(0o077)
    os.chdir("/")
    try:
        keeper = Keeper(settings)
    except EnvironmentFault as error:
        print(error, flush=True)
        return 1
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # these signals are meant for the server
    signal.signal(signal.SIGTERM, lambda *_: keeper.stop())
    print(READY, flush=True)
    _leave_terminal(last_words(settings.control))
    keeper.run()
    return 0


def last_words(control: str) -> Path:
    """Return the path of the file in which a keeper that died of a bug says why."""
    return Path(f"{control}.log")


def _leave_terminal(log: Path) -> None:
    """Replace the standard streams that the keeper was started with, so that it holds nobody's terminal or pipe open.
    Standard error becomes the file of last words."""
    for fds, path in (((0, 1), Path(os.devnull)), ((2,), log)):
        opened = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        for fd in fds:
            os.dup2(opened, fd)
        os.close(opened)
    if os.fstat(2).st_size > LAST_WORDS_MAX:
        os.ftruncate(2, 0)
    faulthandler.enable()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
