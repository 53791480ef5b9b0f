"""The menu, drawn on a terminal of pyte's."""

from __future__ import annotations

import asyncio

import pytest
from prompt_toolkit.input import typeahead
from prompt_toolkit.keys import Keys as Key

from oobconsole import supervise
from oobconsole.access import Grant, Principal, Right
from oobconsole.console.console import Console
from oobconsole.session.tui import showing, typist
from oobconsole.session.tui.catalogue import Catalogue, Row
from oobconsole.session.tui.choose import choose
from oobconsole.session.tui.menu import Action, Choice, Place
from oobconsole.session.tui.terminal import PASTE_MAX, Keys
from tests.support.aio import idle, soon, stays, until
from tests.unit.session.fakes import ALICE, consoles, machine_of, vanish
from tests.unit.session.menus import (
    FakeTerminal,
    ModelTerminal,
    begin,
    leave,
    of_a_client_that_does_not_read,
    printed,
    seen,
    shown,
)


async def test_last_lines_of_every_script_change_in_place() -> None:
    """faults.md 12, a variation: behind a spacing vowel, what changed came to stand in the wrong column."""
    terminal, settings = ModelTerminal(), consoles("web1", "web2")
    task = begin(terminal, settings)
    for text in ("हिन्दी में कितना समय लगेगा यह", "हिन्दी में कितनाा x", "short", "தமிழ் மொழி 漢字 end", "தமிழ் மொழ 字 end"):
        printed(settings, "web1", f"\r\n{text}".encode())
        await seen(terminal, f"web1 .*  {text}$")
    await leave(terminal, task)


