"""QEMU's monitor beside a console: state, power, NMI, break, and what happens to the machine (qemu.qmp)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from qemu.qmp import ExecInterruptedError, ExecuteError, QMPError

from oobconsole.errors import EnvironmentFault
from oobconsole.log.log import LogLimit
from oobconsole.net.dialer import LOCAL_MAX, Dialer
from oobconsole.net.looking import look as look_at
from oobconsole.power.power import PowerAction, PowerError
from oobconsole.power.qmpclient import Connection
from oobconsole.supervise import Tasks
from oobconsole.words import brief

log = structlog.get_logger(__name__)

#: How many seconds QEMU has for the answer to a command; then whoever gave the command gets an error.
ANSWER_SECONDS: Final = 10.0
#: After how many seconds a run state that could not be read is read again; an event makes it sooner.
AGAIN_SECONDS: Final = 10.0
#: How many lines a minute the log gets about one monitor.
LOG_LINES: Final = 10
#: QEMU's events (QMP reference, "Events") in words.
_EVENTS: Final = {
    "SHUTDOWN": "the guest is shut down",
    "POWERDOWN": "the guest is asked to switch off",
    "RESET": "the guest is reset",
    "STOP": "the guest is paused",
    "RESUME": "the guest goes on",
    "SUSPEND": "the guest sleeps",
    "WAKEUP": "the guest wakes up",
    "GUEST_PANICKED": "the guest's kernel has panicked",
    "GUEST_CRASHLOADED": "the guest's kernel has panicked, and its kernel for crashes writes a dump",
    "WATCHDOG": "the guest's watchdog has expired",
}


class Qmp:
    """The monitor of one QEMU. It is connected whenever that QEMU runs.

    Args:
        name: the console's name, for the log.
        path: the monitor's UNIX socket.

    Attributes:
        listeners: each is called with what happens to the machine, in words that are safe for terminals.
        state: QEMU's run state (`running`, `paused`, `shutdown`, …), empty while it is not known.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self.state = ""
        self.listeners: list[Callable[[str], object]] = []
        self._connection: Connection | None = None
        self._why = "it has not been reached yet"
        self._changed = asyncio.Event()
        self._started = False
        self._dialer = Dialer(self._connect, self._down, look=lambda: look_at(path), longest=LOCAL_MAX)
        self._limit = LogLimit(LOG_LINES)

    def start(self) -> None:
        """Begin to connect. A second call does nothing: each port of a guest calls it."""
        if not self._started:
            self._started = True
            self._dialer.start()

    async def stop(self) -> None:
        """Disconnect, and do not connect again. A second call does nothing."""
        await self._dialer.stop()

    async def execute(self, command: str, **arguments: object) -> Any:
        """Run a command of the monitor; returns what QEMU answers, which may be any JSON value.

        Raises:
            EnvironmentFault: the monitor is not connected, does not answer, or refuses.
        """
        connection = self._connection
        if connection is None or connection.is_ending:
            why = self._why if connection is None else "it has just ended"
            raise EnvironmentFault(f"{self.path}: QEMU's monitor is not connected: {why}")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await connection.execute(command, arguments or None)
        except TimeoutError as error:
            raise EnvironmentFault(f"{self.path}: QEMU did not answer {command} in {ANSWER_SECONDS:g} s") from error
        except ExecuteError as error:
            raise EnvironmentFault(f"QEMU refuses {command}: {brief(str(error))}") from error
        except ExecInterruptedError as error:
            lost = f"it ended before it had answered {command}"
            raise EnvironmentFault(f"{self.path}: QEMU's monitor was lost: {lost}") from error
        except QMPError as error:
            raise EnvironmentFault(f"{self.path}: QEMU's monitor was lost: {brief(str(error))}") from error

    async def run_state(self) -> str:
        """Ask QEMU for its run state, such as `running`. Raises `EnvironmentFault` as `execute` does."""
        answer = await self.execute("query-status")
        state = answer.get("status") if isinstance(answer, dict) else None
        if not isinstance(state, str):
            raise self._nonsense("query-status")
        return brief(state)

    async def send_break(self, line: str) -> None:
        """Send a break on the chardev whose address contains `line`.

        Raises:
            EnvironmentFault: this QEMU has no such chardev, or the monitor fails as in `execute`.
        """
        chardevs = await self.execute("query-chardev")
        try:
            label = next((chardev["label"] for chardev in chardevs if line in chardev["filename"]), None)
        except (KeyError, TypeError) as error:
            raise self._nonsense("query-chardev") from error
        if label is None:
            raise EnvironmentFault(f"{self.path}: this QEMU has no chardev at {line}")
        await self.execute("chardev-send-break", id=label)

    def _nonsense(self, command: str) -> EnvironmentFault:
        return EnvironmentFault(f"{self.path}: what QEMU answers to {command} cannot be understood")

    # -- the connection's life ----------------------------------------------------------------------

    async def _connect(self) -> str:
        connection = Connection(self.name, self._heard)
        try:
            await connection.begin(self.path)
            self._connection = connection
            bug = await self._stay(connection)
        finally:
            self._connection, self.state = None, ""
            reason = await connection.finish()
        return bug or reason

    async def _stay(self, connection: Connection) -> str:
        """Wait until the connection ends. Returns "", or what to say when reading the run state has ended, which is a
        bug."""
        tasks = Tasks()
        ended = tasks.start(connection.ended(), "monitor")
        reading = tasks.start(self._read_states(), "run state of monitors")
        try:
            await asyncio.wait((ended, reading), return_when=asyncio.FIRST_COMPLETED)
            return "its run state cannot be read; the server's log has more" if reading.done() else ""
        finally:
            await tasks.stop()

    async def _read_states(self) -> None:
        """Read the run state whenever it may have changed. Events are told without waiting for that answer."""
        self._changed.set()
        again: float | None = None
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(again):
                    await self._changed.wait()
            self._changed.clear()
            try:
                self.state, again = await self.run_state(), None
            except EnvironmentFault as fault:
                self.state, again = "", AGAIN_SECONDS
                if self._limit.allows(console=self.name):
                    log.info("run state is not known", console=self.name, reason=str(fault))

    def _heard(self, event: str, reason: str) -> None:
        if event in _EVENTS:
            what = _EVENTS[event] + (f" ({reason})" if reason else "")
            for listener in self.listeners:
                listener(what)
            self._changed.set()

    def _down(self, reason: str, retry_s: float | None) -> None:
        self._why = reason
        if self._dialer.news and self._limit.allows(console=self.name):
            log.info("monitor is not connected", console=self.name, monitor=str(self.path), reason=reason)


class QmpPower:
    """Switches a guest by QEMU's monitor.

    `off` asks the guest by ACPI, as its power button would. It does not end QEMU: that is for whoever started QEMU.
    """

    def __init__(self, monitor: Qmp) -> None:
        self._monitor = monitor

    async def do(self, action: PowerAction) -> str:
        try:
            return await self._do(action)
        except EnvironmentFault as error:
            raise PowerError(str(error)) from error

    async def _do(self, action: PowerAction) -> str:
        match action:
            case PowerAction.RESET:
                await self._monitor.execute("system_reset")
                return "the guest is reset"
            case PowerAction.NMI:
                await self._monitor.execute("inject-nmi")
                return "an NMI is injected"
            case PowerAction.OFF:
                await self._monitor.execute("system_powerdown")
                return "the guest is asked to switch off"
            case PowerAction.ON:
                state = await self._monitor.run_state()
                if state == "running":
                    return "the guest runs already"
                if state in ("shutdown", "internal-error", "guest-panicked"):
                    await self._monitor.execute("system_reset")
                await self._monitor.execute("cont")
                return "the guest goes on"
