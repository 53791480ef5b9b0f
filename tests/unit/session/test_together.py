"""Marked consoles in the menu, and one text for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from oobconsole.access import ALL, Grant, Principal, Right
from oobconsole.console.console import ConsoleState
from oobconsole.errors import HungUp
from oobconsole.events import Event, Kind
from oobconsole.session import prompt, together
from oobconsole.session.commands import run
from oobconsole.session.request import AtOnce, ExitStatus
from oobconsole.session.services import Services
from oobconsole.session.tui.answers import LINES_MAX, Transcript
from oobconsole.session.tui.menu import Action, Choice, Place
from tests.support.aio import idle, soon, until
from tests.unit.session.fakes import ALICE, consoles, machine_of, vanish
from tests.unit.session.menus import MANY, FakeTerminal, begin, leave, seen, shown
from tests.unit.session.test_several import live

TAB, TEXT, ALL_OF_THEM = b"\t", b"\x14", b"\x01"


class Person(FakeTerminal):
    """Somebody at a terminal, as a session knows them: a terminal and a peer."""

    def __init__(self, rows: int = 24, columns: int = 100) -> None:
        super().__init__(rows, columns)
        self.told: list[str] = []
        self.pause = 0.0
        self.why_gone = ""
        self._put_back = b""
        self._gone = asyncio.Event()

    async def read(self, at_once: AtOnce | None = None) -> bytes:
        data, self._put_back = self._put_back, b""
        return b"" if self._gone.is_set() else data or await super().read()

    def put_back(self, data: bytes) -> None:
        self._put_back = data + self._put_back

    async def write(self, data: bytes) -> None:
        if self._gone.is_set():
            raise HungUp("gone")
        self.draw(data.decode(errors="replace"))

    def takes(self, size: int) -> bool:
        return not self._gone.is_set()

    def put(self, data: bytes) -> None:
        self.draw(data.decode(errors="replace"))

    async def tell(self, text: str) -> None:
        self.told.append(text)
        await self.write(f"\r\n[oobconsole: {text}]\r\n".encode())

    async def error(self, data: bytes) -> None:
        await self.write(data)

    async def gone(self) -> None:
        await self._gone.wait()

    def hang_up(self) -> None:
        self._gone.set()
        self.type(b"")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody types so slowly here."""
    monkeypatch.setattr(prompt, "ALONE_SECONDS", 0.01)


def visit(person: Person, known: Services, who: Principal = ALICE) -> asyncio.Future[ExitStatus]:
    """`ssh -t HOST`."""
    return asyncio.ensure_future(run(None, person, person, known, who))


async def marked(person: Person, known: Services, count: int, who: Principal = ALICE) -> asyncio.Future[ExitStatus]:
    """The menu, with all consoles marked."""
    task = visit(person, known, who)
    await shown(person, "search:")
    person.type(ALL_OF_THEM)
    await shown(person, f"[{count} marked]")
    return task


async def ask(person: Person, text: bytes = b"uptime") -> None:
    """Up to the question whether it is meant."""
    person.type(TEXT)
    await until(lambda: any("text for" in told for told in person.told), lambda: person.told)
    person.type(text)
    await idle()
    person.type(b"\r")
    await until(lambda: any("any other key: nothing" in told for told in person.told), lambda: person.told)


async def out(person: Person, task: asyncio.Future[ExitStatus]) -> None:
    """Back to the menu, and away."""
    await shown(person, "search:")
    person.type(b"\x03")
    await soon(task)


