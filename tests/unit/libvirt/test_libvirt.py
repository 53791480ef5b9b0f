"""An event loop that is late loses output of libvirt's, and says how much; nothing grows without end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest

from oobconsole.libvirt import library as virt
from oobconsole.libvirt import stream as libvirt
from oobconsole.libvirt.threads import HostThreads
from tests.support.aio import idle, soon, until
from tests.support.pace import scaled

pytestmark = pytest.mark.needs("libvirt")

#: What the thread of a channel lets go of at its end, in order.
RELEASED: Final = ["eventRemoveCallback", "settled", "abort", "close"]


class Events:
    def __init__(self) -> None:
        self.got = bytearray()
        self.lost = 0
        self.writable_calls = 0

    def up(self, peer: str) -> None: ...

    def down(self, reason: str, retry_s: float | None) -> None: ...

    def output(self, data: bytes) -> None:
        assert not self.lost
        self.got += data

    def gap(self, lost: int) -> None:
        self.lost += lost

    def writable(self) -> None:
        self.writable_calls += 1


class FakeStream:
    """libvirt's, as one that takes nothing until it is told to."""

    def __init__(self) -> None:
        self.may_send = threading.Event()
        self.sent = bytearray()
        self.released: list[str] = []

    def send(self, data: bytes) -> int:
        self.may_send.wait(scaled(10))
        self.sent += data[:100]
        return len(data[:100])

    def __getattr__(self, name: str) -> Any:
        return lambda: self.released.append(name)


@pytest.fixture
async def channel(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[libvirt._Channel]:
    """A channel whose thread has ended when the test has: it would settle the events of the next test's stream."""
    stream = FakeStream()
    timer = virt.load().virEventAddTimeout(-1, lambda *_: None, None)
    monkeypatch.setattr(libvirt._Channel, "_open", lambda _: (stream, stream, timer))
    monkeypatch.setattr(virt, "settle_events", lambda: stream.released.append("settled"))
    made = libvirt._Channel(Events(), HostThreads(), "test:///default", "uuid", "serial0", force=False)
    made.stream = stream  # type: ignore[attr-defined]
    await soon(made.opened)
    yield made
    stream.may_send.set()
    made.close()
    await until(lambda: stream.released == RELEASED, lambda: stream.released)


async def test_output_beyond_the_bound_is_lost_and_counted(channel: Any) -> None:
    for _ in range(5):
        channel._keep(bytes(1 << 20))
    await idle()
    events = channel._events
    assert (len(events.got), events.lost) == (libvirt.OUTPUT_MAX, (5 << 20) - libvirt.OUTPUT_MAX)
    events.lost = 0
    channel._keep(b"again")
    await idle()
    assert events.got.endswith(b"again")


async def test_input_is_bounded_and_arrives_whole_in_any_pieces(channel: Any) -> None:
    data = bytes(range(256)) * 4
    accepted = channel.write(data) + channel.write(data)
    assert accepted == libvirt.WRITE_MAX
    channel.stream.may_send.set()
    await until(lambda: len(channel.stream.sent) == accepted, lambda: len(channel.stream.sent))
    assert bytes(channel.stream.sent) == (data * 2)[:accepted]
    await until(lambda: channel._events.writable_calls > 0, lambda: channel._events.writable_calls)


async def test_the_last_output_before_the_end_is_shown_and_everything_is_released(channel: Any) -> None:
    channel._keep(b"panic")
    channel._end("libvirt ended it")
    assert await soon(asyncio.shield(channel.ended)) == "libvirt ended it"
    assert channel._events.got == b"panic"
    await until(lambda: channel.stream.released == RELEASED, lambda: channel.stream.released)


async def test_nothing_comes_from_what_was_closed(channel: Any) -> None:
    channel.close()
    channel._keep(b"late")
    await idle()
    assert channel._events.got == b""


async def test_an_open_console_has_a_thread_only_while_it_is_typed_at(channel: Any) -> None:
    """Each had one for as long as it was open: ten thousand domains were ten thousand threads."""
    threads: HostThreads = channel._threads
    await until(lambda: threads.opening.running == 0, lambda: threads.opening.running)
    assert threads.typing.running == 0
    channel.write(b"uptime\r")
    await until(lambda: threads.typing.running == 1, lambda: threads.typing.running)
    channel.write(b"uptime\r")
    assert threads.typing.running == 1
    channel.stream.may_send.set()
    await until(lambda: threads.typing.running == 0, lambda: threads.typing.running)
    assert bytes(channel.stream.sent) == b"uptime\ruptime\r"


async def test_a_console_that_is_closed_while_it_is_typed_at_is_released_behind_that(channel: Any) -> None:
    channel.write(b"uptime\r")
    await until(lambda: channel._threads.typing.running == 1, lambda: channel._threads.typing.running)
    channel.close()
    await idle()
    assert channel.stream.released == []
    channel.stream.may_send.set()
    await until(lambda: channel.stream.released == RELEASED, lambda: channel.stream.released)
