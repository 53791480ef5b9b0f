"""Ten menus at once: who is drawn when."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from oobconsole.session.tui import pace as paces
from oobconsole.session.tui.pace import GAP_SECONDS, REST, PacedApplication, pace
from oobconsole.session.tui.terminal import output
from tests.support.aio import soon, until
from tests.unit.session.fakes import consoles
from tests.unit.session.test_menu import MANY, FakeTerminal, begin, leave


async def test_one_at_a_time_and_others_between() -> None:
    """Each turn is one of the event loop's own, and none comes before its time."""
    drawn: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()

    def draw(name: str) -> None:
        drawn.append((name, loop.time()))
        pace().drew(0.02)

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
    """security.md 11: between two drawings, of ten that are asked for at once, everybody else has time, and a huge
    terminal is drawn as one of 64 x 200."""
    drawn: list[tuple[float, float]] = []

    class Watched(paces.Pace):
        def drew(self, seconds: float) -> None:
            super().drew(seconds)
            drawn.append((time.perf_counter() - seconds, seconds))

    loop = asyncio.get_running_loop()
    monkeypatch.setitem(paces._paces, loop, Watched(loop))
    terminals = [FakeTerminal(rows=1000, columns=1000) for _ in range(10)]
    settings = consoles(*MANY)
    tasks = [begin(terminal, settings) for terminal in terminals]
    for terminal in terminals:
        await sent(terminal, "web00")
    first = drawn[:10]
    for (began, seconds), (next_began, _) in itertools.pairwise(first):
        assert next_began - began >= max(GAP_SECONDS, seconds * (1 + REST)) * 0.9
    for terminal, task in zip(terminals, tasks, strict=True):
        rows = terminal.screen.buffer
        drawn_at = [(row, column) for row in rows for column, cell in rows[row].items() if cell.data.strip()]
        assert max(row for row, _ in drawn_at) < 64
        assert max(column for _, column in drawn_at) < 200
        await leave(terminal, task)


async def sent(terminal: FakeTerminal, text: str) -> None:
    """Wait until that was drawn. A screen of a million cells takes a second to look at; this does not."""
    await until(lambda: text in terminal.sent, lambda: terminal.sent)


async def test_the_part_of_a_huge_terminal_that_is_drawn() -> None:
    """security.md 11: as much as 64 rows of 200 columns, whatever the client says."""
    terminal = FakeTerminal()
    for rows, columns, size in ((1000, 1000, (64, 200)), (24, 1000, (24, 200)), (65, 80, (64, 80))):
        terminal.screen.resize(rows, columns)
        assert output(terminal).get_size() == size


def test_the_seam_of_prompt_toolkit_is_there() -> None:
    """Not public; `pace.py` draws by it."""
    assert callable(PacedApplication._redraw)
