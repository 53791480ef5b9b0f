"""A front that was taken over: whatever it sends ends it with one clear reason, and costs the others nothing.

The core is a real one, in this process, with an honest front beside the hostile one.
"""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import tracemalloc
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oobconsole.access import Principal
from oobconsole.events import Event, Kind
from oobconsole.front import frames, relay
from oobconsole.front.ends import INPUT_WINDOW, QUESTIONS_MAX
from oobconsole.front.frames import DATA_MAX, FRONT_SIZES, FromFront, Opening
from oobconsole.front.reception import SESSIONS_MAX, WINDOW, Lobby
from oobconsole.front.refusals import LISTED_MAX, LOGINS_MAX
from oobconsole.front.relay import Relay
from oobconsole.net.listener import hand_over
from oobconsole.ssh import kind
from tests.loopback.lab import Lab
from tests.support.aio import soon, until

LOGIN = frames.login(0.0, "alice", "SHA256:key", "192.0.2.1")
F = FromFront


class Hostile:
    """A front of which only the socket is there."""

    def __init__(self, lab: Lab, connections: int = 1000) -> None:
        self.lobby = Lobby(lab.reception, connections)
        self.relay = Relay(self.lobby, kind.keys(lab.config))
        self._core, self._own = socket.socketpair()
        for sock in (self._core, self._own):
            sock.setblocking(False)

    async def start(self) -> None:
        await hand_over(self._core, partial(_itself, self.relay))

    async def send(self, *parts: bytes) -> None:
        await soon(asyncio.get_running_loop().sock_sendall(self._own, b"".join(parts)))

    async def ends(self) -> str:
        """Why."""
        return await soon(asyncio.shield(self.relay.ended))

    def close(self) -> None:
        self._own.close()
        self.relay.end("the test is over")


def _itself(protocol: asyncio.Protocol) -> asyncio.Protocol:
    return protocol


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path) as running:
        running.appear()
        yield running


@pytest.fixture
async def hostile(lab: Lab) -> AsyncIterator[Hostile]:
    front = Hostile(lab)
    await front.start()
    yield front
    front.close()


def session(number: int = 1, command: str = "watch web1", connection: int = 1) -> bytes:
    return frames.frame(F.OPEN, number, frames.opening(connection, Opening(command)))


def typed(data: bytes, number: int = 1) -> bytes:
    return frames.typed(number, 0.0, data)