class TestChoose:
    @pytest.mark.parametrize(
        ("typed", "chosen"),
        [
            (b"\r", Choice(Action.ATTACH, "web00")),
            (b"\x1b[B\x1b[B\r", Choice(Action.ATTACH, "web02")),
            (b"\x1b[B\x1b[B\x1b[A\x17", Choice(Action.WATCH, "web01")),
            (b"\x1b[A\x12", Choice(Action.REPLAY, "web00")),
            (b"\x1b[B" * 100 + b"\x10", Choice(Action.POWER, "web39")),
            (b"\x1b[F\r", Choice(Action.ATTACH, "web39")),
            (b"\x1b[F\x1b[H\r", Choice(Action.ATTACH, "web00")),
            (b"1\x7f2\r", Choice(Action.ATTACH, "web02")),
            (b"b3\x1b[B\r", Choice(Action.ATTACH, "web31")),
            (b"\x1b[200~WEB\n17\x1b[201~\r", Choice(Action.ATTACH, "web17")),
            (b"\x9bB\x9bB\r", Choice(Action.ATTACH, "web02")),  # a terminal that sends C1 controls (S8C1T)
            (b"\xc2\x9bB\xc2\x8fB\r", Choice(Action.ATTACH, "web02")),
            (b"\x8fB\x8fB\x8fA\r", Choice(Action.ATTACH, "web01")),
            (b"b3\x9bB\r", Choice(Action.ATTACH, "web31")),
            (b"\x03", None),
            (b"\x04", None),
            (b"", None),
        ],
    )
    async def test_keys(self, typed: bytes, chosen: Choice | None) -> None:
        terminal = FakeTerminal()
        task = begin(terminal)
        await shown(terminal, "web00")
        terminal.type(typed)
        assert await soon(task) == chosen

    async def test_a_sequence_may_come_in_pieces(self) -> None:
        terminal = FakeTerminal()
        task = begin(terminal)
        for byte in b"\x1b[B\r":
            terminal.type(bytes((byte,)))
        assert await soon(task) == Choice(Action.ATTACH, "web01")

    @pytest.mark.parametrize("behind", [b"", b"\r", b"\r\r\n"])
    async def test_what_is_typed_behind_the_choice_is_for_what_was_chosen(self, behind: bytes) -> None:
        """And in nobody's next menu."""
        terminal, settings = FakeTerminal(), consoles("web1")
        terminal.type(b"\r" + behind)
        task = choose(terminal, Catalogue(settings, ALICE), settings.stopping, Place())
        assert await soon(task) == (Choice(Action.ATTACH, "web1"), behind)
        assert not any(typeahead._buffer.values())

    @pytest.mark.parametrize("at", [*range(1, 16), "each byte", "whole"])
    async def test_a_paste_without_marks_chooses_nothing(self, at: int | str) -> None:
        """faults.md 10: `reboot` went into the guest."""
        terminal, paste = FakeTerminal(), b"web03\rreboot\r~.\r"
        task = begin(terminal)
        await shown(terminal, "web00")
        ways = {"each byte": [bytes((byte,)) for byte in paste], "whole": [paste]}
        for packet in ways[at] if isinstance(at, str) else [paste[:at], paste[at:]]:
            terminal.type(packet)
        await shown(terminal, "nothing is chosen by what comes at once")
        assert not task.done()
        assert terminal.lines[0] == "search: web03"
        terminal.type(b"\r")
        assert await soon(task) == Choice(Action.ATTACH, "web03")

    async def test_a_paste_with_marks_chooses_nothing(self) -> None:
        """faults.md 10: however it is cut."""
        paste = b"\x1b[200~web03\rreboot\r\x1b[201~"
        for at in range(1, len(paste)):
            terminal = FakeTerminal()
            task = begin(terminal)
            terminal.type(paste[:at])
            terminal.type(paste[at:])
            await shown(terminal, "search: web03reboot")
            assert not task.done()
            terminal.type(b"\x03")
            assert await soon(task) is None

    @pytest.mark.parametrize("csi", [b"\x9b", b"\xc2\x9b"])
    @pytest.mark.parametrize("inside", [b"web03\rreboot\r", b"web03\rreboot\r\x1b[201~\r", "web03雛\r".encode()])
    async def test_a_paste_with_marks_of_c1_controls_chooses_nothing(self, csi: bytes, inside: bytes) -> None:
        """However it is cut. prompt_toolkit knows no such mark, so that a line end in the paste could be Enter. What
        looks like the end of another kind of paste is a part of the text."""
        paste = csi + b"200~" + inside + csi + b"201~"
        for at in range(1, len(paste)):
            terminal = FakeTerminal()
            task = begin(terminal)
            terminal.type(paste[:at])
            terminal.type(paste[at:])
            await shown(terminal, "search: web03")
            assert not task.done()
            terminal.type(b"\x03")
            assert await soon(task) is None, at

    async def test_every_script_can_be_searched_for(self) -> None:
        place, terminal = Place(), FakeTerminal()
        task = begin(terminal, place=place)
        await shown(terminal, "web00")
        terminal.type("می‌خواهم\u202e👨‍👩‍👧".encode())
        await until(lambda: place.search == "می‌خواهم👨‍👩‍👧", lambda: place)
        terminal.type(b"\x03")
        assert await soon(task) is None

    @pytest.mark.parametrize("part", ["typing", "refresh"])
    async def test_a_part_of_it_that_ends_by_an_error_is_told(
        self, monkeypatch: pytest.MonkeyPatch, part: str
    ) -> None:
        """The menu ends, or goes on; the error is not swallowed."""
        terminal = FakeTerminal()

        async def fails() -> bytes:
            raise RuntimeError("a bug")

        before = sum(supervise.ended.values())
        monkeypatch.setattr(showing, "_REFRESH_SECONDS", 0.01)
        if part == "typing":
            monkeypatch.setattr(terminal, "read", fails)
            assert await soon(begin(terminal)) is None
        else:
            task = begin(terminal)
            await shown(terminal, "web00")
            await idle()  # it waits for keys
            monkeypatch.setattr(terminal, "drain", fails)
            await until(lambda: sum(supervise.ended.values()) > before, lambda: "nothing is told")
            monkeypatch.undo()
            await leave(terminal, task)
        assert sum(supervise.ended.values()) == before + 1

    async def test_searches_as_one_types(self) -> None:
        terminal, settings = FakeTerminal(), consoles("db1", "db2", "web1")
        printed(settings, "db2", b"login: ")
        task = begin(terminal, settings)
        await shown(terminal, "3 consoles")
        terminal.type(b"D")
        await shown(terminal, "2 consoles")
        assert not any("web1" in line for line in terminal.lines)
        terminal.type(b"B live")
        await shown(terminal, "1 console")
        assert terminal.marked == "db2"
        terminal.type(b"x")
        await shown(terminal, "nothing is found")
        terminal.type(b"\x1b")
        await shown(terminal, "3 consoles")
        await leave(terminal, task)

    async def test_a_search_is_bounded(self) -> None:
        terminal, place = FakeTerminal(), Place()
        task = begin(terminal, place=place)
        terminal.type(b"x" * 200)
        await shown(terminal, "nothing is found")
        await leave(terminal, task)
        assert place.search == "x" * 64

    async def test_scrolls_to_the_mark(self) -> None:
        terminal = FakeTerminal()
        task = begin(terminal)
        await seen(terminal, "web03 +waiting +never")
        assert terminal.marked == "web00"
        terminal.type(b"\x1b[B" * 30)
        await until(lambda: terminal.marked == "web30", lambda: terminal.lines)
        terminal.type(b"\x1b[5~")
        await until(lambda: terminal.marked == "web23", lambda: terminal.lines)
        await leave(terminal, task)

    async def test_goes_on_where_it_was_and_says_how_the_last_command_ended(self) -> None:
        terminal = FakeTerminal()
        task = begin(terminal, place=Place("web3", "web34"), note="web34: nothing is recorded of that time")
        await shown(terminal, "web34: nothing is recorded")
        assert terminal.marked == "web34"
        terminal.type(b"\x1b[B")
        await shown(terminal, "10 consoles")
        assert terminal.marked == "web35"
        await leave(terminal, task)


