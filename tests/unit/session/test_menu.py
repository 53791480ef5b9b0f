"""The menu, drawn on a terminal of pyte's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pyte
import pytest
from prompt_toolkit.keys import Keys as Key

from oobconsole.session.tui.menu import Row, choose
from oobconsole.session.tui.terminal import Keys
from tests.support.aio import idle, soon, stays, until

ROWS: list[Row] = [(f"web{i:02}", "live", i, "rack7") for i in range(40)]


class FakeTerminal:
    """A terminal that can be typed at, looked at, resized and stalled."""

    term = "xterm"

    def __init__(self, rows: int = 12, columns: int = 60) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.drawn = 0
        self.writable = asyncio.Event()
        self.writable.set()
        self._stream = pyte.Stream(self.screen)
        self._typed: asyncio.Queue[bytes] = asyncio.Queue()
        self._resized: Callable[[], object] | None = None

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.screen.display]

    @property
    def chosen(self) -> str:
        """The line in reverse."""
        marked = [y for y in range(self.screen.lines) if self.screen.buffer[y][2].reverse and self.lines[y].strip()]
        return self.lines[marked[0]].split()[0] if len(marked) == 1 else ""

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
        self._stream.feed(text)

    async def drain(self) -> None:
        await self.writable.wait()

    def on_resize(self, call: Callable[[], object] | None) -> None:
        self._resized = call


async def shown(terminal: FakeTerminal, text: str) -> None:
    await until(lambda: any(text in line for line in terminal.lines), lambda: terminal.lines)


class TestChoose:
    @pytest.mark.parametrize(
        ("typed", "chosen"),
        [
            (b"\r", "web00"),
            (b"\x1b[B\x1b[B\r", "web02"),
            (b"jjjk\r", "web02"),
            (b"k\r", "web00"),
            (b"\x1b[B" * 100 + b"\r", "web39"),
            (b"q", None),
            (b"\x03", None),
            (b"\x04", None),
            (b"", None),
        ],
    )
    async def test_keys(self, typed: bytes, chosen: str | None) -> None:
        terminal = FakeTerminal()
        task = asyncio.ensure_future(choose(terminal, lambda: ROWS, asyncio.Event()))
        await shown(terminal, "web00")
        terminal.type(typed)
        assert await soon(task) == chosen

    async def test_a_sequence_may_come_in_pieces(self) -> None:
        terminal = FakeTerminal()
        task = asyncio.ensure_future(choose(terminal, lambda: ROWS, asyncio.Event()))
        for byte in b"\x1b[B\r":
            terminal.type(bytes((byte,)))
        assert await soon(task) == "web01"

    async def test_shows_state_and_scrolls_to_the_choice(self) -> None:
        terminal = FakeTerminal()
        task = asyncio.ensure_future(choose(terminal, lambda: ROWS, asyncio.Event()))
        await shown(terminal, "web03  live       3 attached  rack7")
        assert terminal.chosen == "web00"
        terminal.type(b"j" * 30)
        await until(lambda: terminal.chosen == "web30", lambda: terminal.lines)
        terminal.type(b"q")
        await soon(task)

    async def test_redraws_for_another_size(self) -> None:
        terminal = FakeTerminal()
        task = asyncio.ensure_future(choose(terminal, lambda: ROWS, asyncio.Event()))
        await shown(terminal, "web00")
        terminal.resize(30, 100)
        await shown(terminal, "web25")
        terminal.type(b"q")
        await soon(task)

    async def test_shows_news_by_itself(self) -> None:
        terminal = FakeTerminal()
        rows: list[Row] = [("web1", "waiting", 0, "rack7")]
        task = asyncio.ensure_future(choose(terminal, lambda: rows, asyncio.Event()))
        await shown(terminal, "waiting")
        rows[0] = ("web1", "live", 2, "rack7")
        await shown(terminal, "live       2 attached")
        terminal.type(b"q")
        await soon(task)

    async def test_a_client_that_does_not_read_is_drawn_no_more(self) -> None:
        terminal = FakeTerminal()
        task = asyncio.ensure_future(choose(terminal, lambda: ROWS, asyncio.Event()))
        await shown(terminal, "web00")
        terminal.writable.clear()
        terminal.type(b"j")
        await until(lambda: terminal.chosen == "web01", lambda: terminal.lines)
        drawn = terminal.drawn
        for _ in range(100):
            terminal.type(b"j")
        await idle()
        assert terminal.drawn == drawn
        terminal.writable.set()
        await until(lambda: terminal.chosen == "web39", lambda: terminal.lines)
        terminal.type(b"q")
        await soon(task)

    async def test_ends_when_the_server_stops(self) -> None:
        terminal, stopping = FakeTerminal(), asyncio.Event()
        task = await stays(choose(terminal, lambda: ROWS, stopping))
        stopping.set()
        assert await soon(task) is None

    async def test_a_paste_without_an_end_ends_the_menu(self) -> None:
        terminal = FakeTerminal()
        task = await stays(choose(terminal, lambda: ROWS, asyncio.Event()))
        terminal.type(b"\x1b[200~" + b"x" * 100000)
        assert await soon(task) is None


class TestKeys:
    def test_utf8_in_pieces(self) -> None:
        keys = Keys()
        for byte in "é".encode():
            keys.feed(bytes((byte,)))
        assert [press.key for press in keys.read_keys()] == ["é"]

    def test_escape_alone_comes_with_a_flush(self) -> None:
        keys = Keys()
        keys.feed(b"\x1b")
        assert keys.read_keys() == []
        assert [press.key for press in keys.flush_keys()] == [Key.Escape]

    def test_the_end_closes(self) -> None:
        keys = Keys()
        keys.feed(b"a")
        assert not keys.closed
        keys.feed(b"")
        assert keys.closed
