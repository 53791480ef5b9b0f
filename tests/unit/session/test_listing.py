"""A thousand consoles hold the event loop for no longer than ten do: what is done between two turns is counted."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType

import pytest

from oobconsole.access import ALL, Access, Grant, Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.events import Kind
from oobconsole.session import lastline, safe
from oobconsole.session.board import Board
from oobconsole.session.commands import run
from oobconsole.session.lastline import last_line, text_from
from oobconsole.session.request import ExitStatus
from oobconsole.session.services import Services
from oobconsole.session.tui.catalogue import Catalogue
from oobconsole.session.verbs import events
from oobconsole.session.verbs.send import PATTERN_MAX
from oobconsole.session.view import RIGHTS_A_SLICE
from oobconsole.terminal.grid import width
from oobconsole.terminal.plain import PlainLines
from tests.support.aio import Work, idle, soon, until
from tests.unit.session.fakes import ALICE, FakePeer, consoles, request_for
from tests.unit.session.menus import FakeTerminal, begin, leave, shown
from tests.unit.terminal.test_middle import HOSTILE

MANY = 1000
LOCAL = Principal("root", local=True)
#: Those that have waited for their turn, and those that come.
SLICES = 2 * safe.SLICES_MAX
#: Calls of functions in a slice; a row of `ls` takes some fifty.
CALLS_A_SLICE = 1500
COMMANDS = ["ls", "ls --json", "ls --names", "who", "who --json", "status", "status --json", "send web* text"]


@pytest.fixture
async def many() -> Services:
    """Each has printed something, and somebody is at some of them; five grants say nothing, and one all."""
    settings = consoles(*(f"web{number:03}" for number in range(MANY)))
    settings.access.grants = (*[Grant(("alice",), (f"db{i}*",), ALL) for i in range(5)], *settings.access.grants)
    for number, console in enumerate(settings.directory.consoles()):
        console.output(b"\x1b[32mDebian\x1b[0m\r\nlogin: ")
        if number % 10 == 0:
            settings.seats.room(console).join(ALICE, console.attach(), watch=False)
    return settings


class Calls(Work):
    """Counts calls of functions, Python's and C's, between two turns of the event loop."""

    def __enter__(self) -> Calls:
        sys.setprofile(self._called)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _called(self, _frame: FrameType, event: str, _arg: object) -> None:
        if event.endswith("call"):
            self.one()


@pytest.mark.parametrize("command", COMMANDS)
async def test_a_command_about_a_thousand_consoles_is_made_in_slices(command: str, many: Services) -> None:
    """Before, `ls` was one piece of work of 30,000 calls and more."""
    peer = FakePeer()
    with Calls() as calls:
        status = await soon(run(command, peer, None, many, LOCAL if "status" in command else ALICE))
    if command.startswith("send"):
        assert (status, peer.told) == (
            ExitStatus.USAGE, [f"'web*' names {MANY} consoles; at most 256 are typed at together"]
        )  # fmt: skip
    else:
        assert status is ExitStatus.OK
        assert len(peer.got.splitlines()) >= {"ls": MANY, "who": MANY // 10}.get(command.split()[0], 1)
    assert calls.total > 2 * MANY
    print(f"{calls.most} calls between two turns, of {calls.total}")
    assert calls.most < SLICES * CALLS_A_SLICE


@pytest.mark.parametrize("pattern", HOSTILE[:3], ids=repr)
async def test_the_last_lines_of_hostile_guests_are_read_in_slices(
    pattern: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four persons look at the same time."""
    settings = consoles(*(f"web{number}" for number in range(8)))
    for console in settings.directory.consoles():
        console.output(pattern * (4096 // len(pattern)))
    work, real = Work(), PlainLines.feed

    def feed(lines: PlainLines, data: bytes, now: float = 0.0) -> str:
        assert len(data) <= lastline.SLICE
        work.one()
        return real(lines, data, now)

    monkeypatch.setattr(PlainLines, "feed", feed)
    peers = [FakePeer() for _ in range(4)]
    await soon(asyncio.gather(*(run("ls", peer, None, settings, ALICE) for peer in peers)))
    assert all(len(peer.got.splitlines()) == 9 for peer in peers)
    assert work.total >= 8
    assert work.most <= SLICES


async def test_a_last_line_is_read_again_only_when_more_was_printed(many: Services) -> None:
    console = next(many.directory.consoles())
    assert many.seats.at(console).last_line.known is None
    assert await soon(many.seats.at(console).last_line.look()) == "login:"
    assert not many.seats.at(console).last_line.is_old
    console.output(b"root")
    assert (many.seats.at(console).last_line.known, many.seats.at(console).last_line.is_old) == ("login:", True)
    assert await soon(many.seats.at(console).last_line.look()) == "login: root"


async def test_what_is_printed_while_it_is_read_is_for_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = consoles("web1")
    console = next(settings.directory.consoles())
    console.output(b"one")

    async def next_slice() -> None:
        monkeypatch.undo()
        console.output(b" two")

    monkeypatch.setattr(lastline, "next_slice", next_slice)
    assert await settings.seats.at(console).last_line.look() == "one"
    assert await settings.seats.at(console).last_line.look() == "one two"


async def test_text_that_goes_from_the_ring_while_it_is_read_is_there() -> None:
    console = Console("web1", scrollback=4096)
    console.output(b"a" * 4096)
    reading = asyncio.ensure_future(text_from(console, 0))
    await asyncio.sleep(0)
    console.output(b"b" * 4096)
    assert await soon(reading) == "a" * 4096
    assert await soon(last_line(console)) == "b" * 120


async def test_the_menu_looks_up_rights_and_last_lines_in_slices(
    many: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    rights, lines = Work(), Work()
    sees, feed = Access.sees, PlainLines.feed

    def counted(access: Access, who: Principal, console: str) -> bool:
        rights.one()
        return sees(access, who, console)

    def fed(plain: PlainLines, data: bytes, now: float = 0.0) -> str:
        lines.one()
        return feed(plain, data, now)

    monkeypatch.setattr(Access, "sees", counted)
    monkeypatch.setattr(PlainLines, "feed", fed)
    terminal = FakeTerminal()
    task = begin(terminal, many)
    await shown(terminal, f"{MANY} consoles")
    await shown(terminal, "login:")
    many.access.grants = (*many.access.grants[:-1], Grant(("alice",), ("web0*",), ALL))
    await shown(terminal, "100 consoles")
    terminal.type(b"\x1b[F")
    await shown(terminal, "web099")
    await leave(terminal, task)
    assert rights.total == 2 * MANY
    assert rights.most <= SLICES * RIGHTS_A_SLICE
    assert terminal.screen.lines // 2 < lines.total < 5 * terminal.screen.lines  # what is on the screen
    assert lines.most <= SLICES


async def test_a_drawing_reads_nothing(many: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue = Catalogue(many, ALICE)
    await soon(catalogue.refresh())
    monkeypatch.setattr(lastline, "last_line", lambda _: pytest.fail("it waits for nothing"))
    assert [catalogue.row(console).last for console in catalogue.find("web00")] == [""] * 10


async def test_events_that_wait_are_told_a_few_at_a_time(many: Services) -> None:
    """Those of a machine with a thousand guests come at once."""
    work = Work()

    class Counted(FakePeer):
        async def write(self, data: bytes) -> None:
            work.more(data.count(b"\n"))

    peer = Counted()
    telling = asyncio.ensure_future(events.handle(request_for("events", peer, many, LOCAL, json=False)))
    await idle()
    for number in range(MANY):
        many.events.emit(Kind.CONSOLE, f"web{number:03}", state="live", reason="")
    await until(lambda: work.total >= MANY, lambda: work.total)
    peer.hang_up()
    assert await soon(telling) is ExitStatus.OK
    assert work.most <= SLICES


async def test_a_pattern_is_no_longer_than_a_name() -> None:
    """One of 60,000 characters held the loop for most of a second."""
    peer = FakePeer()
    assert await soon(run(f"send {'*a' * PATTERN_MAX} x", peer, None, consoles("web1"), ALICE)) is ExitStatus.USAGE
    assert peer.told[0].endswith(f"has {2 * PATTERN_MAX} characters; a pattern has at most {PATTERN_MAX}")


@pytest.mark.parametrize("end", ["\n", "x"])
def test_of_lines_of_any_length_only_what_is_shown_is_looked_at(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~l` of a guest that prints a mebibyte without a line end."""
    looked_at = 0

    def counted(character: str) -> int:
        nonlocal looked_at
        looked_at += 1
        return width(character)

    monkeypatch.setattr("oobconsole.session.board.width", counted)
    shown_board = Board()
    shown_board.show("the last lines", ("x" * 80 + end).split("\n") * 10_000 + ["y" * 1_000_000 + "z"])
    rows = shown_board.rows(80, 24)
    assert len(rows) == 24
    assert rows[-1].endswith("z")
    assert looked_at < 10 * 24 * 80


async def test_a_state_is_said_with_its_age_and_no_line_that_is_back_is_said_to_be_lost() -> None:
    """The next attempt that a reason promises may have been made long ago."""
    console = Console("web1", scrollback=100)
    console.set_state(ConsoleState.FAULT, "it is lost; the next attempt is in 9.0 s")
    assert console.reason_now == console.reason
    console._reason_at -= 20
    assert console.reason_now == f"20 s ago: {console.reason}"
    console.set_state(ConsoleState.LIVE)
    assert console.reason_now == console.reason == ConsoleState.LIVE.value