class TestRows:
    async def test_state_people_and_the_last_line(self) -> None:
        terminal, settings = FakeTerminal(), consoles("web1")
        console = printed(settings, "web1", b"\x1b[32mDebian\x1b[0m\r\nweb1 login: ")
        room = settings.seats.room(console)
        room.join(Principal("bob"), console.attach(), watch=True)
        room.join(ALICE, console.attach(), watch=False)
        task = begin(terminal, settings)
        await seen(terminal, r"web1 +live +\ds  alice\*, bob +web1 login:")
        await leave(terminal, task)

    async def test_news_come_by_themselves(self) -> None:
        terminal, settings = FakeTerminal(), consoles("web1")
        task = begin(terminal, settings)
        await shown(terminal, "waiting")
        printed(settings, "web1", b"hello")
        await seen(terminal, r"live +\ds +hello")
        await leave(terminal, task)

    async def test_the_mark_stays_on_its_console_when_the_list_changes(self) -> None:
        terminal, settings = FakeTerminal(), consoles("a", "b", "c")
        printed(settings, "b", b"")
        task = begin(terminal, settings)
        terminal.type(b"live")
        await until(lambda: terminal.marked == "b", lambda: terminal.lines)
        printed(settings, "a", b"")
        await shown(terminal, "2 consoles")
        assert terminal.marked == "b"
        terminal.type(b"\r")
        assert await soon(task) == Choice(Action.ATTACH, "b")

    async def test_only_what_one_has_a_right_to(self) -> None:
        terminal, settings = FakeTerminal(), consoles("db1", "db2", "web1")
        grants = (
            Grant(("bob",), ("db1",), frozenset({Right.LOG})),
            Grant(("bob",), ("db2",), frozenset({Right.WATCH})),
        )
        settings.access.grants = grants
        for name in ("db1", "db2", "web1"):
            console = printed(settings, name, f"secret of {name}".encode())
            settings.seats.room(console).join(ALICE, console.attach(), watch=True)
        task = begin(terminal, settings, who=Principal("bob"))
        await seen(terminal, r"db2 +live +\ds  alice +secret of db2")
        text = "\n".join(terminal.lines)
        assert "web1" not in text
        assert "secret of db1" not in text
        assert text.count("alice") == 1
        settings.access.grants = ()
        await shown(terminal, "no console at which you have any right")
        terminal.type(b"\r\x10")
        await leave(terminal, task)

    async def test_consoles_come_and_go(self) -> None:
        terminal, settings = FakeTerminal(), consoles("db1")
        more = machine_of(consoles("db2"))
        task = begin(terminal, settings)
        await shown(terminal, "1 console")
        settings.directory.add(more)
        await shown(terminal, "2 consoles")
        terminal.type(b"\x1b[B")
        await until(lambda: terminal.marked == "db2", lambda: terminal.lines)
        vanish(settings, "db2")
        await until(lambda: terminal.marked == "db1", lambda: terminal.lines)
        await leave(terminal, task)

    async def test_nothing_that_a_guest_prints_acts_on_the_terminal(self) -> None:
        hostile = (
            b"\x1b]52;c;cHduZWQ=\x07\x1b]0;pwned\x07\x1b[21t\x1b[5n\x05\x9b6n\xc2\x9b6n\x1bP$qm\x1b\\\x1b[?1003h"
            b"\x1b[99;1H\xe2\x80\xaeevil\x7f\x08\xff\n"
        )
        terminal, settings = FakeTerminal(), consoles("web1")
        task = begin(terminal, settings)
        await shown(terminal, "waiting")
        before = terminal.sent
        printed(settings, "web1", hostile)
        await shown(terminal, "evil")
        sent = terminal.sent[len(before) :]
        for forbidden in ("]52", "]0;", "[21t", "[5n", "\x05", "\x9b", "\x1bP", "?1003", "99;1H", "\u202e", "\x7f"):
            assert forbidden not in sent
        await leave(terminal, task)

    async def test_a_thousand_consoles_cost_what_is_on_the_screen(self, monkeypatch: pytest.MonkeyPatch) -> None:
        looked_at: list[str] = []
        real = Catalogue.row

        def counted(catalogue: Catalogue, console: Console) -> Row:
            looked_at.append(console.name)
            return real(catalogue, console)

        monkeypatch.setattr(Catalogue, "row", counted)
        terminal = FakeTerminal()
        settings = consoles(*(f"node{i:03}" for i in range(1000)))
        task = begin(terminal, settings)
        await shown(terminal, "1000 consoles")
        terminal.type(b"\x1b[F")
        await until(lambda: terminal.marked == "node999", lambda: terminal.lines)
        assert len(set(looked_at)) <= 2 * terminal.screen.lines
        await leave(terminal, task)


