"""A menu, and a terminal of pyte's that it is drawn on."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pyte

from oobconsole.access import Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.session.breaks import Break
from oobconsole.session.services import Services
from oobconsole.session.tui.catalogue import Catalogue
from oobconsole.session.tui.choose import choose
from oobconsole.session.tui.menu import Choice, Place
from oobconsole.terminal.model import Terminal
from tests.support.aio import idle, soon, until
from tests.unit.session.fakes import ALICE, consoles

MANY = [f"web{i:02}" for i in range(40)]


class FakeTerminal:
    """A terminal that can be typed at, looked at, resized and stalled."""

    term = "xterm"
    client = ""

    def __init__(self, rows: int = 12, columns: int = 80) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.drawn = 0
        self.sent = ""
        self.writable = asyncio.Event()
        self.writable.set()
        self.broken = False
        self._stream = pyte.Stream(self.screen)
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._resized: Callable[[], object] | None = None

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def marked(self) -> str:
        """The console in the line that is marked."""
        marked = [line[2:].split()[0] for line in self.lines if line.startswith(">")]
        return marked[0] if len(marked) == 1 else ""

    def type(self, data: bytes) -> None:
        self._typed.put_nowait(data)

    def resize(self, rows: int, columns: int) -> None:
        self.screen.resize(rows, columns)
        assert self._resized is not None
        self._resized()

    def size(self) -> tuple[int, int]:
        return self.screen.lines, self.screen.columns

    async def read(self) -> bytes:
        return await self._typed.get()

    def draw(self, text: str) -> None:
        self.drawn += len(text)
        self.sent += text
        self._stream.feed(text)

    async def drain(self) -> None:
        await self.writable.wait()
        if self.broken:
            raise BrokenPipeError

    def lend(self, restored: Callable[[], bytes] | None) -> None:
        """Do nothing: the terminal is looked at only while the menu is shown."""

    def give_back(self) -> None:
        """Do nothing: nothing was lent."""

    async def break_wanted(self) -> Break:
        never: asyncio.Future[Break] = asyncio.get_running_loop().create_future()
        return await never

    def forget_breaks(self) -> int:
        return 0

    def on_resize(self, call: Callable[[], object] | None) -> None:
        self._resized = call


class ModelTerminal(FakeTerminal):
    """A terminal of our own model, which knows more scripts than pyte's."""

    def __init__(self) -> None:
        super().__init__()
        self._model = Terminal(*self.size())

    @property
    def lines(self) -> list[str]:
        return self._model.text

    def draw(self, text: str) -> None:
        self._model.feed(text.encode())


async def shown(terminal: FakeTerminal, text: str) -> None:
    await seen(terminal, re.escape(text))


async def seen(terminal: FakeTerminal, pattern: str) -> None:
    await until(lambda: any(re.search(pattern, line) for line in terminal.lines), lambda: terminal.lines)


def begin(
    terminal: FakeTerminal,
    settings: Services | None = None,
    *,
    who: Principal = ALICE,
    place: Place | None = None,
    note: str = "",
) -> asyncio.Future[Choice | None]:
    """Show the menu. Returns the choice, when it is made."""
    settings = settings or consoles(*MANY)

    async def chosen() -> Choice | None:
        shown = choose(terminal, Catalogue(settings, who), settings.stopping, place or Place(), note)
        return (await shown)[0]

    return asyncio.ensure_future(chosen())


async def of_a_client_that_does_not_read() -> tuple[FakeTerminal, asyncio.Future[Choice | None]]:
    """Return a terminal with a menu on which a change by a key is not drawn yet, because the client does not read."""
    terminal = FakeTerminal()
    task = begin(terminal)
    await shown(terminal, "web00")
    await idle()  # it waits for keys
    terminal.writable.clear()
    terminal.type(b"\x1b[B")
    await until(lambda: terminal.marked == "web01", lambda: terminal.lines)
    return terminal, task


async def leave(terminal: FakeTerminal, task: asyncio.Future[Choice | None]) -> None:
    terminal.type(b"\x03")
    assert await soon(task) is None


def printed(settings: Services, name: str, data: bytes) -> Console:
    """Make a guest print something."""
    console = settings.directory.find(name)
    assert console is not None
    console.set_state(ConsoleState.LIVE)
    console.output(data)
    return console
