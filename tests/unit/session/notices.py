"""Random output of a guest with random notices in it, for terminals of all kinds to be compared on."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

import pytest

from oobconsole.session import mirror, notices, once, screen_notices
from oobconsole.session.mirror import Mirror
from oobconsole.session.once import FilteredOnce
from oobconsole.session.screen_notices import ScreenNotices
from tests.support.clock import stopped
from tests.unit.session.fakes import FakePeer

ROWS, COLUMNS = 24, 80
#: What guests print, of which random ones are put together.
PARTS: Final = [
    b"text", b"x" * 75, b"\r\n", b"\n\n\n", b"\x1b[H", b"\x1b[2J", b"\x1b[10;70H", b"\x1b[24;1H", b"\x1b[24;80Hz",
    b"\x1b[A", b"\x1b[K", b"\x1b[5;20r", b"\x1b[r", b"\x1b[?6h", b"\x1b[?6l", b"\x1b[4h", b"\x1b[4l", b"\x1b[?7l",
    b"\x1b[?7h", b"\x1b(0", b"\x1b(B", b"\x1b)0", b"\x0e", b"\x0f", b"\x1b[31m", b"\x1b[44m", b"\x1b[7m", b"\x1b[m",
    b"\x1b7", b"\x1b8", b"\x1b[?1049h", b"\x1b[?1049l", b"\x1b[L", b"\x1b[M", b"\x1b[3@", b"\x1b[3P", b"\x1bM",
    b"\x1b[2S", b"\x1b[?25l", "世界".encode(), "é─│".encode(), b"\t", b"\b", b"$ ", b"\rprogress 42%",
    b"\x1b[20;24r", b"\x1b[3g", b"\x1bH", b"\x1b[5X", b"\x1bE", b"\x1bD", b"\x1b[?47h", b"\x1b[?47l", b"\x1b[1J",
    b"\x1b[1K", b"\x1b[J", b"\x1b[24;79H", "世".encode(), b"\x1b[24;78H", b"\x1b[1;80H", b"\x1b[5G", b"\x1b[99d",
    b"\x1b[99B", b"\x1b[2T", b"\x1b[99C", b"\x1b[38;5;196m", b"\x1b[3D", "e\u0301".encode(), b"\x1b[!p", b"\x1b#8",
    b"a\x1b[3b", b"\x1b[s", b"\x1b[u", b"\x1b[Z", b"\x1b[?2026h", b"\x1b[?2026l", b"x" * 80, "世".encode() * 40,
]  # fmt: skip
#: Left out: half a wide character that is erased, of which tmux shows what no capture says; a backspace at the first
#: column, which our model takes for one that goes to the row above, as tmux does behind some rows and not others;
#: REP, which repeats only what is directly before it; and backgrounds: tmux does not say what is erased in them.
_LEFT_OUT = {b"\b", b"\x1b[3D", b"a\x1b[3b", b"\x1b[44m"}
NO_HALVES = [part for part in PARTS if part not in _LEFT_OUT and part.isascii()]
#: Everything as at first; also what tmux's RIS does not reset: what is saved for either screen.
RESET: Final = b"\x1b[?2026l\x1b[?1049l\x1bc\x1b[?6l\x1b[?1049h\x1b[?1049l\x1bc\x1b7"


class Sized:
    """A person's terminal that only has a size."""

    term = "xterm"
    client = ""

    def size(self) -> tuple[int, int]:
        """Return the numbers of rows and of columns."""
        return ROWS, COLUMNS


@dataclass
class Case:
    """What happens at a terminal.

    Attributes:
        steps: one after the other: output (bytes), a number of notices that come (int), or seconds that pass (float).
    """

    steps: list[bytes | int | float] = field(default_factory=list)

    @property
    def output(self) -> bytes:
        """All output of the guest."""
        return b"".join(step for step in self.steps if isinstance(step, bytes))


def cases(
    seed: int, count: int, *, parts: Callable[[random.Random, int], list[bytes]] | None = None
) -> Iterator[Case]:
    """Yield so many cases, which are others than those of another seed."""
    for number in range(count):
        yield _case(random.Random(f"{seed}.{number}"), parts or _any_parts)


def _any_parts(chosen: random.Random, count: int) -> list[bytes]:
    return chosen.choices(PARTS, k=count)


def _case(chosen: random.Random, parts: Callable[[random.Random, int], list[bytes]]) -> Case:
    case = Case([RESET])
    for _ in range(chosen.randrange(1, 30)):
        data = b"".join(parts(chosen, chosen.randrange(1, 8)))
        cut = chosen.randrange(len(data) + 1) if chosen.random() < 0.4 else len(data)
        case.steps.append(data[:cut])
        _interrupted(case, chosen)
        case.steps.append(data[cut:])
        _interrupted(case, chosen)
    return case


def _interrupted(case: Case, chosen: random.Random) -> None:
    if chosen.random() < 0.4:
        case.steps.append(chosen.randrange(1, 5))
    if chosen.random() < 0.4:
        case.steps.append(chosen.choice([0.01, 0.1, 2.0, 6.0]))


async def sent(case: Case, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Return what the terminal is sent until all notices are gone."""
    clock, peer = stopped(monkeypatch, screen_notices, notices, mirror, once), FakePeer()
    monkeypatch.setattr(screen_notices, "SURE_SECONDS", 1e9)  # they wait as long as they can do harm
    shown = ScreenNotices(peer, Sized(), lambda: None, FilteredOnce(lambda: False), filtered=True)  # type: ignore[arg-type]
    await shown.begin(b"", b"")
    for step in [*case.steps, 100.0, 100.0]:
        if isinstance(step, bytes):
            await shown.output(step)
        elif isinstance(step, int):
            for number in range(step):
                await shown.say(f"notice {number}")
        else:
            clock.now += step
            await shown._look()
    return bytes(peer.got)


def agreed(chosen: random.Random, count: int) -> Iterator[bytes]:
    """Yield so many parts of output. Behind each of them all terminals show the same, so that tmux says what they
    show."""
    behind = Mirror(ROWS, COLUMNS)
    for data in (RESET, *chosen.choices(NO_HALVES, k=count)):
        tried = copy.deepcopy(behind)
        for model in (tried.model, tried._other):
            model.feed(data)
        if tried.is_sure(range(ROWS)):
            behind = tried
            yield data


async def shown_by(data: bytes) -> Mirror:
    """Return models of both kinds of terminals, to which that output was sent."""
    terminals = Mirror(ROWS, COLUMNS)
    for at in range(0, len(data), 4096):
        terminals.sent(data[at : at + 4096])
        await terminals.catch_up()
    return terminals