class TestTerminals:
    async def test_redraws_for_another_size(self) -> None:
        terminal = FakeTerminal()
        task = begin(terminal)
        await shown(terminal, "web00")
        terminal.resize(30, 100)
        await shown(terminal, "web25")
        await leave(terminal, task)

    @pytest.mark.parametrize(("rows", "columns"), [(24, 80), (8, 72), (7, 56), (5, 32), (2, 12), (1, 9), (1, 1)])
    async def test_any_size_shows_what_is_marked(self, rows: int, columns: int) -> None:
        terminal = FakeTerminal(rows, columns)
        task = begin(terminal)
        await shown(terminal, "> web00"[:columns])
        terminal.type(b"\x1b[B" * 39 + b"\x1b[A")
        await shown(terminal, "> web38"[:columns])
        assert not any("small" in line for line in terminal.lines)  # as prompt_toolkit says when it gives up
        terminal.type(b"\r")
        assert await soon(task) == Choice(Action.ATTACH, "web38")

    async def test_a_size_that_is_not_known_is_80_by_24(self) -> None:
        terminal = FakeTerminal(24, 80)
        terminal.size = lambda: (0, 0)  # type: ignore[method-assign]
        task = begin(terminal)
        await seen(terminal, "^  CONSOLE +STATE +OUTPUT +ATTACHED +LAST LINE")
        await leave(terminal, task)

    async def test_leaves_the_terminal_as_it_was(self) -> None:
        terminal = FakeTerminal()
        task = begin(terminal)
        await shown(terminal, "web00")
        await leave(terminal, task)
        for mode in ("1049", "2004"):
            assert terminal.sent.rindex(f"\x1b[?{mode}l") > terminal.sent.rindex(f"\x1b[?{mode}h")
        assert terminal.sent.rindex("\x1b[?25h") > terminal.sent.rfind("\x1b[?25l")

    async def test_a_client_that_does_not_read_is_drawn_no_more(self) -> None:
        terminal, task = await of_a_client_that_does_not_read()
        drawn = terminal.drawn
        for _ in range(100):
            terminal.type(b"\x1b[B")
        await idle()
        assert terminal.drawn == drawn
        terminal.writable.set()
        await until(lambda: terminal.marked == "web39", lambda: terminal.lines)
        await leave(terminal, task)

    async def test_a_flood_of_keys_delays_nobody(self) -> None:
        """Between any two turns of the event loop only so many keys are looked at."""
        terminal, turns = FakeTerminal(), 0
        task = begin(terminal)
        await shown(terminal, "web00")
        terminal.type(b"\x1b[B\x1b[A" * 100 + b"\x03")
        while not task.done():
            turns += 1
            await asyncio.sleep(0)
        assert turns >= 600 / 16

    async def test_a_client_that_goes_while_it_does_not_read_ends_the_menu(self) -> None:
        terminal, task = await of_a_client_that_does_not_read()
        terminal.broken = True
        terminal.writable.set()
        assert await soon(task) is None

    async def test_ends_when_the_server_stops(self) -> None:
        terminal, settings = FakeTerminal(), consoles("web1")
        task = await stays(begin(terminal, settings))
        settings.stopping.set()
        assert await soon(task) is None


