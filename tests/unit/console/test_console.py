"""Fan-out, input and states of one console."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.access import Principal
from oobconsole.console.console import INPUT_MAX, PUMPED_MAX, Console, ConsoleState
from oobconsole.console.reader import Notice, Reader
from oobconsole.errors import LineFault, StateError
from tests.support.aio import Work, soon, stays


class Device:
    """Takes as many bytes as it is told to."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = bytearray()

    def __call__(self, data: bytes) -> int:
        count = min(self.room, len(data))
        self.room -= count
        self.taken += data[:count]
        return count


def make(device: Device | None = None, scrollback: int = 1024) -> Console:
    console = Console("web1", scrollback=scrollback)
    if device is not None:
        console.set_state(ConsoleState.LIVE)
        console.bind(device)
    return console


async def text_of(reader: Reader) -> str:
    """Of the notice that comes next."""
    notice = await soon(reader.next())
    assert isinstance(notice, Notice)
    return notice.text


class TestOutput:
    async def test_every_reader_gets_every_byte(self) -> None:
        console = make()
        readers = [console.attach() for _ in range(3)]
        console.output(b"one ")
        console.output(b"two")
        assert [await soon(reader.next()) for reader in readers] == [b"one two"] * 3

    async def test_a_reader_waits_for_output(self) -> None:
        console = make()
        task = await stays(console.attach().next())
        console.output(b"x")
        assert await soon(task) == b"x"

    async def test_attach_begins_at_the_tail(self) -> None:
        console = make(scrollback=8)
        console.output(b"0123456789")
        assert await soon(console.attach(console.end - 3).next()) == b"789"
        assert await soon(console.attach(console.start).next()) == b"23456789"

    async def test_a_slow_reader_is_told_how_much_it_lost_and_nobody_else_loses_anything(self) -> None:
        console = make(scrollback=8)
        slow, fast = console.attach(), console.attach()
        for piece in (b"01234", b"56789", b"abc"):
            console.output(piece)
            assert await soon(fast.next()) == piece
        notice = await soon(slow.next())
        assert isinstance(notice, Notice)
        assert notice.text.startswith("5 bytes of output are not kept")
        assert (notice.kind, notice.detail) == ("skipped", {"offset": 0, "bytes": 5})
        assert await soon(slow.next()) == b"56789abc"

    async def test_a_notice_stands_where_it_happened(self) -> None:
        console = make()
        reader = console.attach()
        console.output(b"before")
        console.gap(7)
        console.output(b"after")
        assert await soon(reader.next()) == b"before"
        notice = await soon(reader.next())
        assert isinstance(notice, Notice)
        assert "7 bytes of output were lost" in notice.text
        assert await soon(reader.next()) == b"after"
        assert console.gaps == ((6, 7),)
        later = console.attach(console.end - 8)
        assert await soon(later.next()) == b"ore"
        assert await soon(later.next()) == notice
        assert await soon(later.next()) == b"after"
        assert await soon(console.attach(console.end - 3).next()) == b"ter"

    async def test_notices_for_a_reader_that_does_not_read_are_bounded(self) -> None:
        console = make()
        reader = console.attach()
        for _ in range(1000):
            console.gap(1)
        assert len(console.gaps) < 1000
        count = 0
        while reader.behind:
            await soon(reader.next())
            count += 1
        assert 0 < count < 1000

    async def test_the_end_comes_after_what_is_left_and_the_reason(self) -> None:
        console = make()
        reader = console.attach()
        console.output(b"last words")
        console.close("the server stops")
        assert await soon(reader.next()) == b"last words"
        assert await soon(reader.next()) == Notice("the server stops", "end", {"reason": "the server stops"})
        with pytest.raises(EOFError):
            await soon(reader.next())

    async def test_a_closed_reader_costs_nothing(self) -> None:
        console = make()
        seen: list[bool] = []
        console.on_attended(seen.append)
        first, second = console.attach(), console.attach()
        for reader in (first, second, second):
            reader.close()
        assert (seen, console.attached) == ([True, False], 0)

    @given(text=st.lists(st.sampled_from([b"a", b"\n", b"bc\r\n"])).map(b"".join), lines=st.integers(0, 6))
    def test_tail_is_the_last_whole_lines_and_the_unfinished_one(self, text: bytes, lines: int) -> None:
        console = make(scrollback=4096)
        console.output(text)
        parts = text.split(b"\n")
        tail = b"\n".join(parts[max(0, len(parts) - lines - 1) :]) if lines else b""
        assert console.end - console.tail(lines) == len(tail)