ENTERED = frames.frame(F.LOGIN, 1, LOGIN)
BEGUN = ENTERED + session()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff" * 100, "kind 255, which there is not"),
        (b"SSH-2.0-x\r\n" * 10, "kind 83"),
        (frames.header(F.INPUT, 1, 2**32 - 1), "4294967295 bytes"),
        (frames.header(F.OPEN, 1, FRONT_SIZES[F.OPEN][1] + 1), "bytes; it has"),
        (frames.frame(66, 1, b"F"), "kind 66"),
        (frames.frame(F.READY, 0, b"\xff\xff"), "a text of 65535 bytes, where 0 bytes are left"),
        (frames.frame(F.READY, 0) * 2, "READY came twice"),
        (frames.frame(F.SERVING, 7), "settings 7, which it was not given"),
        (frames.frame(F.PONG, 1, frames.count(5)), "ping 1, which was not asked"),
        (frames.frame(F.PONG, 1), "0 bytes; it has 4 to 4"),
        (frames.frame(F.LOGIN, 1, frames.login(0, "", "", "")), "who cannot be"),
        (frames.frame(F.LOGIN, 1, frames.login(0, "a\x1b[2J", "", "")), "who cannot be"),
        (frames.frame(F.LOGIN, 1, frames.login(0, "a" * 65, "", "")), "who cannot be"),
        (frames.frame(F.LOGIN, 1, b"\x7f\xf0" + bytes(6) + frames.texts("a", "b", "c")), "seconds ago"),
        (frames.frame(F.LOGIN, 1, LOGIN[:-1] + b"\xff"), "no UTF-8"),
        (ENTERED * 2, "a second login of connection 1"),
        (frames.frame(F.LOGOUT, 1), "connection 1, which there is not"),
        (BEGUN + frames.frame(F.LOGOUT, 1), "before its sessions"),
        (frames.frame(F.LOGIN, 2, LOGIN) + frames.frame(F.LOGIN, 1, LOGIN), "a second login of connection 1"),
        (session(), "connection 1, which there is not"),
        (BEGUN + session(), "session 1 begins twice"),
        (ENTERED + frames.frame(F.LOGOUT, 1) + session(), "connection 1, which there is not"),
        (frames.frame(F.OPEN, 1, bytes(FRONT_SIZES[F.OPEN][0] - 2) + b"\xff\xff"), "do not fit"),
        (ENTERED + b"".join(session(number) for number in range(1, SESSIONS_MAX + 2)), f"more than {SESSIONS_MAX}"),
        (typed(b"x"), "session 1, which there is not"),
        (BEGUN + typed(b"x" * DATA_MAX) + typed(b"x"), "more input than there was credit for"),
        (BEGUN + frames.frame(F.CREDIT, 1, frames.count(1 << 31)), "more credit than there was output"),
        (BEGUN + frames.frame(F.CLOSED, 1) + typed(b"x"), "session 1, which there is not"),
        (BEGUN + frames.frame(F.CLOSED, 1) * 2, "session 1, which there is not"),
        (BEGUN + frames.frame(F.DISMISS, 1, b"\xff"), "no UTF-8"),
        (BEGUN + frames.frame(F.SIGNAL, 1, b"\xff"), "no UTF-8"),
        (BEGUN + frames.frame(F.SIGNAL, 1, b"USR1"), "SIGNAL is 'USR1', which no front passes on"),
        (BEGUN + frames.frame(F.SIGNAL, 1, b"x" * 9), "says 9 bytes"),
        (frames.frame(F.SIGNAL, 1, b"INT"), "session 1, which there is not"),
        (BEGUN + frames.frame(F.BREAK, 1, b"\2"), "BREAK says 2, where 0 or 1 belongs"),
    ],
)  # fmt: skip
async def test_what_no_front_of_ours_sends_ends_it(lab: Lab, hostile: Hostile, data: bytes, why: str) -> None:
    async with await soon(lab.connect()) as honest:
        process = await soon(honest.create_process("web1", encoding=None))
        await hostile.send(data)
        said = await hostile.ends()
        assert said.startswith("it broke the relay's protocol: ")
        assert why in said
        process.stdin.write(b"others go on")
        await soon(process.stdout.readuntil(b"others go on"))
    assert hostile.lobby.visitors == ()


async def test_frames_that_come_byte_by_byte_or_never_whole(lab: Lab, hostile: Hostile) -> None:
    for byte in BEGUN + typed(b"watch takes no input"):
        await hostile.send(bytes([byte]))
    await until(lambda: lab.console.attached == 1, lambda: lab.console.attached)
    await hostile.send(frames.header(F.INPUT, 1, DATA_MAX))
    for _ in range(20):
        await hostile.send(b"x" * 1000)
    assert not hostile.relay.ended.done()
    hostile.close()
    await until(lambda: lab.console.attached == 0, lambda: lab.console.attached)


async def test_random_bytes_behind_a_good_beginning(lab: Lab) -> None:
    for _ in range(30):
        front = Hostile(lab)
        await front.start()
        await front.send(BEGUN, os.urandom(4096))
        front.close()
        await front.ends()
    await until(lambda: lab.console.attached == 0, lambda: lab.console.attached)


async def test_the_other_end_that_never_reads(lab: Lab, hostile: Hostile) -> None:
    """It begins sessions that watch a flood, gives them credit, and reads nothing: nothing is kept for it."""
    await hostile.send(ENTERED, *(session(number) for number in range(1, 31)))
    await until(lambda: lab.console.attached == 30, lambda: lab.console.attached)
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(200):
            lab.console.output(b"y" * 16384)
            await asyncio.sleep(0)
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert current < 30 * (WINDOW + 2 * DATA_MAX) + (4 << 20)


