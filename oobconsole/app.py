"""The server as a whole: configuration in, machines and SSH up, a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import structlog

from oobconsole.config import access_of
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Events
from oobconsole.interceptors import registry
from oobconsole.line import Line
from oobconsole.machine import Machine
from oobconsole.session.state import Consoles, Source
from oobconsole.settings import Config
from oobconsole.ssh import hostkeys
from oobconsole.ssh.server import SshServer

log = structlog.get_logger(__name__)

STOPPING = "the console server stops; the guest goes on"


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        EnvironmentFault: something that the configuration names cannot be had.
    """
    settings = config.server
    scrollback, defaults = settings.scrollback_kib * 1024, config.console
    machines: list[Source] = [
        Machine(machine, registry.make(config, machine), scrollback=scrollback, defaults=defaults)
        for machine in config.machines
    ]
    for vm in config.vms:
        own = defaults.with_own(vm.console)
        machines.append(Line(vm.name, vm.kind, registry.make_line(vm), scrollback=scrollback, settings=own))
    consoles = Consoles(
        machines,
        access_of(config),
        Events(),
        tail_lines=settings.tail_lines,
        drain_s=settings.drain_ms / 1000,
        drain_max_s=settings.drain_max_s,
    )
    _make_state_dir(settings.state_dir)
    ssh = SshServer(settings, hostkeys.load_or_make(settings.host_key_file), consoles)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        for machine in machines:
            await machine.start()
        addresses = await ssh.start()
        _write_ports(settings.state_dir, addresses)
        log.info(f"listening on {' '.join(addresses)}")
        await stop.wait()
        log.info("stopping")
    finally:
        await consoles.stop(STOPPING)
        await ssh.stop()


def _make_state_dir(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{folder}: cannot be used as state_dir: {error.strerror}") from error


def _write_ports(folder: Path, addresses: list[str]) -> None:
    """Say which ports `listen` with port 0 got, one a line: whoever starts us may wait for the file."""
    file = folder / "ssh_port"
    fresh = folder / "ssh_port.new"
    try:
        fresh.write_text("".join(f"{address.rpartition(':')[2]}\n" for address in addresses))
        fresh.replace(file)
    except OSError as error:
        raise EnvironmentFault(f"{file}: cannot be written: {error.strerror}") from error
