"""Random output with notices in it on tmux; and our model of tmux, from which we know what others than xterm do.

One tmux for each side, fed by a named pipe; a title behind each case says that it has understood all of it.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from oobconsole.session.mirror import Mirror
from tests.support.tmux import Tmux, as_runs
from tests.unit.session.notices import COLUMNS, NO_HALVES, ROWS, cases, sent, shown_by


class Fed:
    """A terminal that is fed by a pipe."""

    def __init__(self, tmux: Tmux, pipe: int) -> None:
        self.tmux = tmux
        self._pipe = pipe
        self._count = 0

    def shows(self, data: bytes) -> list[str]:
        """What it shows, and its modes, behind that output."""
        self._count += 1
        rest = memoryview(data + f"\x18\x1b]2;{self._count}\x07".encode())
        while rest:
            rest = rest[os.write(self._pipe, rest) :]
        self.tmux.wait(lambda tmux: tmux.title == str(self._count))
        modes = self.tmux.modes().items()
        return [*map(repr, self.tmux.runs), *(f"{mode}={value}" for mode, value in modes)]


@contextmanager
def fed(path: Path) -> Iterator[Fed]:
    os.mkfifo(path)
    with Tmux(["cat", str(path)], rows=ROWS, columns=COLUMNS) as tmux:
        pipe = os.open(path, os.O_WRONLY)
        try:
            yield Fed(tmux, pipe)
        finally:
            os.close(pipe)


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Fed, Fed]]:
    folder = tmp_path_factory.mktemp("tmux")
    with ExitStack() as stack:
        yield stack.enter_context(fed(folder / "plain")), stack.enter_context(fed(folder / "ours"))


def _without_halves(chosen: random.Random, count: int) -> list[bytes]:
    return chosen.choices(NO_HALVES, k=count)


@pytest.mark.needs("tmux")
async def test_random_output_with_notices_in_it(both: tuple[Fed, Fed], monkeypatch: pytest.MonkeyPatch) -> None:
    """real-guests.md F2."""
    for number, case in enumerate(cases(7, 25, parts=_without_halves)):
        plain, ours = both
        assert ours.shows(await sent(case, monkeypatch)) == plain.shows(case.output), (number, case.steps)
        behind = b"\x1b8after\n\n\x0fnext"
        assert ours.shows(behind) == plain.shows(behind), (number, case.steps)


@pytest.mark.needs("tmux")
async def test_tmux_is_as_we_know_it(both: tuple[Fed, Fed]) -> None:
    """`oobconsole.terminal.tmux`."""
    for number, case in enumerate(cases(99, 40, parts=_without_halves)):
        known = _as_tmux_says(await shown_by(case.output))
        assert known == both[0].shows(case.output), (number, case.steps)


def _as_tmux_says(terminals: Mirror) -> list[str]:
    other = terminals._other
    rows = [as_runs((text, pen.sgr) for text, pen in cells) for cells in other.grid.rows]
    cursor, modes = other.cursor, other.modes
    said = {
        "cursor_x": cursor.x + cursor.wraps,
        "cursor_y": cursor.y,
        "cursor_flag": int("?25" in modes),
        "insert_flag": int("4" in modes),
        "origin_flag": int("?6" in modes),
        "wrap_flag": int("?7" in modes),
        "keypad_flag": int("=" in modes),
        "keypad_cursor_flag": int("?1" in modes),
        "alternate_on": int(other.is_alternate),
        "scroll_region_upper": other.top,
        "scroll_region_lower": other.bottom,
    }
    mouse = dict.fromkeys(("mouse_all_flag", "mouse_button_flag", "mouse_standard_flag", "mouse_sgr_flag"), 0)
    return [*map(repr, rows), *(f"{mode}={value}" for mode, value in (said | mouse).items())]
