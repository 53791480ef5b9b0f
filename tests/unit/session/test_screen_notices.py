"""When our lines are over a guest's screen, and when they wait: by a clock that only goes when it is told to."""

from __future__ import annotations

import asyncio

import pytest

from oobconsole.console.console import ConsoleState
from oobconsole.session import mirror, notices, once, screen_notices
from oobconsole.session.attend import Attended
from oobconsole.session.board import SHOWN_SECONDS
from oobconsole.session.mirror import Mirror
from oobconsole.session.notices import LineNotices
from oobconsole.session.once import FilteredOnce
from oobconsole.session.screen_notices import REPAINT_SECONDS, SURE_SECONDS, ScreenNotices
from oobconsole.terminal.model import Terminal
from tests.support.aio import idle, soon
from tests.support.clock import stopped
from tests.unit.session.fakes import FakePeer, consoles, request
from tests.unit.session.notices import COLUMNS, ROWS, Sized

#: What `top` prints every few seconds: more than stays in a row, less than a flood.
DRAWING = b"\x1b[H\x1b[2Jtop - 12:00:01 up 1 day\r\n" + b"%Cpu(s): 0.3 us\x1b[K\r\n" * 20


class Person:
    """Somebody at a terminal, and a guest that draws on it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.peer = stopped(monkeypatch, screen_notices, notices, mirror, once), FakePeer()
        self.agree = True  # do all terminals show the same?
        monkeypatch.setattr(Mirror, "is_sure", lambda mirror, _: self.agree and mirror.exact)
        self.notices = ScreenNotices(
            self.peer,
            Sized(),  # type: ignore[arg-type]
            lambda: None,
            FilteredOnce(lambda: False),
            filtered=True,
        )

    async def passes(self, seconds: float, steps: int = 1) -> None:
        """So much time, with a look whether anything is due after each of so many steps."""
        for _ in range(steps):
            self.clock.now += seconds / steps
            await self.notices._look()

    async def prints(self, data: bytes, *, agreed: bool | None = None) -> None:
        """The guest does; terminals agree about what comes of it, or do not."""
        self.agree = self.agree if agreed is None else agreed
        await self.notices.output(data)

    @property
    def paints(self) -> int:
        """How often our lines were drawn."""
        return self.peer.got.count(b"[oobconsole: ")

    def sees(self, text: str) -> bool:
        """Is that on the screen?"""
        model = Terminal(ROWS, COLUMNS)
        model.feed(bytes(self.peer.got))
        return any(text in row for row in model.text)


@pytest.fixture
async def person(monkeypatch: pytest.MonkeyPatch) -> Person:
    someone = Person(monkeypatch)
    await someone.notices.begin(b"", b"")
    return someone


class TestAge:
    """For how long a line has been seen."""

    async def test_a_new_line_has_not_been_seen_for_as_long_as_the_line_before_it(self, person: Person) -> None:
        """On a busy machine the second line went with the first one, before it was drawn."""
        await person.notices.say("bob has left")
        person.clock.now += 60.0  # the server had no processor time meanwhile
        await person.notices.say("carol is attached")
        assert person.sees("[oobconsole: carol is attached]")
        await person.passes(SHOWN_SECONDS)
        assert person.sees("carol")

    async def test_a_key_does_not_take_a_line_that_has_just_come(self, person: Person) -> None:
        await person.notices.say("bob has left")
        person.clock.now += SHOWN_SECONDS - 0.5
        await person.notices.say("carol is attached")
        person.notices.key()
        await person.passes(0.1)
        assert person.sees("carol")
        assert not person.sees("bob")


class TestWaits:
    """For a cursor that all terminals have at the same place."""

    async def test_not_at_all_where_they_agree(self, person: Person) -> None:
        await person.notices.say("bob is attached")
        assert person.sees("[oobconsole: bob is attached]")

    async def test_three_seconds_at_most_where_they_do_not(self, person: Person) -> None:
        await person.prints(DRAWING, agreed=False)
        await person.notices.say("bob is attached")
        await person.passes(SURE_SECONDS - 0.1, 50)
        assert not person.sees("bob")
        await person.passes(0.2)
        assert person.sees("bob")

    async def test_no_longer_than_until_they_agree(self, person: Person) -> None:
        await person.prints(DRAWING, agreed=False)
        await person.notices.say("bob is attached")
        await person.passes(1.0)
        assert not person.sees("bob")
        await person.prints(b"\x1b[H", agreed=True)
        await person.passes(REPAINT_SECONDS)
        assert person.sees("bob")

    @pytest.mark.parametrize("every", [0.3, 1.0, 2.9, 3.0, 3.1])
    async def test_a_moment_in_which_they_agree_does_not_begin_it_anew(self, every: float, person: Person) -> None:
        """A program that draws its screen every few seconds, in the middle of which they agree. When each such moment
        began the wait anew, `top` kept our lines away for ever."""
        await person.prints(DRAWING, agreed=False)
        await person.notices.say("bob is attached")
        began, seen = person.clock.now, 0.0
        while person.clock.now - began < SURE_SECONDS + 3 * every + SHOWN_SECONDS:
            await person.prints(DRAWING, agreed=True)
            await person.prints(DRAWING, agreed=False)
            for _ in range(10):
                await person.passes(every / 10)
                seen += every / 10 * bool(person.notices._over)
        assert seen >= 0.8 * SHOWN_SECONDS  # taken away for a moment by each drawing

    async def test_the_next_notice_waits_again(self, person: Person) -> None:
        await person.prints(DRAWING, agreed=False)
        await person.notices.say("bob is attached")
        await person.passes(SURE_SECONDS + 0.1)
        assert person.sees("bob")
        await person.passes(60.0)
        await person.passes(1.0)
        assert not person.sees("bob")
        await person.notices.say("carol is attached")
        assert not person.sees("carol")
        await person.passes(SURE_SECONDS + 0.1)
        assert person.sees("carol")

    async def test_whoever_has_asked_does_not(self, person: Person) -> None:
        await person.prints(DRAWING, agreed=False)
        await person.notices.say("you have the keyboard", asked=True)
        assert person.sees("you have the keyboard")

    async def test_nobody_waits_for_what_will_never_be_known(self, person: Person) -> None:
        """The mirror has missed something: then no output makes it sure again."""
        person.notices._mirror._whole = False
        await person.notices.say("bob is attached")
        assert person.sees("bob")


class TestRepaint:
    @pytest.mark.parametrize("pause", [0.002, 0.01, 0.04])
    async def test_at_most_twenty_times_a_second(self, pause: float, person: Person) -> None:
        """A guest that prints a few bytes at a time, each on another row."""
        await person.notices.say("bob is attached, and this text is long enough to be seen for some seconds")
        steps = round(2.0 / pause)
        for number in range(steps):
            await person.prints(b"\x1b[%dHx" % (1 + number % 20))
            await person.passes(pause)
        await person.passes(REPAINT_SECONDS)
        assert 10 <= person.paints <= 2.0 / REPAINT_SECONDS + 2
        assert person.sees("bob")

    async def test_text_in_a_row_of_its_own_costs_nothing(self, person: Person) -> None:
        await person.notices.say("bob is attached")
        await person.prints(b"x" * 40)
        assert person.peer.got.endswith(b"x" * 40)
        assert person.paints == 1

    async def test_it_is_there_again_when_the_guest_is_quiet(self, person: Person) -> None:
        await person.notices.say("bob is attached")
        for _ in range(3):
            await person.prints(DRAWING)
        assert not person.sees("bob")
        await person.passes(REPAINT_SECONDS + 0.01)
        assert person.sees("bob")


class TestWelcome:
    """It says how things are when it is seen, not when it was made."""

    async def test_over_a_screen(self, person: Person) -> None:
        await person.prints(DRAWING, agreed=False)
        await person.notices.welcome("web1 is fault (the line is lost)")
        await person.passes(1.0)
        await person.notices.say("web1: connected again")
        await person.notices.welcome_again("web1 is live")
        await person.passes(SURE_SECONDS)
        assert person.sees("web1 is live")
        assert person.sees("connected again")
        assert not person.sees("lost")

    async def test_not_when_it_is_gone(self, person: Person) -> None:
        await person.notices.welcome("web1 is live")
        await person.passes(60.0)
        await person.passes(1.0)
        await person.notices.welcome_again("web1 is fault")
        assert not person.sees("web1")

    async def test_between_lines(self) -> None:
        peer = FakePeer()
        lines = LineNotices(peer, FilteredOnce(lambda: False), filtered=True)
        await lines.output(b"\x1b[3")  # the guest is in the middle of something
        await lines.welcome("web1 is fault (the line is lost)")
        await lines.welcome_again("web1 is live")
        await lines.output(b"1m")
        assert peer.told == ["web1 is live"]
        await lines.welcome_again("web1 is gone")
        await lines.output(b"text")
        assert peer.told == ["web1 is live"]

    async def test_a_line_that_comes_back_while_somebody_waits_for_the_welcome(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person = Person(monkeypatch)
        person.agree = False
        settings = consoles("web1")
        console = next(settings.directory.consoles())
        console.set_state(ConsoleState.FAULT, "Connection refused; the next attempt is in 5.0 s")
        session = Attended(request(settings, person.peer), console, offset=None, watch=False, raw=False)
        session._notices = person.notices
        attending = asyncio.ensure_future(session.run())
        await idle()
        console.set_state(ConsoleState.LIVE, "connected again after 5.0 s")
        await idle()
        await person.passes(SURE_SECONDS + 0.1)
        assert person.sees("web1 is live, you have the keyboard")
        assert person.sees("connected again after 5.0 s")
        assert not person.sees("refused")
        person.peer.hang_up()
        await soon(attending)

    async def test_it_says_that_nothing_typed_arrives(self) -> None:
        settings, peer = consoles("web1"), FakePeer()
        console = next(settings.directory.consoles())
        console.set_state(ConsoleState.LIVE)
        console.hold_input("recording has stopped, so what is typed is lost: No space left on device")
        session = Attended(request(settings, peer), console, offset=None, watch=False, raw=False)
        attending = asyncio.ensure_future(session.run())
        await idle()
        peer.hang_up()
        await soon(attending)
        assert "web1 is live, recording has stopped, so what is typed is lost: No space left" in peer.told[0]


class TestUnfiltered:
    """`filter = false`: the guest may use what our models do not know."""

    @pytest.mark.parametrize(
        ("output", "known"),
        [
            (b"\x1b[5;20Hab\x1b[31mcd", True),
            (b"\x1b]0;title\x07\x1b[5;20Hab", True),
            (b"\x1b[5;20Hab\x1b[5j", False),  # HPB moves the cursor to the left
            (b"\x1b[?69h\x1b[10;40s\x1b[5;20Hab", False),  # left and right margins
            (b"\x1bPq#0~~~~\x1b\\", False),  # an image, under which the cursor goes
        ],
    )
    @pytest.mark.parametrize("at_once", [True, False])
    async def test_the_cursor_stays_where_the_terminal_alone_knows_it(
        self, output: bytes, known: bool, at_once: bool
    ) -> None:
        """Behind a notice, the cursor went to where the model had it. Now the terminal itself saves it."""
        peer = FakePeer()
        shown = ScreenNotices(peer, Sized(), lambda: None, FilteredOnce(lambda: False), filtered=False)  # type: ignore[arg-type]
        await shown.begin(b"", b"")
        if not at_once or not shown.output_at_once(output):
            await shown.output(output)
        before = len(peer.got)
        await shown.say("bob is attached", asked=True)
        await shown.answered()
        ours = bytes(peer.got[before:])
        assert b"bob is attached" in ours
        assert (b"\x1b8" not in ours) == known
        assert (b"\x1b[5;22H" in ours or b"\x1b[5;24H" in ours) == known
