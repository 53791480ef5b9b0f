"""One showing of the menu, from its first screen to the choice."""

from __future__ import annotations

import asyncio

from oobconsole import supervise
from oobconsole.session.tui.catalogue import Catalogue
from oobconsole.session.tui.menu import Choice, Menu, Place
from oobconsole.session.tui.showing import Showing
from oobconsole.session.tui.terminal import Terminal


async def choose(
    terminal: Terminal, catalogue: Catalogue, stopping: asyncio.Event, place: Place, note: str = ""
) -> tuple[Choice | None, bytes]:
    """Show the menu; returns the choice, or None when the user leaves or hangs up, or we stop; and what was typed
    behind it."""
    showing = Showing(terminal, stopping)
    await catalogue.refresh()
    helpers = supervise.Tasks()
    helpers.forever(lambda: catalogue.look(showing.changed), "what a menu looks up")
    try:
        return await showing.show(lambda keys: Menu(catalogue, keys, terminal, place, note))
    finally:
        await helpers.stop()
