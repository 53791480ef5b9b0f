"""Shows one screen of prompt_toolkit's on a user's terminal, from its first drawing to its result."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from oobconsole import supervise
from oobconsole.session.tui.pace import pace
from oobconsole.session.tui.terminal import Keys, Terminal
from oobconsole.session.tui.typist import Screen, Typist
from oobconsole.terminal.restore import Lent

_REFRESH_SECONDS: Final = 1.0
#: The kind of screen that is shown.
Shown = TypeVar("Shown", bound=Screen)


class Showing:
    """Shows screens on one terminal.

    Args:
        terminal: the user's terminal.
        stopping: set when the server stops.
    """

    def __init__(self, terminal: Terminal, stopping: asyncio.Event) -> None:
        self._terminal = terminal
        self._stopping = stopping
        self._changed = asyncio.Event()

    def changed(self) -> None:
        """Have the screen drawn soon, because what it shows or the terminal's size has changed. Nothing is drawn for
        a client that does not read."""
        self._changed.set()

    async def show(self, make: Callable[[Keys], Shown]) -> tuple[Any, bytes]:
        """Show a screen until it ends.

        Args:
            make: makes the screen, which gets its keys from the argument.

        Returns the screen's result, and what was typed behind it. The result is None if the user hangs up or the
        server stops.
        """
        await pace().turn()
        keys = Keys()
        with pace().spending():
            screen = make(keys)
        await pace().turn()
        typing = Typist(self._terminal, keys, screen)
        result = None
        self._terminal.on_resize(self.changed)
        helpers = supervise.Tasks(supervise.PEERS)
        helpers.start(typing.run(), "what is typed at a menu")
        helpers.start(self._refresh(screen), "the refresh of a menu")
        helpers.start(self._quit(screen), "the end of a menu")
        try:
            # prompt_toolkit's own exception handler would replace that of the whole server.
            self._terminal.lend(_left)
            result = await screen.app.run_async(handle_sigint=False, set_exception_handler=False)
            self._terminal.lend(None)
        except EOFError:
            self._terminal.lend(None)  # the user hung up
        finally:
            self._terminal.on_resize(None)
            await helpers.stop()
            rest = typing.rest()
        return result, rest

    async def _quit(self, screen: Screen) -> None:
        await self._stopping.wait()
        screen.quit()

    async def _refresh(self, screen: Screen) -> None:
        while True:
            try:
                async with asyncio.timeout(_REFRESH_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                pass  # the screen is drawn all the same, because guests may have done something
            self._changed.clear()
            await self._terminal.drain()
            screen.app.invalidate()


def _left() -> bytes:
    """Return the bytes that give a terminal back if the screen cannot do so itself."""
    lent = Lent(filtered=True)
    lent.feed(b"\x1b[?1049h")
    return lent.restored()