class TestInput:
    async def test_waits_for_the_device_and_keeps_its_order(self) -> None:
        device = Device(room=3)
        console = make(device)
        await soon(console.write(b"hello, world"))
        assert device.taken == b"hel"
        taken = await stays(console.input_taken())
        device.room = 100
        console.pump()
        await soon(taken)
        assert device.taken == b"hello, world"

    async def test_a_writer_waits_when_too_much_waits_for_the_guest(self) -> None:
        device = Device(room=0)
        console = make(device)
        data = bytes(range(256)) * 1024
        writer = await stays(console.write(data))
        assert INPUT_MAX <= console.input_waiting < 2 * INPUT_MAX
        while not writer.done():
            device.room = 1000
            console.pump()
            await asyncio.sleep(0)
        device.room = len(data)
        console.pump()
        assert device.taken == data

    async def test_a_device_that_takes_everything_is_given_a_little_in_each_turn_of_the_event_loop(self) -> None:
        """A guest in the same process does all that it does with the input before it returns."""
        console, work, taken = make(), Work(), bytearray()

        def take(data: bytes) -> int:
            work.more(len(data))
            taken.extend(data)
            return len(data)

        console.bind(take)
        text = bytes(range(256)) * 240
        await soon(console.write(text))
        await soon(console.input_taken())
        assert taken == text
        assert work.most <= 2 * PUMPED_MAX  # what is typed, and what has waited

    async def test_several_writers_take_turns_and_none_loses_a_byte(self) -> None:
        device = Device(room=0)
        console = make(device)
        size = 3 * INPUT_MAX
        writers = [asyncio.ensure_future(console.write(letter * size)) for letter in (b"a", b"b", b"c")]
        while not all(writer.done() for writer in writers) or console.input_waiting:
            device.room = 5000
            console.pump()
            await asyncio.sleep(0)
        assert sorted(device.taken) == sorted(b"a" * size + b"b" * size + b"c" * size)
        assert device.taken[:size] != b"a" * size

    async def test_what_is_typed_before_the_guest_is_there_waits_for_it(self) -> None:
        console = make()
        await soon(console.write(b"early"))
        device = Device(room=100)
        console.set_state(ConsoleState.LIVE)
        console.bind(device)
        assert device.taken == b"early"

    async def test_input_does_not_outlive_its_guest(self) -> None:
        console = make(Device(room=10))
        reader = console.attach()
        data = b"x" * 3 * INPUT_MAX
        writer = await stays(console.write(data))
        console.bind(None)
        console.set_state(ConsoleState.GONE, "the guest is gone: destroyed")
        await soon(writer)
        await soon(console.input_taken())
        await soon(console.write(b"more"))
        assert console.input_lost == len(data) - 10 + len(b"more")
        assert await text_of(reader) == "web1: the guest is gone: destroyed"
        told = await soon(reader.next())
        assert isinstance(told, Notice)
        assert "what is typed now is lost" in told.text
        assert not reader.behind
        device = Device(room=100)
        console.set_state(ConsoleState.LIVE)
        console.bind(device)
        await soon(console.write(b"hello"))
        assert device.taken == b"hello"


