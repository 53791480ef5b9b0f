"""Shows the menu once, from its first drawing to the choice."""

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
    """Show the menu.

    Args:
        terminal: the user's terminal.
        catalogue: the consoles of this user.
        stopping: set when the server stops.
        place: where the menu begins; it follows the user.
        note: what is shown until the first key.

    Returns the choice, and what was typed behind it. The choice is None if the user leaves or hangs up, or if the
    server stops.
    """
    showing = Showing(terminal, stopping)
    await catalogue.refresh()
    helpers = supervise.Tasks()
    helpers.forever(lambda: catalogue.look(showing.changed), "what a menu looks up")
    try:
        return await showing.show(lambda keys: Menu(catalogue, keys, terminal, place, note))
    finally:
        await helpers.stop()
