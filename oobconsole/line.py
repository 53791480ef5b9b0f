"""One guest whose serial port somebody else emulates, or a real port: a stream wired to a console."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.recorder import Recorder
from oobconsole.errors import EnvironmentFault
from oobconsole.interceptors.stream import Stream
from oobconsole.settings import ConsoleConfig
from oobconsole.vm.qmp import Qmp


class Line:
    """A stream and its console.

    Args:
        name: of both.
        stream: brings the bytes.
        monitor: QEMU's, where there is one: it sends breaks, and says what happens to the machine.
        address: of the chardev, as the monitor knows it.
    """

    def __init__(
        self,
        name: str,
        stream: Stream,
        *,
        scrollback: int,
        settings: ConsoleConfig | None = None,
        monitor: Qmp | None = None,
        address: str = "",
    ) -> None:
        self.name = name
        self.stream = stream
        self.console = Console(name, scrollback=scrollback, settings=settings)
        self._monitor = monitor
        self._address = address
        self._breaks: set[asyncio.Task[None]] = set()
        if monitor is not None:
            monitor.happened = self._happened

    @property
    def consoles(self) -> list[Console]:
        """The one."""
        return [self.console]

    @property
    def connected(self) -> bool:
        """Is somebody at the other end?"""
        return self.console.state is ConsoleState.LIVE

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """A line that has a memory of its own goes on where its recording ends."""
        recorder = recorder_of(self.console.name)
        if recorder is not None:
            self.stream.recorded = recorder.bind

    async def start(self) -> None:
        """Begin to connect. Raises `EnvironmentFault`."""
        await self.stream.start(self)
        if self._monitor is not None:
            self._monitor.start()

    async def stop(self, reason: str) -> None:
        """Tell whoever is attached, and let the guest go on without us."""
        self.console.close(reason)
        if self._monitor is not None:
            await self._monitor.stop()
        await self.stream.stop()

    # -- StreamEvents -------------------------------------------------------------------------------

    def up(self, peer: str) -> None:
        self.console.set_state(ConsoleState.LIVE)
        by_monitor = None if self._monitor is None else self._monitor_break
        self.console.bind(self.stream.write, self.stream.send_break if self.stream.has_break else by_monitor)

    def down(self, reason: str, retry_s: float | None) -> None:
        self.console.bind(None)
        when = "" if retry_s is None else f"; the next attempt is in {retry_s:.1f} s"
        self.console.set_state(ConsoleState.FAULT, reason + when)

    def output(self, data: bytes) -> None:
        self.console.output(data)

    def gap(self, lost: int) -> None:
        self.console.gap(lost)

    def writable(self) -> None:
        self.console.pump()

    # -- the monitor --------------------------------------------------------------------------------

    def _happened(self, what: str) -> None:
        self.console.tell(f"{self.console.name}: {what}")

    def _monitor_break(self) -> bool:
        task = asyncio.get_running_loop().create_task(self._send_break())
        self._breaks.add(task)
        task.add_done_callback(self._breaks.discard)
        return True

    async def _send_break(self) -> None:
        assert self._monitor is not None
        try:
            await self._monitor.send_break(self._address)
        except EnvironmentFault as error:
            self.console.tell(f"{self.console.name}: no break was sent: {error}")