class TestState:
    @pytest.mark.parametrize(
        "path",
        [
            [ConsoleState.LIVE, ConsoleState.AWAY, ConsoleState.LIVE, ConsoleState.GONE, ConsoleState.LIVE],
            [ConsoleState.LIVE, ConsoleState.AWAY, ConsoleState.GONE],
            [ConsoleState.OFF, ConsoleState.FAULT, ConsoleState.LIVE, ConsoleState.OFF, ConsoleState.GONE],
            [ConsoleState.GONE, ConsoleState.OFF, ConsoleState.LIVE, ConsoleState.FAULT, ConsoleState.OFF],
        ],
    )
    async def test_what_can_happen(self, path: list[ConsoleState]) -> None:
        console = make()
        for state in path:
            console.set_state(state, f"why {state.name}")
            assert (console.state, console.reason) == (state, f"why {state.name}")

    @pytest.mark.parametrize("state", [ConsoleState.GONE, ConsoleState.OFF, ConsoleState.FAULT])
    async def test_what_cannot(self, state: ConsoleState) -> None:
        console = make()
        with pytest.raises(StateError, match="WAITING, which needs AWAY"):
            console.set_state(ConsoleState.AWAY)
        console.set_state(state)
        with pytest.raises(StateError, match=f"{state.name}, which needs WAITING"):
            console.set_state(ConsoleState.WAITING)

    async def test_the_same_state_again_is_no_news(self) -> None:
        console = make(Device(0))
        reader = console.attach()
        console.set_state(ConsoleState.LIVE)
        assert not reader.behind

    async def test_whoever_is_attached_is_told(self) -> None:
        console = make(Device(0))
        reader: Reader = console.attach()
        console.set_state(ConsoleState.AWAY, "machine l1 is not connected: it closed the connection")
        assert await text_of(reader) == "web1: machine l1 is not connected: it closed the connection"


class Seen:
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def output(self, offset: int, data: bytes) -> None:
        self.told.append(("output", offset, data))

    def gap(self, offset: int, lost: int) -> None:
        self.told.append(("gap", offset, lost))

    def typed(self, data: bytes, who: Principal | None) -> None:
        self.told.append(("typed", data, who and who.name))

    def state_changed(self, state: ConsoleState, reason: str) -> None:
        self.told.append((state, reason))


async def test_an_observer_is_told_everything_in_order() -> None:
    console, seen = Console("web1", scrollback=100), Seen()
    console.observe(seen)
    console.resume(1000, b"before")
    console.set_state(ConsoleState.LIVE)
    console.output(b"hello")
    console.gap(7)
    await console.write(b"typed", Principal("alice"))
    assert seen.told == [
        (ConsoleState.LIVE, ConsoleState.LIVE.value),
        ("output", 1000, b"hello"),
        ("gap", 1005, 7),
        ("typed", b"typed", "alice"),
    ]
    assert console.read_from(994, 100).data == b"beforehello"


async def test_input_that_is_held_is_lost_and_never_runs_later() -> None:
    """security.md 12."""
    console, got = Console("web1", scrollback=100), bytearray()
    console.set_state(ConsoleState.LIVE)

    def take(data: bytes) -> int:
        got.extend(data)
        return len(data)

    console.bind(take)
    reader = console.attach()
    console.hold_input("no room for the recording: input is lost")
    await console.write(b"typed")
    assert (console.input_lost, console.refuses) == (5, "no room for the recording: input is lost")
    assert await reader.next() == Notice("web1: no room for the recording: input is lost")
    console.hold_input("")
    assert await reader.next() == Notice("web1: input is taken again")
    await console.write(b"again")
    assert (console.input_waiting, console.refuses, bytes(got)) == (0, "", b"again")


class Line:
    """What a break goes to: it has room for so many."""

    def __init__(self, room: int = 1) -> None:
        self.room = room
        self.breaks = 0

    def send_break(self) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.breaks += 1
        return True


