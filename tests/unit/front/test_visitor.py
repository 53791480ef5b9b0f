"""A session's other end: order, credit in both directions, and every way in which it can end."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oobconsole.errors import FrontError, HungUp
from oobconsole.front.ends import INPUT_WINDOW, OUTPUT_WINDOW
from oobconsole.front.frames import DATA_MAX, Opening
from oobconsole.front.reception import WINDOW
from oobconsole.front.visitor import BREAKS_MAX, Visitor
from tests.unit.front.fakes import FakeClient


class Both:
    """A visitor, and its client."""

    def __init__(self, term: str | None = None, window: int = WINDOW, command: str | None = None) -> None:
        self.client = FakeClient()
        self.closed: list[Visitor] = []
        self.visitor = Visitor(Opening(command, term=term), self.client, self.closed.append, window=window)


async def test_output_stops_where_credit_ends_and_keeps_its_order() -> None:
    both = Both()
    data = bytes(range(256)) * 1024  # 256 KiB
    writing = asyncio.create_task(both.visitor.write(data))
    await asyncio.sleep(0)
    assert len(both.client.output) == OUTPUT_WINDOW
    both.visitor.draw("behind it")
    while not writing.done():
        both.visitor.credit(OUTPUT_WINDOW // 3)
        await asyncio.sleep(0)
    assert both.client.output == data + b"behind it"
    assert max(both.client.sizes) <= DATA_MAX


async def test_no_front_can_give_more_credit_than_there_was_output() -> None:
    both = Both()
    await both.visitor.write(b"x" * 100)
    both.visitor.credit(100)
    with pytest.raises(FrontError, match="more credit"):
        both.visitor.credit(1)


@pytest.mark.parametrize("window", [INPUT_WINDOW, WINDOW])
async def test_no_front_can_send_more_input_than_was_asked_for(window: int) -> None:
    both = Both(window=window)
    assert both.client.credit == window - INPUT_WINDOW
    both.visitor.typed(b"x" * window, 0.0)
    with pytest.raises(FrontError, match="more input"):
        both.visitor.typed(b"x", 0.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 3 * WINDOW), min_size=1, max_size=12))
def test_input_goes_on_however_it_is_read(sizes: list[int]) -> None:
    """A client that has credit sends; whoever reads everything always gives some back."""

    async def run() -> None:
        both = Both()
        left, may_send, given_before = sum(sizes), INPUT_WINDOW, 0
        while left:
            may_send += both.client.credit - given_before
            given_before = both.client.credit
            part = min(left, may_send)
            assert part, "nobody may send, and nothing waits to be read"
            both.visitor.typed(b"x" * part, 0.0)
            may_send -= part
            left -= part
            assert len(await both.visitor.read()) == part

    asyncio.run(run())


async def test_the_status_comes_behind_everything_that_was_written() -> None:
    both = Both()
    both.visitor.draw("x" * (OUTPUT_WINDOW + 1))
    both.visitor.exit(3)
    assert both.client.statuses == []
    both.visitor.credit(OUTPUT_WINDOW)
    assert both.client.statuses == [3]
    both.visitor.exit(4)
    assert both.client.statuses == [3]
    with pytest.raises(HungUp):
        await both.visitor.write(b"late")


async def test_a_client_that_is_gone_is_told_nothing() -> None:
    both = Both()
    writing = asyncio.create_task(both.visitor.write(b"x" * (OUTPUT_WINDOW + 1)))
    await asyncio.sleep(0)
    both.visitor.lost()
    with pytest.raises(HungUp):
        await writing
    both.visitor.draw("x")
    both.visitor.give_back()
    both.visitor.exit(0)
    assert both.closed == [both.visitor]
    assert both.client.statuses == []
    assert await both.visitor.read() == b""
    await both.visitor.gone()


async def test_a_client_that_reads_no_more_is_told_the_status() -> None:
    both = Both()
    both.visitor.draw("x" * (OUTPUT_WINDOW + 1))
    both.visitor.reads_no_more()
    await both.visitor.gone()
    with pytest.raises(HungUp):
        await both.visitor.tell("x")
    both.visitor.exit(0)
    assert both.client.statuses == [0]


async def test_one_who_is_dismissed_gets_the_terminal_back_and_the_reason() -> None:
    both = Both(term="xterm")
    both.visitor.lend(lambda: b"<restored>")
    for _ in range(3):
        both.visitor.dismissed("enough\x1b]0;x\a")
    await both.visitor.gone()
    assert both.client.output == b"<restored>\r\n[oobconsole: enough?]0;x?]\r\n"
    assert both.client.statuses == [1]


async def test_one_who_is_dismissed_and_reads_nothing_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oobconsole.front.visitor._DISMISS_SECONDS", 0.01)
    both = Both()
    both.visitor.draw("x" * (OUTPUT_WINDOW + 1))
    both.visitor.dismissed("enough")
    await both.visitor.gone()
    assert both.client.statuses == [1]


async def test_signals_end_a_session_once() -> None:
    both = Both(command="wait web1 x")
    for _ in range(1000):
        both.visitor.signalled("TERM")
    await both.visitor.gone()
    both.visitor.signalled("TERM")
    assert both.client.errors == b"oobconsole: ended by signal TERM\n"
    assert both.client.statuses == [1]


async def test_a_signal_that_is_a_key_is_typed_once_until_it_was_read() -> None:
    both = Both(term="xterm", command="web1")
    for _ in range(1000):
        both.visitor.signalled("INT")
        both.visitor.signalled("QUIT")
    assert await both.visitor.read() == b"\x03\x1c"
    both.visitor.signalled("INT")
    both.visitor.input_ended()
    assert await both.visitor.read() == b"\x03"
    both.visitor.signalled("INT")
    assert await both.visitor.read() == b""


async def test_breaks_beyond_the_limit_are_counted() -> None:
    both = Both(term="xterm")
    for _ in range(BREAKS_MAX + 5):
        both.visitor.break_asked(answer=False)
    assert (await both.visitor.break_wanted()).refused == 5
    assert both.visitor.forget_breaks() == BREAKS_MAX - 1


async def test_nothing_is_sent_while_the_way_to_the_client_has_no_room() -> None:
    both = Both()
    both.visitor.set_room(False)
    writing = asyncio.create_task(both.visitor.write(b"x"))
    await asyncio.sleep(0)
    assert (bytes(both.client.output), writing.done()) == (b"", False)
    both.visitor.set_room(True)
    await writing
    assert both.client.output == b"x"


class Taker:
    """Takes input at once, as long as it `takes` it."""

    def __init__(self) -> None:
        self.takes = True
        self.took: list[tuple[bytes, float]] = []

    def __call__(self, data: bytes, pause: float) -> bool:
        if self.takes:
            self.took.append((data, pause))
        return self.takes


async def test_input_is_taken_at_once_while_the_session_waits_for_it() -> None:
    both, taker = Both(), Taker()
    both.visitor.typed(b"before", 0.5)
    assert await both.visitor.read(taker) == b"before"
    both.visitor.typed(b"nobody waits", 1.0)
    assert await both.visitor.read(taker) == b"nobody waits"
    reading = asyncio.create_task(both.visitor.read(taker))
    await asyncio.sleep(0)
    both.visitor.typed(b"a", 1.5)
    both.visitor.typed(b"b", 2.5)
    assert taker.took == [(b"a", 0.5), (b"b", 1.0)]
    taker.takes = False
    both.visitor.typed(b"c", 3.0)
    taker.takes = True
    both.visitor.typed(b"d", 3.5)  # it must not overtake the `c`, which waits to be read
    assert await reading == b"cd"
    assert both.visitor.pause == 0.5
    assert len(taker.took) == 2


async def test_input_behind_a_break_waits_until_the_break_is_sent() -> None:
    both, taker = Both("xterm", command="attach c"), Taker()
    reading = asyncio.create_task(both.visitor.read(taker))
    await asyncio.sleep(0)
    both.visitor.break_asked(answer=False)
    both.visitor.typed(b"behind", 0.0)
    assert not taker.took
    await both.visitor.break_wanted()
    assert await reading == b"behind"


async def test_input_that_is_taken_at_once_gives_credit_and_is_bounded() -> None:
    both, taker = Both(window=INPUT_WINDOW), Taker()
    reading = asyncio.create_task(both.visitor.read(taker))
    await asyncio.sleep(0)
    for _ in range(INPUT_WINDOW):
        both.visitor.typed(b"x", 0.0)
    assert both.client.credit >= INPUT_WINDOW // 2
    with pytest.raises(FrontError, match="more input"):
        both.visitor.typed(b"x" * (INPUT_WINDOW + 1), 0.0)
    both.visitor.input_ended()
    assert await reading == b""


async def test_a_bug_in_a_session_that_takes_input_is_told_and_ends_no_front(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr("oobconsole.supervise.tell", lambda name, _: told.append(name))

    def broken(data: bytes, pause: float) -> bool:
        raise RuntimeError("a bug")

    both = Both()
    reading = asyncio.create_task(both.visitor.read(broken))
    await asyncio.sleep(0)
    both.visitor.typed(b"x", 0.0)
    both.visitor.input_ended()
    assert await reading == b""
    assert told == ["input of a session"]
