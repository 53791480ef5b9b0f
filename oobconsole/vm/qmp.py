"""QEMU's monitor beside a console: state, power, NMI, break, and what happens to the machine (qemu.qmp)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import structlog
from qemu.qmp import ExecuteError, QMPClient, QMPError, Runstate
from qemu.qmp.message import Message

from oobconsole.dialer import Dialer
from oobconsole.errors import EnvironmentFault
from oobconsole.log import LogLimit
from oobconsole.vm.power import PowerAction, PowerError

log = structlog.get_logger(__name__)

#: A monitor answers at once, or somebody else is connected to it: it serves one at a time.
ANSWER_SECONDS: Final = 10.0
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
    "WATCHDOG": "the guest's watchdog has expired",
}


class Qmp:
    """One monitor, connected whenever QEMU is there.

    Args:
        name: the console's, for the log.
        path: of its UNIX socket.
        happened: is told in words what happens to the machine.

    Attributes:
        happened: as given.
        state: QEMU's run state (`running`, `paused`, `shutdown`, …), empty while it is not connected.
    """

    def __init__(self, name: str, path: Path, happened: Callable[[str], object] = lambda _: None) -> None:
        self.name = name
        self.path = path
        self.state = ""
        self.happened = happened
        self._client: QMPClient | None = None
        self._why = "it has not been reached yet"
        self._dialer = Dialer(self._connect, self._down)
        self._limit = LogLimit(LOG_LINES)

    def start(self) -> None:
        """Begin to connect."""
        self._dialer.start()

    async def stop(self) -> None:
        """Disconnect. Idempotent."""
        await self._dialer.stop()

    async def execute(self, command: str, **arguments: object) -> Any:
        """Run a monitor command; returns its answer.

        Raises:
            EnvironmentFault: the monitor is not connected, does not answer, or refuses.
        """
        if self._client is None:
            raise EnvironmentFault(f"{self.path}: QEMU's monitor is not connected: {self._why}")
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._client.execute(command, arguments or None)
        except TimeoutError as error:
            raise EnvironmentFault(f"{self.path}: QEMU did not answer {command} in {ANSWER_SECONDS:g} s") from error
        except ExecuteError as error:
            raise EnvironmentFault(f"QEMU refuses {command}: {error}") from error
        except QMPError as error:
            raise EnvironmentFault(f"{self.path}: QEMU's monitor was lost: {_words(error)}") from error

    async def send_break(self, line: str) -> None:
        """Send a break on the chardev whose address contains `line`.

        Raises:
            EnvironmentFault: there is no such chardev, or it could not be done.
        """
        for chardev in await self.execute("query-chardev"):
            if line in chardev["filename"]:
                await self.execute("chardev-send-break", id=chardev["label"])
                return
        raise EnvironmentFault(f"{self.path}: this QEMU has no chardev at {line}")

    # -- the connection's life ----------------------------------------------------------------------

    async def _connect(self) -> str:
        client = QMPClient(self.name)
        client.logger.disabled = True  # what matters is said below, once
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await client.connect(str(self.path))
            with client.listener() as events:
                self._client = client
                self.state = (await self.execute("query-status"))["status"]
                watch = asyncio.ensure_future(self._watch(events))
                try:
                    while await client.runstate_changed() is not Runstate.IDLE:
                        if client.runstate is Runstate.DISCONNECTING:
                            break
                finally:
                    watch.cancel()
            return "QEMU closed it"
        except TimeoutError as error:
            raise OSError("it says nothing: somebody else may be connected to it") from error
        except (QMPError, EnvironmentFault, KeyError, TypeError) as error:
            raise OSError(f"it is no QEMU monitor that can be used: {_words(error)}") from error
        finally:
            self._client, self.state = None, ""
            await _quietly(client.disconnect())

    async def _watch(self, events: Any) -> None:
        async for event in events:
            await self._event(event)

    async def _event(self, event: Message) -> None:
        name = str(event["event"])
        if name in _EVENTS:
            data = event.get("data")
            reason = data.get("reason", "") if isinstance(data, dict) else ""
            self.happened(_EVENTS[name] + (f" ({reason})" if reason else ""))
            self.state = (await self.execute("query-status"))["status"]

    def _down(self, reason: str, retry_s: float) -> None:
        self._why = reason
        if self._limit.allows(console=self.name):
            log.info("monitor is not connected", console=self.name, monitor=str(self.path), reason=reason)


class QmpPower:
    """Switches a guest by QEMU's monitor.

    `off` asks the guest (ACPI), as its power button would: QEMU itself ends only with its owner.
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
                state = (await self._monitor.execute("query-status"))["status"]
                if state == "running":
                    return "the guest runs already"
                if state in ("shutdown", "internal-error", "guest-panicked"):
                    await self._monitor.execute("system_reset")
                await self._monitor.execute("cont")
                return "the guest goes on"


def _words(error: BaseException) -> str:
    cause = error.__cause__ or getattr(error, "exc", None)
    return str(cause or error) or type(error).__name__


async def _quietly(what: Any) -> None:
    """A disconnection tells once more what ended the connection."""
    try:
        await what
    except (QMPError, OSError, EOFError) as error:
        log.debug("monitor disconnected", reason=str(error))
