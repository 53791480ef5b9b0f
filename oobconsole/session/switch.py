"""Power as a user sees it: who does it, that it is known to everybody, and that it ends although its user left."""

from __future__ import annotations

import asyncio

from oobconsole.access import Principal
from oobconsole.console.console import Console
from oobconsole.events import Kind
from oobconsole.session.state import Consoles
from oobconsole.vm.power import Power, PowerAction, PowerError

_running: set[asyncio.Task[str]] = set()


async def switch(consoles: Consoles, console: Console, power: Power, action: PowerAction, who: Principal) -> str:
    """Do it; returns what was done. Whoever hangs up meanwhile does not interrupt it half-way.

    Raises:
        PowerError: it could not be done, and why.
    """
    task = asyncio.ensure_future(_switch(consoles, console, power, action, who))
    _running.add(task)
    task.add_done_callback(_ended)
    return await asyncio.shield(task)


def _ended(task: asyncio.Task[str]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # told by its event; whoever waited is told, too


async def _switch(consoles: Consoles, console: Console, power: Power, action: PowerAction, who: Principal) -> str:
    try:
        said = await power.do(action)
    except PowerError as error:
        consoles.events.emit(Kind.POWER, console.name, who, action=str(action), failed=str(error))
        raise
    consoles.events.emit(Kind.POWER, console.name, who, action=str(action), result=said)
    consoles.room(console).announce(f"{who.name}: {action} of {console.name}: {said}")
    return said