class TestBreak:
    """faults.md: what is typed while a link is broken for a moment waits for it; a break is typed, too."""

    async def test_waits_for_a_link_that_is_broken(self) -> None:
        console, device, line = make(), Device(room=100), Line()
        console.set_state(ConsoleState.LIVE)
        console.bind(None)  # the native half went away, less than a second ago
        sent = await stays(console.send_break(b"h"))
        console.set_state(ConsoleState.AWAY)
        await asyncio.sleep(0)
        assert not sent.done()
        console.set_state(ConsoleState.LIVE)
        console.bind(device, line.send_break)
        assert await soon(sent)
        assert (line.breaks, bytes(device.taken)) == (1, b"h")

    async def test_goes_behind_what_was_typed_while_the_link_was_broken(self) -> None:
        console, device, line = make(), Device(room=3), Line()
        console.set_state(ConsoleState.LIVE)
        await soon(console.write(b"before"))
        sent = await stays(console.send_break())
        console.bind(device, line.send_break)
        await asyncio.sleep(0)
        assert (bytes(device.taken), line.breaks) == (b"bef", 0)
        device.room = 100
        console.pump()
        assert await soon(sent)
        assert (bytes(device.taken), line.breaks) == (b"before", 1)

    @pytest.mark.parametrize("typed", [b"", b"typed"])
    async def test_is_not_for_the_guest_that_comes_next(self, typed: bytes) -> None:
        console, device, line = make(), Device(room=100), Line()
        console.set_state(ConsoleState.LIVE)
        console.bind(None)
        await soon(console.write(typed))
        sent = await stays(console.send_break())
        console.set_state(ConsoleState.GONE)  # and at once another
        console.set_state(ConsoleState.LIVE)
        console.bind(device, line.send_break)
        with pytest.raises(LineFault, match="the guest for which it was meant is gone"):
            await soon(sent)
        assert line.breaks == 0
        assert await soon(console.send_break())

    async def test_ends_with_its_guest(self) -> None:
        console, line = make(Device(room=100)), Line(room=0)
        console.bind(Device(room=100), line.send_break)
        console.set_state(ConsoleState.LIVE)
        sent = await stays(console.send_break())
        console.bind(None)
        console.set_state(ConsoleState.GONE)
        assert not await soon(sent)

    async def test_ends_when_input_is_held(self) -> None:
        console, line = make(), Line(room=0)
        console.set_state(ConsoleState.LIVE)
        console.bind(Device(room=100), line.send_break)
        sent = await stays(console.send_break())
        console.hold_input("the disk is full")
        assert not await soon(sent)

    @pytest.mark.parametrize("state", [None, ConsoleState.GONE, ConsoleState.OFF, ConsoleState.FAULT])
    async def test_is_refused_where_nobody_is(self, state: ConsoleState | None) -> None:
        console = make()
        if state is not None:
            console.set_state(state)
        assert not await soon(console.send_break())

    async def test_is_refused_by_a_line_that_has_none(self) -> None:
        console = make(Device(room=100))
        console.set_state(ConsoleState.LIVE)
        assert not await soon(console.send_break())

    async def test_that_is_not_answered_is_known_as_such(self) -> None:
        console = make()
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        console.set_state(ConsoleState.LIVE)
        console.bind(Device(room=100), lambda: answer)
        sent = await stays(console.send_break())
        assert console.break_unanswered
        answer.set_result(None)
        assert await soon(sent)
        assert not console.break_unanswered


async def test_a_key_is_written_at_once_unless_somebody_has_to_wait() -> None:
    device = Device(3)
    console = make(device)
    assert console.write_at_once(b"abc")
    assert device.taken == b"abc"
    assert not console.write_at_once(b"x" * (PUMPED_MAX + 1))
    assert console.write_at_once(b"d")  # it waits for the guest, as what `write` was given does
    assert console.input_waiting == 1
    await soon(console.write(b"x" * (INPUT_MAX - 1)))
    assert not console.write_at_once(b"e")
    device.room = INPUT_MAX
    console.pump()
    await soon(console.input_taken())
    assert device.taken == b"abcd" + b"x" * (INPUT_MAX - 1)


async def test_a_key_that_is_written_at_once_does_not_overtake_a_break() -> None:
    device = Device(0)
    console = make(device)
    console.bind(device, lambda: True)
    assert console.write_at_once(b"a")
    sending = asyncio.create_task(console.send_break())
    await asyncio.sleep(0)
    assert not console.write_at_once(b"b")
    device.room = 1
    console.pump()
    assert await soon(sending)
    assert console.write_at_once(b"b")
