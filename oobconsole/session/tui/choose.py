"""One showing of the menu, from its first screen to the choice."""

from __future__ import annotations

import asyncio
from typing import Final

from oobconsole import supervise
from oobconsole.session.tui.catalogue import Catalogue
from oobconsole.session.tui.menu import Choice, Menu, Place
from oobconsole.session.tui.pace import pace
from oobconsole.session.tui.terminal import Keys, Terminal
from oobconsole.session.tui.typed import Typing
from oobconsole.terminal.restore import Lent

_REFRESH_SECONDS: Final = 1.0


async def choose(
    terminal: Terminal, catalogue: Catalogue, stopping: asyncio.Event, place: Place, note: str = ""
) -> tuple[Choice | None, bytes]:
    """Show the menu; returns the choice, or None when the user leaves or hangs up, or we stop; and what was typed
    behind it."""
    await pace().turn()
    keys = Keys()
    menu = Menu(catalogue, keys, terminal, place, note)
    typing = Typing(terminal, keys, menu)
    choice: Choice | None = None
    terminal.on_resize(menu.app.invalidate)
    helpers = supervise.Tasks(supervise.PEERS)
    helpers.start(typing.run(), "what is typed at a menu")
    helpers.start(_refresh(terminal, menu), "the refresh of a menu")
    helpers.start(_quit_when(stopping, menu), "the end of a menu")
    try:
        # Its own exception handler would take the whole server's place.
        terminal.lend(_left)
        choice = await menu.app.run_async(handle_sigint=False, set_exception_handler=False)
        terminal.lend(None)
    except EOFError:
        terminal.lend(None)  # the user hung up
    finally:
        terminal.on_resize(None)
        await helpers.stop()
        rest = typing.rest()
    return choice, rest


def _left() -> bytes:
    """What gives a terminal back when the menu does not get to do so itself."""
    lent = Lent(filtered=True)
    lent.feed(b"\x1b[?1049h")
    return lent.restored()


async def _quit_when(stopping: asyncio.Event, menu: Menu) -> None:
    await stopping.wait()
    menu.quit()


async def _refresh(terminal: Terminal, menu: Menu) -> None:
    while True:
        await asyncio.sleep(_REFRESH_SECONDS)
        await terminal.drain()
        menu.app.invalidate()
