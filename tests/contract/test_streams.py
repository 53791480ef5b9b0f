"""What every line does the same: one suite, run over each kind with a real other end."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.lines import DialRig, LibvirtRig, LineRig, ListenRig, PtyRig, Rfc2217Rig, VfioUserRig
from tests.support.aio import idle, until

KINDS = {
    "unix": lambda folder: DialRig(folder, socket.AF_UNIX),
    "tcp": lambda folder: DialRig(folder, socket.AF_INET),
    "unix-listen": lambda folder: ListenRig(folder, socket.AF_UNIX),
    "tcp-listen": lambda folder: ListenRig(folder, socket.AF_INET),
    "tty": PtyRig,
    "rfc2217": Rfc2217Rig,
    "libvirt": LibvirtRig,
    "vfio-user": VfioUserRig,
}


@pytest.fixture(params=KINDS)
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LineRig]:
    made = KINDS[request.param](tmp_path)
    await made.start()
    yield made
    await made.stop()
    await made.stream.stop()


async def test_bytes_pass_both_ways_whatever_they_are(rig: LineRig) -> None:
    every = bytes(range(256)) * 4
    assert rig.print(every) == len(every)
    await until(lambda: rig.events.got == every, lambda: rig.events.got)
    assert rig.stream.write(every) == len(every)
    typed = bytearray()

    def arrived() -> bool:
        typed.extend(rig.typed())
        return bytes(typed) == every

    await until(arrived, lambda: typed)


async def test_a_line_that_takes_nothing_accepts_only_so_much_and_loses_nothing(rig: LineRig) -> None:
    data = os.urandom(4 << 20)
    sent = 0

    def full() -> bool:
        nonlocal sent
        count = rig.stream.write(data[sent : sent + 4096])
        sent += count
        return count == 0

    await until(full, lambda: sent)
    assert sent < len(data)
    typed = bytearray()

    def arrived() -> bool:
        typed.extend(rig.typed())
        return len(typed) >= sent and rig.events.writable_calls > 0

    await until(arrived, lambda: (sent, len(typed), rig.events.writable_calls))
    assert bytes(typed) == data[:sent]


async def test_a_line_that_is_lost_says_why_and_comes_back(rig: LineRig) -> None:
    await rig.vanish()
    await until(lambda: bool(rig.events.downs) and not rig.events.is_up, lambda: rig.events.downs)
    assert rig.events.downs[-1][0]
    assert rig.stream.write(b"nobody is there") == 0
    await rig.appear()
    await rig.meet()
    rig.print(b"again")
    await until(lambda: rig.events.got.endswith(b"again"), lambda: rig.events.got)


@pytest.mark.parametrize("kind", ["unix", "tcp", "unix-listen", "tcp-listen"])
async def test_a_line_that_is_held_waits_and_loses_nothing(kind: str, tmp_path: Path) -> None:
    rig = KINDS[kind](tmp_path)
    await rig.start()
    rig.print(b"before")
    await until(lambda: rig.events.got == b"before", lambda: rig.events.got)
    assert rig.stream.hold(True)
    rig.print(b", and after")
    await idle()
    assert rig.events.got == b"before"
    assert rig.stream.hold(False)
    await until(lambda: rig.events.got == b"before, and after", lambda: rig.events.got)
    await rig.stop()
    assert not rig.stream.hold(True)


@pytest.mark.parametrize("kind", ["tty", "rfc2217"])
async def test_what_cannot_be_reached_is_tried_again_ever_later(kind: str, tmp_path: Path) -> None:
    rig = KINDS[kind](tmp_path)
    await rig.stream.start(rig.events)
    await until(lambda: len(rig.events.downs) >= 3, lambda: rig.events.downs)
    delays = [delay or 0.0 for _, delay in rig.events.downs]
    assert all(earlier < later for earlier, later in itertools.pairwise(delays))
    await rig.stream.stop()
