"""The menu of consoles that `ssh HOST` without a command shows: prompt_toolkit on the user's terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TextIO, cast

from prompt_toolkit.application import Application, create_app_session
from prompt_toolkit.data_structures import Size
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import FormattedTextControl, HSplit, Layout, Window
from prompt_toolkit.output.vt100 import Vt100_Output

Row = tuple[str, str, int, str]

_REFRESH_SECONDS = 1.0


class Terminal(Protocol):
    """The user's terminal."""

    @property
    def term(self) -> str:
        """TERM."""

    def size(self) -> tuple[int, int]:
        """Rows and columns, now."""

    async def read(self) -> bytes:
        """Wait for keys; empty at the end."""

    def write_text(self, text: str) -> None:
        """Draw."""

    def on_resize(self, call: Callable[[], object] | None) -> None:
        """Say whom to call when the size changes."""


class _Screen:
    """The file that prompt_toolkit draws to."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def write(self, text: str) -> int:
        self._terminal.write_text(text)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return True


class _Menu:
    def __init__(self, rows: Callable[[], list[Row]]) -> None:
        self._rows = rows
        self._at = 0
        keys = KeyBindings()
        for names, handler in (
            (("up", "k"), self._up),
            (("down", "j"), self._down),
            (("enter",), self._enter),
            (("q", "c-c", "c-d"), self._quit),
        ):
            for name in names:
                keys.add(name)(handler)
        title = FormattedTextControl("oobconsole: choose a console with the arrow keys, Enter attaches, q quits")
        body = FormattedTextControl(self._text, focusable=True, show_cursor=False)
        self.app: Application[str | None] = Application(
            layout=Layout(HSplit([Window(title, height=2, wrap_lines=True), Window(body)])),
            key_bindings=keys,
            full_screen=True,
            refresh_interval=_REFRESH_SECONDS,
        )

    def _text(self) -> StyleAndTextTuples:
        lines: StyleAndTextTuples = []
        for i, (name, state, attached, machine) in enumerate(self._rows()):
            style = "reverse" if i == self._at else ""
            lines.append((style, f"  {name:<24} {state:<8} {attached:>3} attached   {machine}  "))
            lines.append(("", "\n"))
        return lines

    def _up(self, event: KeyPressEvent) -> None:
        self._at = max(0, self._at - 1)

    def _down(self, event: KeyPressEvent) -> None:
        self._at = min(len(self._rows()) - 1, self._at + 1)

    def _enter(self, event: KeyPressEvent) -> None:
        event.app.exit(result=self._rows()[self._at][0])

    def _quit(self, event: KeyPressEvent) -> None:
        event.app.exit(result=None)


async def _feed(terminal: Terminal, keys: PipeInput, ended: Callable[[], object]) -> None:
    while data := await terminal.read():
        keys.send_bytes(data)
    ended()


async def choose(terminal: Terminal, rows: Callable[[], list[Row]]) -> str | None:
    """Show the menu; returns the chosen console's name, or None when the user quits or hangs up."""

    def size() -> Size:
        lines, columns = terminal.size()
        return Size(rows=lines or 24, columns=columns or 80)

    with create_pipe_input() as keys:
        screen = cast(TextIO, _Screen(terminal))
        output = Vt100_Output(screen, size, term=terminal.term, enable_cpr=False)
        with create_app_session(input=keys, output=output):
            app = _Menu(rows).app

            def hang_up() -> None:
                if app.is_running:
                    app.exit(result=None)

            terminal.on_resize(app.invalidate)
            feeder: Awaitable[None] = asyncio.ensure_future(_feed(terminal, keys, hang_up))
            try:
                return await app.run_async(handle_sigint=False)
            finally:
                terminal.on_resize(None)
                cast("asyncio.Future[None]", feeder).cancel()
