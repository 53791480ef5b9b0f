"""Sessions as tasks: the command of somebody who has come in is run, logged, and answered with an exit status.

How somebody has come in (SSH over the network, the local socket) is not known here: whoever lets people in calls
`Sessions.begin` with the other end of the session.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol

import structlog

from oobconsole.access import Principal
from oobconsole.errors import HungUp
from oobconsole.log.log import USER_LINES, USERS_MAX, LogLimits
from oobconsole.session.commands import described, run
from oobconsole.session.request import ExitStatus, Peer
from oobconsole.session.services import Services
from oobconsole.session.tui.terminal import Terminal
from oobconsole.supervise import Tasks

log = structlog.get_logger(__name__)

_STOP_SECONDS: Final = 0.5  # for sessions to end by themselves, and for one to take the reason for its end


class Caller(Peer, Terminal, Protocol):
    """The other end of a session, and what its session tells it at last."""

    @property
    def command(self) -> str | None:
        """The command to run; None: the client asks for none, and gets the menu."""

    @property
    def garbled(self) -> bool:
        """Whether the command is not UTF-8, so that nobody knows what the client wants."""

    @property
    def has_terminal(self) -> bool:
        """Whether there is a terminal at the other end."""

    def exit(self, status: int) -> None:
        """Give the terminal back, and end the session with that exit status once all output is sent."""


class Sessions:
    """The sessions that run.

    Args:
        services: what the server gives to every session.

    Attributes:
        user_log: says whether one more line about a user may be written to the log.
    """

    def __init__(self, services: Services) -> None:
        self.user_log = LogLimits(USER_LINES, USERS_MAX)
        self._services = services
        self._running = Tasks()

    def begin(self, caller: Caller, who: Principal) -> None:
        """Begin a session, which does what the caller asks for."""
        verb = (caller.command or "menu").split(None, 1)[:1]
        self._running.start(self._run(caller, who), f"session of {who.name}: {' '.join(verb)[:20]}")

    async def stop(self) -> None:
        """Give the sessions a moment to end by themselves, and then break off the others."""
        await self._running.wait(_STOP_SECONDS)
        await self._running.stop()

    async def _run(self, caller: Caller, who: Principal) -> None:
        said = described(caller.command, self._services)
        context = log.bind(user=who.name, command=said, terminal=caller.has_terminal)
        is_logged = self.user_log.allows(who.name, user=who.name)
        if is_logged:
            context.info("session begins")
        status = ExitStatus.FAILED
        try:
            status = await self._do(caller, who)
        except HungUp:
            status = ExitStatus.OK  # the client hung up, which is its right
        except asyncio.CancelledError:
            await _say_why(caller)
            raise
        except Exception:
            context.exception("a session failed: a bug in oobconsole")
        finally:
            caller.exit(status)
            if is_logged:
                context.info("session ends", status=int(status))

    async def _do(self, caller: Caller, who: Principal) -> ExitStatus:
        if caller.garbled:
            await caller.tell("the command is no UTF-8: say it in this terminal's or script's UTF-8")
            return ExitStatus.USAGE
        terminal = caller if caller.has_terminal else None
        return await run(caller.command, caller, terminal, self._services, who)


async def _say_why(caller: Caller) -> None:
    """A session that does not end by itself when the server stops is broken off, and told why."""
    caller.give_back()
    with contextlib.suppress(HungUp, TimeoutError):
        async with asyncio.timeout(_STOP_SECONDS):
            await caller.tell("the console server stops")