class TestMarks:
    async def test_they_are_shown_and_counted_and_stay_when_one_searches(self) -> None:
        terminal, place = FakeTerminal(), Place()
        task = begin(terminal, place=place)
        await shown(terminal, "web00")
        for key in (TAB, b"\x1b[B", TAB):
            terminal.type(key)
        await shown(terminal, "search:    [2 marked]")
        await seen(terminal, r"^ \*web00 ")
        await seen(terminal, r"^ \*web02 ")
        assert terminal.marked == "web03"
        terminal.type(b"web3")
        await shown(terminal, "search: web3   [2 marked]")
        terminal.type(b"\x15\x1b[H")
        await until(lambda: terminal.marked == "web00", lambda: terminal.lines)
        terminal.type(TAB)
        await shown(terminal, "[1 marked]")
        await leave(terminal, task)
        assert place.marks == {"web02"}

    async def test_a_blank_is_searched_for_and_marks_nothing(self) -> None:
        terminal, place = FakeTerminal(), Place()
        task = begin(terminal, place=place)
        terminal.type(b"web 3\x1b[200~a\tb\x14\x01\x1b[201~")
        await shown(terminal, "search: web 3a b")
        await leave(terminal, task)
        assert not place.marks

    async def test_all_that_are_found_and_none(self) -> None:
        terminal, place = FakeTerminal(), Place()
        task = begin(terminal, place=place)
        terminal.type(b"web1" + ALL_OF_THEM)
        await shown(terminal, "[10 marked]")
        terminal.type(b"\x15web2" + ALL_OF_THEM)
        await shown(terminal, "[20 marked]")
        terminal.type(ALL_OF_THEM)
        await until(lambda: terminal.lines[0] == "search: web2", lambda: terminal.lines)
        await leave(terminal, task)
        assert not place.marks

    async def test_there_are_only_so_many(self) -> None:
        terminal, place = FakeTerminal(), Place()
        task = begin(terminal, consoles(*(f"node{i:03}" for i in range(300))), place=place)
        terminal.type(ALL_OF_THEM)
        await shown(terminal, "at most 256 consoles can be marked")
        assert not place.marks
        place.marks |= {f"node{i:03}" for i in range(256)}
        terminal.type(b"\x1b[F")
        await until(lambda: terminal.marked == "node299", lambda: terminal.lines)
        terminal.type(TAB)
        await shown(terminal, "at most 256 consoles can be marked")
        await leave(terminal, task)
        assert len(place.marks) == 256

    async def test_of_none_at_all(self) -> None:
        terminal, place = FakeTerminal(), Place("nosuch")
        task = begin(terminal, place=place)
        await shown(terminal, "nothing is found")
        terminal.type(TAB + ALL_OF_THEM + TEXT)
        await leave(terminal, task)
        assert not place.marks

    @pytest.mark.parametrize(("rows", "columns"), [(1, 30), (2, 12), (1, 3)])
    async def test_on_a_small_terminal(self, rows: int, columns: int) -> None:
        terminal = FakeTerminal(rows, columns)
        task = begin(terminal)
        terminal.type(TAB + b"\x1b[A")
        await shown(terminal, ">*web00"[:columns])
        terminal.type(TEXT)
        assert await soon(task) == Choice(Action.SEND, "web00")


