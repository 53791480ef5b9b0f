"""The server as a whole: configuration in, machines and SSH up, a clean end on SIGTERM."""

from __future__ import annotations

import asyncio
import signal

import structlog

from oobconsole.config import Config
from oobconsole.errors import EnvironmentFault
from oobconsole.interceptors import registry
from oobconsole.machine import Machine
from oobconsole.session.state import Consoles
from oobconsole.ssh import hostkeys
from oobconsole.ssh.server import SshServer

log = structlog.get_logger(__name__)

STOPPING = "the console server stops; the guest goes on"


async def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        EnvironmentFault: something that the configuration names cannot be had.
    """
    server = config.server
    scrollback = server.scrollback_kib * 1024
    machines = [Machine(m, registry.make(config, m), scrollback=scrollback) for m in config.machines]
    consoles = Consoles(
        machines,
        tail=scrollback,
        tail_lines=server.tail_lines,
        drain_s=server.drain_ms / 1000,
        drain_max_s=server.drain_max_s,
    )
    try:
        server.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{server.state_dir}: cannot be used as state_dir: {error.strerror}") from error
    ssh = SshServer(server, hostkeys.load_or_make(server.host_key or server.state_dir / "host_key"), consoles)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        for machine in machines:
            await machine.start()
        port = await ssh.start()
        (server.state_dir / "ssh_port").write_text(f"{port}\n")
        log.info("listening", address=server.listen.rpartition(":")[0], port=port)
        await stop.wait()
        log.info("stopping")
    finally:
        for machine in machines:
            await machine.stop(STOPPING)
        await ssh.stop()
