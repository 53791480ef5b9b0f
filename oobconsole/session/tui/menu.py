"""The menu of consoles that `ssh -t HOST` without a command shows: prompt_toolkit on the user's terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from prompt_toolkit.application import Application
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window

from oobconsole.session.tui.terminal import Keys, Terminal, output

#: A console, as the menu shows it: name, state, how many are attached, machine.
Row = tuple[str, str, int, str]

_TITLE: Final = "oobconsole: choose a console with the arrow keys, Enter attaches, q quits"
_REFRESH_SECONDS: Final = 1.0


class Menu:
    """One showing of the menu; `app.run_async` returns the chosen console's name, or None.

    Args:
        rows: gives the consoles as they are now, always in the same order.
    """

    def __init__(self, rows: Callable[[], list[Row]], keys: Keys, terminal: Terminal) -> None:
        self._rows = rows
        self._at = 0
        body = FormattedTextControl(self._text, focusable=True, show_cursor=False)
        self.app: Application[str | None] = Application(
            layout=Layout(HSplit([Window(FormattedTextControl(_TITLE), height=2, wrap_lines=True), Window(body)])),
            key_bindings=self._bindings(),
            full_screen=True,
            input=keys,
            output=output(terminal),
        )

    def quit(self) -> None:
        """End without a choice."""
        if self.app.is_running and self.app.future is not None and not self.app.future.done():
            self.app.exit(result=None)

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        actions: dict[Callable[[KeyPressEvent], None], tuple[str, ...]] = {
            lambda _: self._move(-1): ("up", "k"),
            lambda _: self._move(+1): ("down", "j"),
            lambda event: event.app.exit(result=self._rows()[self._at][0]): ("enter",),
            lambda _: self.quit(): ("q", "c-c", "c-d"),
        }
        for action, keys in actions.items():
            for key in keys:
                bindings.add(key)(action)
        return bindings

    def _move(self, by: int) -> None:
        self._at = min(max(0, self._at + by), len(self._rows()) - 1)

    def _text(self) -> StyleAndTextTuples:
        rows = self._rows()
        width = max(len(name) for name, *_ in rows)
        text: StyleAndTextTuples = []
        for i, (name, state, attached, machine) in enumerate(rows):
            if i == self._at:
                text.append(("[SetCursorPosition]", ""))  # what scrolling keeps in sight
            style = "reverse" if i == self._at else ""
            text.append((style, f"  {name:<{width}}  {state:<7}  {attached:>3} attached  {machine}  "))
            text.append(("", "\n"))
        return text


async def choose(terminal: Terminal, rows: Callable[[], list[Row]], stopping: asyncio.Event) -> str | None:
    """Show the menu; returns the chosen console's name, or None when the user quits or hangs up, or we stop."""
    keys = Keys()
    menu = Menu(rows, keys, terminal)
    terminal.on_resize(menu.app.invalidate)
    helpers = [
        asyncio.ensure_future(helper)
        for helper in (_type(terminal, keys, menu), _refresh(terminal, menu), _quit_when(stopping, menu))
    ]
    try:
        # Its own exception handler would take the whole server's place.
        return await menu.app.run_async(handle_sigint=False, set_exception_handler=False)
    except EOFError:
        return None
    finally:
        terminal.on_resize(None)
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)


async def _type(terminal: Terminal, keys: Keys, menu: Menu) -> None:
    data = b"begin"
    while data:
        await terminal.drain()  # whoever does not look at the answer does not get to ask for more
        data = await terminal.read()
        keys.feed(data)
    menu.quit()


async def _quit_when(stopping: asyncio.Event, menu: Menu) -> None:
    await stopping.wait()
    menu.quit()


async def _refresh(terminal: Terminal, menu: Menu) -> None:
    while True:
        await asyncio.sleep(_REFRESH_SECONDS)
        await terminal.drain()
        menu.app.invalidate()