class TestSending:
    async def test_to_all_marked_and_what_they_answer(self) -> None:
        """By right, by name, audited: as `send 'web*'` does it."""
        known, person = consoles("web1", "web2", "db1"), Person()
        got = {name: live(known, name) for name in ("web1", "web2", "db1")}
        noted: list[Event] = []
        known.events.add_sink(noted.append)
        task = visit(person, known)
        await shown(person, "3 consoles")
        person.type(b"web" + ALL_OF_THEM)
        await shown(person, "[2 marked]")
        await ask(person)
        assert person.told[-1] == (
            "y types 'uptime' and Enter into 2 consoles (web1, web2), t the text alone; any other key: nothing"
        )
        person.type(b"y")
        await shown(person, "typed into 2 of 2 consoles")
        await seen(person, "^web1: web1 ok$")
        await seen(person, "^web2: web2 ok$")
        assert got == {"web1": [b"uptime\r"], "web2": [b"uptime\r"], "db1": []}
        assert sorted((e.console, e.who) for e in noted if e.kind is Kind.SENT) == [("web1", ALICE), ("web2", ALICE)]
        person.type(b"\r")
        await shown(person, "search: web   [2 marked]")
        await out(person, task)

    async def test_without_enter(self) -> None:
        known, person = consoles("web1"), Person()
        got = live(known, "web1")
        task = visit(person, known)
        await shown(person, "1 console")
        await ask(person, b"abc")  # nothing is marked: the console at the cursor
        assert "into web1" in person.told[-1]
        person.type(b"t")
        await shown(person, "typed into 1 of 1 consoles")
        assert got == [b"abc"]
        person.type(b"q")
        await out(person, task)

    async def test_who_cannot_have_it_is_named(self) -> None:
        """Somebody else's keyboard, no right, one that went, one that is no more."""
        names = ["away1", "mine1", "held1", "seen1"]
        known, person, bob = consoles(*names), Person(), Principal("bob")
        got = {name: live(known, name) for name in names}
        known.access.grants = (
            Grant(("bob",), ("away1", "mine1", "held1"), ALL),
            Grant(("bob",), ("seen1",), frozenset({Right.WATCH})),
            *known.access.grants,
        )
        held = known.directory.find("held1")
        away = known.directory.find("away1")
        assert held is not None
        assert away is not None
        known.seats.room(held).join(ALICE, held.attach(), watch=False)
        task = await marked(person, known, 4, bob)
        await ask(person)
        away.set_state(ConsoleState.GONE)
        person.type(b"y")
        await shown(person, "typed into 1 of 4 consoles")
        await shown(person, "alice has the keyboard of held1: nothing was typed")
        await shown(person, "you have no right to write at seen1")
        await shown(person, "away1: what was typed is lost: it is gone")
        await shown(person, "mine1: mine1 ok")
        assert got == {"away1": [], "mine1": [b"uptime\r"], "held1": [], "seen1": []}
        person.type(b"\r")
        await out(person, task)

    async def test_one_that_is_no_more(self) -> None:
        """Removed, or renamed, while it was marked."""
        known, person = consoles("web1"), Person()
        known.directory.add(machine_of(consoles("web2")))
        got = live(known, "web1")
        task = await marked(person, known, 2)
        vanish(known, "web2")
        await until(lambda: not any("web2" in line for line in person.lines), lambda: person.lines)
        await ask(person)
        person.type(b"y")
        await shown(person, "there is no console 'web2'")
        await shown(person, "typed into 1 of 2 consoles")
        assert got == [b"uptime\r"]
        person.type(b"\r")
        await out(person, task)

    @pytest.mark.parametrize("keys", [(b"up\x1b",), (b"up\x03",), (b"up", b"\r", b"x"), (b"up", b"\r", b"yy")])
    async def test_who_cancels_sends_nothing_and_keeps_the_marks(self, keys: Sequence[bytes]) -> None:
        known, person = consoles("web1", "web2"), Person()
        got = {name: live(known, name) for name in ("web1", "web2")}
        task = await marked(person, known, 2)
        person.type(TEXT)
        await until(lambda: any("text for" in told for told in person.told), lambda: person.told)
        for key in keys[:2]:
            person.type(key)
            await idle()
        if len(keys) == 3:
            await until(lambda: "any other key: nothing" in person.told[-1], lambda: person.told)
            person.type(keys[2])
        await shown(person, "nothing was typed" if len(keys) == 3 else "cancelled")
        await shown(person, "[2 marked]")
        assert got == {"web1": [], "web2": []}
        await out(person, task)

    async def test_a_paste_is_the_text_and_no_command(self) -> None:
        """With and without its marks; and one that is too long is not cut: half a command is another one."""
        known, person = consoles("web1", "web2"), Person()
        got = {name: live(known, name) for name in ("web1", "web2")}
        task = await marked(person, known, 2)
        await ask(person, b"\x1b[200~one\ry\rtwo\t\x14\x1b[201~")
        assert "'one y two '" in person.told[-1]
        person.type(b"\x1b[200~y\x1b[201~")
        await shown(person, "nothing was typed")
        person.told.clear()
        await ask(person, b"one\ry\ry")
        assert "'one y y'" in person.told[-1]
        person.type(b"n")
        await shown(person, "nothing was typed")
        person.told.clear()
        person.type(TEXT)
        await until(lambda: any("text for" in told for told in person.told), lambda: person.told)
        person.type(b"\x1b[200~" + b"x" * (together.TEXT_MAX + 1) + b"\x1b[201~")
        await idle()
        person.type(b"\r")
        await shown(person, f"cancelled: it is longer than {together.TEXT_MAX} bytes")
        await shown(person, "[2 marked]")
        assert got == {"web1": [], "web2": []}
        await out(person, task)

    async def test_keys_in_one_packet(self) -> None:
        """Nothing is sent by what came at once."""
        known, person = consoles("web1", "web2"), Person()
        got = {name: live(known, name) for name in ("web1", "web2")}
        task = visit(person, known)
        await shown(person, "search:")
        person.type(TAB + TAB + TEXT + b"reboot\ry")
        await shown(person, "nothing is chosen by what comes at once")
        person.type(TAB + TAB + TEXT)
        await until(lambda: any("text for 2 consoles" in told for told in person.told), lambda: person.told)
        person.type(b"reboot\ry")
        await idle()
        person.type(b"\x1b")
        await shown(person, "cancelled")
        assert got == {"web1": [], "web2": []}
        await out(person, task)

    async def test_many_scroll(self) -> None:
        names = [f"node{i:03}" for i in range(200)]
        known, person = consoles(*names), Person(rows=10)
        got = {name: live(known, name) for name in names}
        task = await marked(person, known, 200)
        await ask(person)
        person.type(b"y")
        await until(lambda: person.lines[0].startswith("typed into 200 of 200"), lambda: person.lines)
        assert all(typed == [b"uptime\r"] for typed in got.values())
        person.type(b"\x1b[H")
        await seen(person, "^node000: node000 ok")
        person.type(b"\x1b[6~" * 2)
        await until(lambda: not any("node000" in line for line in person.lines[1:]), lambda: person.lines)
        person.resize(1, 20)
        await until(lambda: len(person.lines) == 1 and "node" in person.lines[0], lambda: person.lines)
        person.resize(24, 100)
        person.type(b"\x1b[F")
        await seen(person, "^node199: node199 ok|^typed into 200 of 200")
        person.type(b"\x1b")
        await out(person, task)

    async def test_nothing_that_a_guest_answers_acts_on_the_terminal(self) -> None:
        known, person = consoles("web1"), Person()
        live(known, "web1")
        task = visit(person, known)
        await shown(person, "1 console")
        await ask(person)
        before = len(person.sent)
        web1 = known.directory.find("web1")
        assert web1 is not None
        hostile = (
            b"\x1b]52;c;cHduZWQ=\x07\x1b]0;pwned\x07\x1b[21t\x1b[5n\x05\xc2\x9b6n\x1b[?1003h\xe2\x80\xaeevil\x08\n"
        )

        def take(data: bytes) -> int:
            web1.output(hostile)
            return len(data)

        web1.bind(take)
        person.type(b"y")
        await seen(person, "^web1: .*evil")
        await shown(person, "typed into 1 of 1")
        for forbidden in ("]52", "]0;", "[21t", "[5n", "\x05", "\x9b", "?1003", "\u202e"):
            assert forbidden not in person.sent[before:]
        person.type(b"\r")
        await out(person, task)

    async def test_it_can_be_stopped(self) -> None:
        """Those that it has not come to get nothing, and are named; keys meanwhile do nothing else."""
        known, person = consoles(*MANY, drain_max_s=600), Person()
        for name in MANY:
            live(known, name)
        reads_nothing = [known.directory.find(name) for name in MANY[:16]]
        for console in reads_nothing:
            assert console is not None
            console.bind(lambda data: 0)
        task = await marked(person, known, 40)
        await ask(person)
        person.type(b"y")
        await shown(person, "typing 'uptime' into 40 consoles")
        person.type(b"\r")
        await idle()
        person.type(b"\x03")
        await shown(person, "typed into 0 of 40 consoles; perhaps into 16 consoles (web00")
        await shown(person, "Enter goes back")
        person.type(b"\r")
        await shown(person, "[40 marked]")
        await out(person, task)

    @pytest.mark.parametrize("how", ["hangs up", "the server stops"])
    async def test_who_goes_while_it_is_sent_ends_it(self, how: str) -> None:
        """The rest get nothing, and nothing of it goes on."""
        known, person = consoles(*MANY, drain_max_s=600), Person()
        got = {name: live(known, name) for name in MANY}
        blocked = [known.directory.find(name) for name in MANY[:16]]
        for console in blocked:
            assert console is not None
            console.bind(lambda data: 0)
        before = asyncio.all_tasks()
        task = await marked(person, known, 40)
        await ask(person)
        person.type(b"y")
        await shown(person, "typing 'uptime' into 40 consoles")
        if how == "hangs up":
            person.hang_up()
            await soon(task)
        else:
            known.stopping.set()
            assert await soon(task) is ExitStatus.FAILED
        await idle()
        assert not any(got[name] for name in MANY[16:])
        assert not [left for left in asyncio.all_tasks() - before if "text" in left.get_name()]


class TestTranscript:
    def test_it_is_bounded_and_says_so(self) -> None:
        transcript = Transcript(lambda: None)
        for number in range(LINES_MAX + 5):
            transcript.add(f"{number}\x1b[1m\t|")
        assert (len(transcript.lines), transcript.forgotten) == (LINES_MAX, 5)
        assert transcript.lines[0] == "5[1m   |"
