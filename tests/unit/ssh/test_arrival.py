"""When keys came, as a channel tells its session: what was pasted at once is told from what was typed."""

from __future__ import annotations

from typing import cast

import asyncssh
import pytest

from oobconsole.ssh import channel as module
from oobconsole.ssh.channel import Channel
from tests.support.clock import Clock, stopped


class FakeChannel:
    """asyncssh's side, as far as input needs it."""

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return stopped(monkeypatch, module)


def opened() -> Channel:
    """A channel that a client has opened."""
    channel = Channel(lambda _: None, lambda _: None)
    channel._channel = cast("asyncssh.SSHServerChannel[bytes]", FakeChannel())
    return channel


async def test_a_pause_is_between_arrivals_however_late_they_are_read(clock: Clock) -> None:
    channel = opened()
    channel.data_received(b"text", None)
    clock.now += 5
    assert await channel.read() == b"text"
    channel.data_received(b"~", None)
    clock.now += 7
    channel.data_received(b".", None)
    assert await channel.read() == b"~."
    assert channel.pause == 5
    clock.now += 0.25
    channel.data_received(b"x", None)
    assert (await channel.read(), channel.pause) == (b"x", 0.25)


async def test_what_a_client_could_not_send_comes_without_a_pause(clock: Clock) -> None:
    channel = opened()
    channel.data_received(b"x" * 65536, None)
    clock.now += 5
    await channel.read()
    clock.now += 1
    channel.data_received(b"~.", None)
    assert (await channel.read(), channel.pause) == (b"~.", 0)
    clock.now += 2
    channel.data_received(b"y", None)
    assert (await channel.read(), channel.pause) == (b"y", 2)


async def test_what_was_put_back_comes_without_a_pause(clock: Clock) -> None:
    channel = opened()
    channel.data_received(b"text", None)
    clock.now += 5
    assert await channel.read() == b"text"
    channel.put_back(b"xt")
    assert (await channel.read(), channel.pause) == (b"xt", 0)
