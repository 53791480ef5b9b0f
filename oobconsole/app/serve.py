"""The server as a whole: configuration in, machines and SSH up, a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import stat
import sys
from collections.abc import Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import structlog

from oobconsole import supervise
from oobconsole.alerts.alerts import Alerts
from oobconsole.app import registry
from oobconsole.app.reload import Reloader
from oobconsole.audit.chain import load_or_make_key
from oobconsole.audit.log import AuditLog
from oobconsole.audit.syslog import Syslog
from oobconsole.config.load import access_of
from oobconsole.config.schema import Config
from oobconsole.errors import EnvironmentFault, OobError
from oobconsole.events import Events, Kind
from oobconsole.guests.line import Line
from oobconsole.guests.nested import Machine
from oobconsole.libvirt.guests import Domains, DomainSource
from oobconsole.ops import notify
from oobconsole.ops.operation import Operation
from oobconsole.power.power import CommandPower, Power
from oobconsole.power.qmp import Qmp, QmpPower
from oobconsole.recording.recordings import Recordings
from oobconsole.session.state import Consoles, Source
from oobconsole.ssh import hostkeys
from oobconsole.ssh.admin import AdminSocket
from oobconsole.ssh.server import SshServer
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

STOPPING = "the console server stops; the guest goes on"
#: How long a thread that computes keeps Python's lock while the event loop waits for it, in seconds. With Python's
#: own 5 ms, a guest's access waited 15 ms (99th percentile) while alerts were looked for in a flood; now 7 ms.
SWITCH_SECONDS: Final = 0.0005


async def serve(config: Config, file: Path) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads `file`, where `config` comes from, again.

    Raises:
        EnvironmentFault: something that the configuration names cannot be had.
    """
    settings = config.server
    sys.setswitchinterval(SWITCH_SECONDS)
    os.umask(0o077)  # sockets and files are ours alone, whatever makes them
    monitors = {vm.name: Qmp(vm.name, vm.qmp) for vm in config.vms if vm.qmp is not None}
    domains = Domains(settings.scrollback_kib * 1024)
    hosts = [DomainSource(libvirt, domains, config.console) for libvirt in config.libvirts]
    machines = [*_sources(config, monitors), *hosts]
    events = Events()
    recordings = Recordings(config.recording, config.recordings, events) if config.recording.enabled else None
    consoles = Consoles(
        machines,
        access_of(config),
        events,
        tail_lines=settings.tail_lines,
        drain_s=settings.drain_ms / 1000,
        drain_max_s=settings.drain_max_s,
        power=_power(config, monitors),
        recordings=recordings,
    )
    domains.keeper = consoles
    _make_state_dir(settings.state_dir)
    audit = _open_audit(config, consoles.events)
    ssh = SshServer(settings, hostkeys.load_or_make(settings.host_key_file), consoles)
    admin: AdminSocket | None = None
    alerts = Alerts(config, consoles.events)
    consoles.newcomers.append(alerts.watch)
    consoles.reload = Reloader(file, config, consoles, ssh, alerts.configure).reload
    consoles.audit_head = lambda: audit.head
    operation = Operation(config, consoles)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    _watch_parts(loop, consoles.events)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, _Reloads(consoles).begin)
    try:
        await consoles.start()
        set_apart_from_collections()  # while nobody is here yet who would have to wait for it
        addresses = await ssh.start()
        admin = AdminSocket(settings.admin_socket, ssh)
        metrics = await operation.start()
        _write_ports(settings.state_dir, "metrics_port", [metrics] if metrics else [])
        _write_ports(settings.state_dir, "ssh_port", addresses)
        log.info(f"listening on {' '.join(addresses)}")
        consoles.events.emit(Kind.SERVER_STARTED, version=version("oobconsole"))
        await stop.wait()
        log.info("stopping")
    finally:
        await operation.stop()
        await consoles.stop(STOPPING)
        await alerts.stop()
        if admin is not None:
            await admin.stop()
        await ssh.stop()
        consoles.events.emit(Kind.SERVER_STOPPED)
        await asyncio.to_thread(audit.close)
        _log_head("audit log closed", audit)


