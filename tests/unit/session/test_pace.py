"""Ten menus at once: who is drawn when."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from oobconsole.session.tui import pace as paces
from oobconsole.session.tui.pace import REST, PacedApplication, pace
from oobconsole.session.tui.terminal import output
from tests.support.aio import soon, until
from tests.unit.session.fakes import consoles
from tests.unit.session.menus import MANY, FakeTerminal, begin


async def test_one_at_a_time_and_others_between() -> None:
    """Each turn is one of the event loop's own, and none comes before its time."""
    drawn: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()

    def draw(name: str) -> None:
        drawn.append((name, loop.time()))
        pace().spent(0.02)

    a, b, c = (lambda name=name: draw(name) for name in "abc")
    for call in (a, b, a, c, b):
        pace().ask(call)
    await until(lambda: len(drawn) == 3, lambda: drawn)
    assert [name for name, _ in drawn] == ["a", "b", "c"]
    times = [when for _, when in drawn]
    assert all(later - earlier >= REST * 0.02 for earlier, later in itertools.pairwise(times))


async def test_a_drawing_that_fails_or_is_not_waited_for_any_more_holds_nobody_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The next one has its turn all the same."""
    loop = asyncio.get_running_loop()
    failed: list[object] = []
    loop.set_exception_handler(lambda _, context: failed.append(context["exception"]))

    def fail() -> None:
        raise ValueError("no drawing")

    gone = asyncio.ensure_future(pace().turn())
    await asyncio.sleep(0)
    gone.cancel()
    pace().ask(fail)
    await soon(pace().turn())
    assert [str(error) for error in failed] == ["no drawing"]


async def test_menus_that_open_at_once_leave_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """security.md 11: behind each piece of work, of ten menus that open at once and are typed at, everybody else has
    time; and a huge terminal is drawn as one of 64 x 200."""
    ended: list[tuple[float, float]] = []

    class Watched(paces.Pace):
        def spent(self, seconds: float, least: float = 0.0) -> None:
            ended.append((loop.time(), max(least, REST * seconds)))
            super().spent(seconds, least)

        def _next(self) -> None:
            now = loop.time()
            if now >= self._free_at:
                began.append(now)
            super()._next()

    loop = asyncio.get_running_loop()
    began: list[float] = []
    monkeypatch.setitem(paces._paces, loop, Watched(loop))
    terminals = [Huge() for _ in range(10)]
    settings = consoles(*MANY)
    tasks = [begin(terminal, settings) for terminal in terminals]
    await until(lambda: all("web39" in terminal.sent for terminal in terminals), lambda: terminals[0].sent[-500:])
    for terminal in terminals:
        terminal.type(b"\x1b[B" * 20 + b"\r")
    assert {choice.console for task in tasks if (choice := await soon(task))} == {"web20"}
    for end, rest in ended:
        assert not any(end < next_began < end + rest * 0.9 for next_began in began), (end, rest)
    assert len(ended) > 40


class Huge(FakeTerminal):
    """Of 1000 rows and columns, and nobody looks at it."""

    def size(self) -> tuple[int, int]:
        return 1000, 1000

    def draw(self, text: str) -> None:
        self.sent += text


async def test_the_part_of_a_huge_terminal_that_is_drawn() -> None:
    """security.md 11: as much as 64 rows of 200 columns, whatever the client says."""
    terminal = FakeTerminal()
    for rows, columns, size in ((1000, 1000, (64, 200)), (24, 1000, (24, 200)), (65, 80, (64, 80))):
        terminal.screen.resize(rows, columns)
        assert output(terminal).get_size() == size


def test_the_seam_of_prompt_toolkit_is_there() -> None:
    """Not public; `pace.py` draws by it."""
    assert callable(PacedApplication._redraw)
