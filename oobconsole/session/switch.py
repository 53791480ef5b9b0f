"""Switches a guest for a user: asks what is meant, tells everybody at the console, and finishes even if the user
leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from oobconsole import supervise
from oobconsole.access import Principal, Right
from oobconsole.console.console import Console
from oobconsole.events import Kind
from oobconsole.power.power import Power, PowerAction, PowerError
from oobconsole.session.prompt import Keys
from oobconsole.session.services import Services

_KEYS: Final = {b"r": PowerAction.RESET, b"n": PowerAction.NMI, b"f": PowerAction.OFF, b"o": PowerAction.ON}

_running: set[asyncio.Task[str]] = set()


async def ask(
    services: Services, console: Console, who: Principal, keys: Keys, say: Callable[[str], Awaitable[None]]
) -> str:
    """Ask a person what to do and whether it is meant, and do it.

    Returns what was done, which everybody at the console is told, too. Empty: nothing was done, and `say` has said
    why.
    """
    try:
        _switch_of(services, console, who)
        action = await _asked(console, keys)
        # A reload may have taken the right away while the user read, and the guest may have migrated.
        power = _switch_of(services, console, who)
    except PowerError as error:
        await say(str(error))
        return ""
    if action is None:
        await say("nothing was switched")
        return ""
    try:
        return f"{action} of {console.name}: {await switch(services, console, power, action, who)}"
    except PowerError as error:
        await say(f"{action} of {console.name} failed: {error}")
        return ""


def _switch_of(services: Services, console: Console, who: Principal) -> Power:
    """Return what switches the guest of the console now, for a user who may do so now.

    Raises:
        PowerError: the user has no right to it, or nothing is configured; the message says which.
    """
    power = services.directory.power_of(console)
    if not services.access.may(who, Right.POWER, console.name):
        services.events.emit(Kind.DENIED, console.name, who, right=str(Right.POWER))
        raise PowerError(f"you have no right to switch {console.name}")
    if power is None:
        raise PowerError(f"nothing is configured that could switch {console.name} (power = …, oobconsole.toml(5))")
    return power


async def _asked(console: Console, keys: Keys) -> PowerAction | None:
    """Ask what to do, and whether that is meant. Returns None if nothing is to be done."""
    action = _KEYS.get(await keys.ask(f"power of {console.name}: r reset, n NMI, f off, o on", b"rnfo"))
    if action is None or await keys.ask(f"{action} {console.name}? y does it", b"y", alone=True) != b"y":
        return None
    return action


async def switch(services: Services, console: Console, power: Power, action: PowerAction, who: Principal) -> str:
    """Do it, and return what was done, in words. A user who hangs up meanwhile does not interrupt it half-way.

    Raises:
        PowerError: it could not be done; the message says why.
    """
    task = asyncio.ensure_future(_switch(services, console, power, action, who))
    _running.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Task[str]) -> None:
    _running.discard(task)
    if not task.cancelled():
        error = task.exception()
        if error is not None and not isinstance(error, PowerError):  # a PowerError is told by its event already
            supervise.tell("power", error)


async def _switch(services: Services, console: Console, power: Power, action: PowerAction, who: Principal) -> str:
    try:
        said = await power.do(action)
    except PowerError as error:
        services.events.emit(Kind.POWER, console.name, who, action=str(action), failed=str(error))
        raise
    services.events.emit(Kind.POWER, console.name, who, action=str(action), result=said)
    services.seats.room(console).announce(f"{who.name}: {action} of {console.name}: {said}")
    return said