def set_apart_from_collections() -> None:
    """Let Python's garbage collector no longer look at what is there now, and most of which stays for ever.

    A full collection looks at every object and holds the event loop meanwhile: for 58 ms with an empty server, for
    150 ms with 1,000 consoles (one core of an AMD EPYC).
    """
    gc.collect()
    gc.freeze()


def _watch_parts(loop: asyncio.AbstractEventLoop, events: Events) -> None:
    """Whoever looks at events, `status` or the audit log learns of a part of the server that ended by an error."""

    def tell(part: str, reason: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the log has it
            loop.call_soon_threadsafe(partial(events.emit, Kind.FAULT, part=part, reason=reason))

    supervise.listeners.append(tell)
    supervise.watch_loop(loop)


class _Reloads:
    """Begins one on each SIGHUP; they wait for each other."""

    def __init__(self, consoles: Consoles) -> None:
        self._consoles = consoles
        self._running = Tasks()

    def begin(self) -> None:
        self._running.start(self._reload(), "reload")

    async def _reload(self) -> None:
        assert self._consoles.reload is not None
        with contextlib.suppress(OobError), notify.reloading():  # a fault is in the log already
            await self._consoles.reload(None)


def _open_audit(config: Config, events: Events) -> AuditLog:
    """From now on `events` are audited."""
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
    """The journal keeps it: an anchor for `audit verify --head`."""
    entries, head = audit.head
    log.info(event, entries=entries, head=head, key=audit.fingerprint)


def _sources(config: Config, monitors: Mapping[str, Qmp]) -> list[Source]:
    """Where consoles come from."""
    scrollback, defaults = config.server.scrollback_kib * 1024, config.console
    sources: list[Source] = [
        Machine(machine, registry.make(config, machine), scrollback=scrollback, defaults=defaults)
        for machine in config.machines
    ]
    sources += [
        Line(
            name,
            stream,
            scrollback=scrollback,
            settings=defaults.with_own(vm.console),
            monitor=monitors.get(vm.name),
            address=(vm.chardev or "").partition(":")[2],
        )
        for vm in config.vms
        for name, stream in zip(vm.console_names, registry.make_lines(config, vm), strict=True)
    ]
    return sources


def _power(config: Config, monitors: Mapping[str, Qmp]) -> dict[str, Power]:
    """What switches guests, by the names of their consoles."""
    guests = [guest for machine in config.machines for guest in machine.guests]
    by_hook: dict[str, Power] = {
        name: CommandPower(guest.name, guest.power)
        for guest in guests
        if guest.power is not None
        for name in guest.console_names
    }
    for vm in config.vms:
        monitor = monitors.get(vm.name)
        if monitor is not None:
            by_hook |= dict.fromkeys(vm.console_names, QmpPower(monitor))
        elif vm.power is not None:
            by_hook |= dict.fromkeys(vm.console_names, CommandPower(vm.name, vm.power))
    return by_hook


def _make_state_dir(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = folder.stat().st_mode
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be used as state_dir: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o022:
        raise EnvironmentFault(f"{folder}: others may write into the server's state_dir; chmod 700 it")


def _write_ports(folder: Path, name: str, addresses: list[str]) -> None:
    """Say which ports `listen` with port 0 got, one a line: whoever starts us may wait for the file.
    A full disk is no reason not to serve; then there is no file, rather than an old one."""
    file = folder / name
    fresh = folder / f"{name}.new"
    try:
        for former in (file, fresh):  # whatever lies there: a FIFO would be waited for
            former.unlink(missing_ok=True)
        with fresh.open("x") as opened:
            opened.write("".join(f"{address.rpartition(':')[2]}\n" for address in addresses))
        fresh.replace(file)
    except OSError as error:
        log.error("cannot say which ports are served", file=str(file), reason=error.strerror)
