"""A guest whose serial ports are emulated by another program, or a real port. Each port is a stream with a console.

A `Wire` is a console and the stream that brings its bytes. A `Line` is a wire that is configured, and keeps its
stream while the server runs. `Lines` are all lines of one guest, and the source of that guest (`Source`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial

from oobconsole.config.guests import ConsoleConfig
from oobconsole.config.schema import Config
from oobconsole.console.console import Break, Console, ConsoleState
from oobconsole.errors import EnvironmentFault, LineFault
from oobconsole.guests.guest import Guest, Listing
from oobconsole.lines.base import Stream
from oobconsole.power.power import Power
from oobconsole.power.qmp import Qmp
from oobconsole.recording.recorder import Recorder


class Wire:
    """A console, and the stream that brings its bytes (`StreamEvents`).

    Attributes:
        stream: the stream; None: there is none now.
    """

    def __init__(self, console: Console, stream: Stream | None = None) -> None:
        self.console = console
        self.stream = stream
        self._left: float | None = None  # when the last connection ended, by `time.monotonic`; None: there was none
        console.on_take(lambda: self.stream is not None and self.stream.take())

    def up(self, peer: str) -> None:
        self.console.set_state(ConsoleState.LIVE, self._unseen())
        if self.stream is not None:
            self.console.bind(self.stream.write, self._break_of(self.stream), self.stream.hold)

    def _unseen(self) -> str:
        """Return a sentence about output that is missing, because the stream does not keep it while nobody is
        connected. How much is missing is unknown. Empty: the stream keeps its output."""
        if self.stream is None or self.stream.keeps_output:
            return ""
        if self._left is None:
            return "connected; what the guest printed before, if it ran, is not here"
        seconds = time.monotonic() - self._left
        return f"connected again after {seconds:.1f} s; what the guest printed meanwhile is not here"

    def _break_of(self, stream: Stream) -> Break | None:
        return stream.send_break if stream.has_break else None

    def down(self, reason: str, retry_s: float | None) -> None:
        if self.console.state is ConsoleState.LIVE:
            self._left = time.monotonic()
        self.console.bind(None)
        when = "" if retry_s is None else f"; the next attempt is in {retry_s:.1f} s"
        self.console.set_state(ConsoleState.FAULT, reason + when)

    def output(self, data: bytes) -> None:
        self.console.output(data)

    def gap(self, lost: int) -> None:
        self.console.gap(lost)

    def writable(self) -> None:
        self.console.pump()


class Line(Wire):
    """A configured line: a stream and its console.

    Args:
        name: the name of the line and of the console.
        stream: brings the bytes.
        monitor: the monitor of the guest's QEMU, if it has one. It is the same for all ports of the guest, and can
            send breaks.
        address: the chardev's address as the monitor knows it; empty: the monitor does not know this line.
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
        super().__init__(Console(name, scrollback=scrollback, settings=settings), stream)
        self.name = name
        self._line = stream
        self._monitor = monitor
        self._address = address

    @property
    def connected(self) -> bool:
        """Whether the other end of the line is there."""
        return self.console.state is ConsoleState.LIVE

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records the console. If the line itself keeps output, it goes on where the recording ends."""
        recorder = recorder_of(self.console.name)
        if recorder is None:
            return
        if self._line.recorded is None and self._line.position is not None:  # it begins late
            recorder.adopt(*self._line.position)
        self._line.recorded = recorder.bind

    async def start(self) -> None:
        """Begin to connect. Raises `EnvironmentFault`."""
        await self._line.start(self)

    async def stop(self) -> None:
        """Disconnect. The guest goes on without the server."""
        await self._line.stop()

    # -- the monitor --------------------------------------------------------------------------------

    def _break_of(self, stream: Stream) -> Break | None:
        """Return what sends a break: the line itself if it can, else the monitor of the guest's QEMU if it knows the
        line, else None."""
        own = super()._break_of(stream)
        if own is not None or self._monitor is None or not self._address:
            return own
        return partial(_monitor_break, self._monitor, self._address)


async def _monitor_break(monitor: Qmp, address: str) -> None:
    try:
        await monitor.send_break(address)
    except EnvironmentFault as error:
        raise LineFault(str(error)) from error


class Lines:
    """All lines of one guest (`guests.guest.Source`). The guest has the name of its first line.

    Args:
        lines: one for each port.
        monitor: the monitor of the guest's QEMU, if it has one. It reports what happens to the guest, which is told
            at every console of the guest.
        power: what can switch the guest on and off.
    """

    def __init__(
        self,
        name: str,
        lines: Sequence[Line],
        *,
        settings: ConsoleConfig,
        monitor: Qmp | None = None,
        power: Power | None = None,
    ) -> None:
        self.name = name
        self._lines = lines
        self._monitor = monitor
        consoles = [line.console for line in lines]
        self._guest = Guest(name, self, settings=settings, power=power, consoles=consoles)
        if monitor is not None:
            monitor.listeners.append(self._guest.happened)

    @property
    def links(self) -> dict[str, bool]:
        """For the name of each line: whether its other end is there."""
        return {line.name: line.connected for line in self._lines}

    def introduce(self, directory: Listing) -> None:
        """Add the guest to the directory."""
        directory.appeared(self._guest)

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records each console, by its name."""
        for line in self._lines:
            line.record(recorder_of)

    def configure(self, config: Config) -> None:
        """Give the guest the settings that a configuration has for it."""
        vm = config.vm(self.name)
        self._guest.configure(config.console.with_own(vm.console if vm is not None else None))

    async def start(self) -> None:
        """Begin to connect. Raises `EnvironmentFault`."""
        for line in self._lines:
            await line.start()
        if self._monitor is not None:
            self._monitor.start()

    async def stop(self, reason: str) -> None:
        """Tell the people who are attached why, and disconnect. The guest goes on without the server."""
        for line in self._lines:
            line.console.close(reason)
        if self._monitor is not None:
            await self._monitor.stop()
        for line in self._lines:
            await line.stop()
