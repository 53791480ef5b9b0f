"""The server as a whole: configuration in, guests and SSH up, a clean end on SIGTERM.

`serve` makes everything (`_Server`), starts it, waits for a signal, and stops it. Which guests there are is made in
`build.py`; what a reload changes stands in `reload.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from oobconsole import supervise
from oobconsole.alerts.alerts import Alerts
from oobconsole.app import build
from oobconsole.app.files import make_state_dir, write_ports
from oobconsole.app.fronts import KINDS, SSH
from oobconsole.app.reload import Reloader, part, services_take
from oobconsole.audit.chain import load_or_make_key
from oobconsole.audit.log import AuditLog
from oobconsole.audit.syslog import Syslog
from oobconsole.config.load import access_of
from oobconsole.config.schema import Config
from oobconsole.errors import OobError
from oobconsole.events import Events, Kind
from oobconsole.front.fronts import Fronts, prepare
from oobconsole.front.reception import Reception
from oobconsole.guests.directory import Directory
from oobconsole.guests.recorded import record
from oobconsole.log.log import close as close_log
from oobconsole.ops import notify
from oobconsole.ops.operation import Operation
from oobconsole.recording.recordings import Recordings
from oobconsole.session.run import Sessions
from oobconsole.session.seat import Seats
from oobconsole.session.services import Services
from oobconsole.session.view import Views
from oobconsole.ssh.kind import host_key
from oobconsole.ssh.local import AdminSocket
from oobconsole.supervise import Tasks
from oobconsole.vitals import Vitals

log = structlog.get_logger(__name__)

STOPPING = "the console server stops; the guest goes on"
#: How long a thread that computes keeps Python's lock while the event loop waits for it, in seconds. With Python's
#: own 5 ms, a guest's access waited 15 ms (99th percentile) while alerts were looked for in a flood; now 7 ms.
SWITCH_SECONDS: Final = 0.0005
#: How long the end of the server may take, in seconds, before it leaves what hangs. The parts that write files give
#: up by themselves after 5 s each. systemd waits longer (`TimeoutStopSec` in `docs/systemd/oobconsole.service`).
STOP_SECONDS: Final = 15.0
#: How long the audit log may take to write its last entries, in seconds; less if other parts have taken long.
AUDIT_SECONDS: Final = 5.0


async def serve(config: Config, file: Path) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads `file`, where `config` comes from, again.

    Raises:
        EnvironmentFault: something that the configuration names cannot be had.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    os.umask(0o077)  # sockets and files are ours alone, whatever makes them
    server = _Server(config, file)
    stop = asyncio.Event()
    _watch_signals(stop, server.reload)
    try:
        await server.start()
        await stop.wait()
        log.info("stopping")
    finally:
        _leave_in(STOP_SECONDS)
        await server.stop()


def _leave_in(seconds: float) -> None:
    """End the process after so many seconds if it has not ended by itself. On a file system that hangs, a thread may
    wait for ever, and Python waits for its threads."""

    def leave() -> None:
        time.sleep(seconds)
        log.error(
            "the server leaves, although a part of it has not ended: a file system, or a device, does not answer",
            seconds=seconds,
        )
        close_log()
        os._exit(1)

    supervise.thread(leave, name="the end of the server")


class _Server:
    """All parts of a server, made in the order in which they need each other.

    Raises:
        EnvironmentFault: something that the configuration names cannot be had.
    """

    def __init__(self, config: Config, file: Path) -> None:
        self._config = config
        self._events = Events()
        recording = config.recording
        recordings = Recordings(recording, config.recordings, self._events) if recording.enabled else None
        self._recordings = recordings
        directory = self._directory = Directory(self._events)
        build.directory_of(config, directory, recordings)
        make_state_dir(config.server.state_dir)
        self._audit = _open_audit(config, self._events)
        reloader = Reloader(file, config, self._events)
        self.reload = reloader.reload
        self._services = self._make_services(reloader)
        self._reception = Reception(Sessions(self._services), self._events)
        prepared = prepare(KINDS, config)
        self._fronts = Fronts(KINDS, prepared, self._reception, self._events)
        self._host_key = host_key(prepared.settings[SSH.name])
        self._admin: AdminSocket | None = None
        self._alerts = Alerts(config, self._events)
        self._operation = Operation(config, self._services)
        self._make_reloadable(reloader)

    def _make_services(self, reloader: Reloader) -> Services:
        """What sessions are given."""
        config, directory = self._config, self._directory
        access = access_of(config)
        return Services(
            directory,
            Seats(directory, access, self._events),
            Views(directory, access),
            access,
            self._events,
            Vitals(self._events, fronts=lambda: self._fronts.report()),
            tail_lines=config.server.tail_lines,
            drain_s=config.server.drain_ms / 1000,
            drain_max_s=config.server.drain_max_s,
            recordings=self._recordings,
            reload=reloader.reload,
            audit_head=lambda: self._audit.head,
        )

    def _make_reloadable(self, reloader: Reloader) -> None:
        reloader.add(part(partial(services_take, self._services)))
        reloader.add(part(self._alerts.configure))
        reloader.add(self._prepare_fronts)

    async def _prepare_fronts(self, config: Config) -> Callable[[], Awaitable[None]]:
        prepared = await asyncio.to_thread(self._fronts.prepare, config)
        return partial(self._fronts.apply, prepared)

    async def start(self) -> None:
        """Begin to serve. Raises `EnvironmentFault`."""
        state_dir = self._config.server.state_dir
        _watch_parts(asyncio.get_running_loop(), self._events)
        if self._recordings is not None:
            self._recordings.on_late(self._services.seats.offsets_changed)
            await record(self._directory, self._recordings)
        self._directory.on_appeared(lambda _, console: self._alerts.watch(console))
        await self._directory.start()
        set_apart_from_collections()  # while nobody is here yet who would have to wait for it
        addresses = await self._fronts.start()
        self._admin = AdminSocket(self._config.server.admin_socket, self._host_key, self._reception)
        metrics = await self._operation.start()
        write_ports(state_dir, "metrics_port", [metrics] if metrics else [])
        for kind, bound in addresses.items():
            write_ports(state_dir, f"{kind}_port", bound)
            log.info(f"listening on {' '.join(bound)}", front=kind)
        self._events.emit(Kind.SERVER_STARTED, version=version("oobconsole"))

    async def stop(self) -> None:
        """End whatever has begun; the guests go on."""
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await self._operation.stop()
        await self._services.stop(STOPPING)
        if self._recordings is not None:
            await self._recordings.stop()
        await asyncio.gather(self._alerts.stop(), self._stop_fronts())
        self._events.emit(Kind.SERVER_STOPPED)
        # Not in a thread: nobody is served any more, and each thread of the pool may wait for a disk that hangs.
        self._audit.close(min(AUDIT_SECONDS, max(1.0, begun + STOP_SECONDS - 2.0 - loop.time())))
        _log_head("audit log closed", self._audit)

    async def _stop_fronts(self) -> None:
        await self._reception.stop()
        if self._admin is not None:
            await self._admin.stop()
        await self._fronts.stop()


def set_apart_from_collections() -> None:
    """Let Python's garbage collector no longer look at what is there now, and most of which stays for ever.

    A full collection looks at every object and holds the event loop meanwhile: for 58 ms with an empty server, for
    150 ms with 1,000 consoles (one core of an AMD EPYC).
    """
    gc.collect()
    gc.freeze()


def _watch_signals(stop: asyncio.Event, reload: Callable[[], Coroutine[object, object, str]]) -> None:
    """SIGTERM and SIGINT stop the server; each SIGHUP begins a reload, and reloads wait for each other."""
    loop = asyncio.get_running_loop()
    running = Tasks()

    async def reload_now() -> None:
        with contextlib.suppress(OobError), notify.reloading():  # a fault is in the log already
            await reload()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: running.start(reload_now(), "reload"))


def _watch_parts(loop: asyncio.AbstractEventLoop, events: Events) -> None:
    """Whoever looks at events, `status` or the audit log learns of a part of the server that ended by an error."""

    def tell(part: str, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the log has it
            loop.call_soon_threadsafe(partial(events.emit, Kind.FAULT, part=part, reason=reason))

    supervise.listeners.append(tell)
    supervise.watch_loop(loop)


def _open_audit(config: Config, events: Events) -> AuditLog:
    """Open the audit log. From then on it keeps `events`."""
    loop = asyncio.get_running_loop()
    was_here = config.audit_key.is_file() and config.audit_key.stat().st_size > 0
    audit = AuditLog(
        config.audit_file,
        load_or_make_key(config.audit_key),
        rotate_bytes=config.audit.rotate_mib << 20,
        keep_bytes=config.audit.keep_mib << 20,
        syslog=Syslog() if config.audit.syslog else None,
        expected=was_here,
        trouble=lambda reason: loop.call_soon_threadsafe(partial(events.emit, Kind.AUDIT, problem=reason)),
    )
    events.add_sink(audit.put)
    _log_head("audit log opened", audit)
    return audit


def _log_head(event: str, audit: AuditLog) -> None:
    """Log the number and the hash of the last entry, so that the journal keeps an anchor for `audit verify
    --head`."""
    entries, head = audit.head
    log.info(event, entries=entries, head=head, key=audit.fingerprint)