class TestPastes:
    """A marked paste is text to search for, or nothing at all; the menu goes on in any case."""

    @pytest.mark.parametrize(
        ("size", "piece"), [(PASTE_MAX + 1, 511), (PASTE_MAX + 5, 1 << 20), (100_000, 4096), (1_000_000, 1 << 20)]
    )
    async def test_one_that_is_too_long_is_dropped_and_that_is_said(self, size: int, piece: int) -> None:
        terminal = FakeTerminal()
        task = begin(terminal)
        await shown(terminal, "40 consoles")
        data = b"\x1b[200~" + (b"web03\r\x10reboot\r" * (size // 13 + 1))[:size] + b"\x1b[201~"
        for at in range(0, len(data), piece):
            terminal.type(data[at : at + piece])
        await shown(terminal, f"a paste of {size} bytes was dropped")
        assert not task.done()
        assert terminal.lines[0] == "search:"
        terminal.type(b"web03")
        await shown(terminal, "search: web03")
        terminal.type(b"\r")
        assert await soon(task) == Choice(Action.ATTACH, "web03")

    @pytest.mark.parametrize("size", [3, PASTE_MAX])
    async def test_one_that_fits_is_searched_for(self, size: int) -> None:
        terminal = FakeTerminal()
        task = begin(terminal)
        terminal.type(b"\x1b[200~" + b"web".ljust(size) + b"\x1b[201~12")
        await shown(terminal, "search: web")
        assert not task.done()
        await leave(terminal, task)

    @pytest.mark.parametrize("size", [10, 10_000])
    async def test_one_whose_end_is_lost_ends_by_itself(self, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(typist, "LOST_END_SECONDS", 0.05)
        terminal = FakeTerminal()
        task = begin(terminal)
        terminal.type(b"\x1b[200~" + b"\r" * size + b"\x1b[20")
        await shown(terminal, f"a paste of {size + 4} bytes was dropped")
        terminal.type(b"web03")
        await shown(terminal, "search: web03")
        await leave(terminal, task)

    async def test_a_mark_that_the_network_cut_for_long_is_one(self) -> None:
        """prompt_toolkit takes its beginning for keys then; what is pasted is no key all the same."""
        for cut in range(1, 6):
            keys = Keys()
            keys.feed(b"\x1b[200~"[:cut])
            keys.flush()
            keys.read_keys()
            keys.feed(b"\x1b[200~"[cut:] + b"x\r\x1b[201~")
            assert [(press.key, press.data) for press in keys.read_keys()] == [(Key.BracketedPaste, "x\r")]

    async def test_however_it_is_cut(self) -> None:
        typed = b"a\x1b[Ab\x1b\x1b[200~one\x1b[20\x1b[201~c\x1b[200~" + b"y" * 5000 + b"\x1b[201~\x1b[200~2\x1b[201~d"
        whole = Keys()
        whole.feed(typed)
        expected = [(press.key, press.data) for press in whole.read_keys()]
        assert [key for key, _ in expected] == [
            "a", Key.Up, "b", Key.Escape, Key.BracketedPaste, "c", Key.BracketedPaste, "d"
        ]  # fmt: skip
        assert (expected[4][1], expected[6][1], whole.dropped()) == ("one\x1b[20", "2", 5000)
        for size in (1, 2, 3, 5, 7):
            keys = Keys()
            for at in range(0, len(typed), size):
                keys.feed(typed[at : at + size])
            assert [(press.key, press.data) for press in keys.read_keys()] == expected
            assert keys.dropped() == 5000


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
        assert keys.may_wait
        keys.flush()
        assert [press.key for press in keys.read_keys()] == [Key.Escape]
        assert not keys.may_wait

    def test_a_sequence_without_an_end_closes(self) -> None:
        keys = Keys()
        keys.feed(b"\x1b[" + b"1" * 4000)
        assert not keys.closed
        keys.feed(b"1" * 100)
        assert keys.closed

    def test_the_end_closes(self) -> None:
        keys = Keys()
        keys.feed(b"a")
        assert not keys.closed
        keys.feed(b"")
        assert keys.closed