async def test_floods_are_handled_a_little_at_a_time(
    lab: Lab, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames that mean nothing, as many as it can send: what is waiting is bounded, and others have their turns."""
    monkeypatch.setattr(relay, "TURN_SECONDS", 0.0005)
    await hostile.send(BEGUN)
    flood = asyncio.create_task(hostile.send(frames.frame(F.SIZE, 1, frames.size(24, 80)) * 100_000))
    async with await soon(lab.connect()) as honest:
        assert (await soon(honest.run("ls"))).exit_status == 0
        assert hostile.relay._decoder.waiting < 4 * relay.WAITING_MAX
    await soon(flood)
    assert not hostile.relay.ended.done()


async def test_logins_and_refusals_without_end_are_counted(lab: Lab, hostile: Hostile) -> None:
    """They must not push what others did out of the audit log."""
    seen: list[Event] = []
    lab.services.events.add_sink(seen.append)
    refusal = frames.frame(F.REFUSED, 0, frames.texts("mallory", "", "192.0.2.1", "no such key"))
    with capture_logs():
        await hostile.send(refusal * (LISTED_MAX * 3))
        for number in range(1, LOGINS_MAX + 500):
            await hostile.send(frames.frame(F.LOGIN, number, LOGIN), frames.frame(F.LOGOUT, number))
        await hostile.send(frames.frame(F.READY, 0))
        await soon(asyncio.shield(hostile.relay.ready))
        lab.reception.refusals.flush()
        lab.reception.logins.flush()
    kinds = [event.kind for event in seen]
    assert kinds.count(Kind.LOGIN_REFUSED) == LISTED_MAX + 1
    assert kinds.count(Kind.LOGIN) == LOGINS_MAX + 1
    assert kinds.count(Kind.LOGOUT) == LOGINS_MAX
    assert sum(int(event.detail.get("more") or 0) for event in seen) == 2 * LISTED_MAX + 499


async def test_questions_about_keys_are_few_and_name_users_only(lab: Lab, hostile: Hostile) -> None:
    for number, user in enumerate(("../../../etc/shadow", "/etc/shadow", "alice\0", "alice/../alice", "x" * 1000)):
        await hostile.send(frames.frame(F.ASK_KEYS, number, user.encode()))
        kind_, _, content = await hostile_answer(hostile)
        assert (kind_, content) == (frames.FromCore.KEYS, b"F")
    await hostile.send(*(frames.frame(F.ASK_KEYS, number, b"alice") for number in range(100 * QUESTIONS_MAX)))
    assert "questions at the same time" in await hostile.ends()


async def hostile_answer(hostile: Hostile) -> frames.Frame:
    decoder = frames.Decoder(frames.CORE_SIZES)
    while (found := decoder.next()) is None:
        decoder.feed(await soon(asyncio.get_running_loop().sock_recv(hostile._own, 65536)))
    return found


async def test_nobody_who_comes_by_a_front_is_local(lab: Lab, hostile: Hostile) -> None:
    """`status` is for the local command; a front may claim to be any user, and no more."""
    await hostile.send(frames.frame(F.LOGIN, 1, frames.login(0, "root", "", "")), session(1, "status"))
    decoder, said = frames.Decoder(frames.CORE_SIZES), b""
    while b"is for the server's own user" not in said:
        decoder.feed(await soon(asyncio.get_running_loop().sock_recv(hostile._own, 65536)))
        said += b"".join(frame.content for frame in iter(decoder.next, None))
    assert Principal("root").local is False


async def test_input_windows_are_narrow_when_there_are_many_sessions(
    lab: Lab, hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Input that nobody reads stays bounded, however many sessions a front begins."""
    monkeypatch.setattr("oobconsole.front.reception.WIDE_SESSIONS", 2)
    await hostile.send(ENTERED, *(session(number, "watch web1") for number in (1, 2, 3)))
    await until(lambda: len(hostile.lobby.visitors) == 3, lambda: hostile.lobby.visitors)
    await hostile.send(typed(b"x" * WINDOW, 2))
    await hostile.send(typed(b"x" * (INPUT_WINDOW + 1), 3))
    assert "more input than there was credit for" in await hostile.ends()
