"""A line at which QEMU connects to us: one QEMU at a time."""

from __future__ import annotations

import socket

from oobconsole.lines.chardev import ChardevStream, parse
from tests.support.aio import until
from tests.support.ports import free_port
from tests.unit.lines.test_uucp import Events


async def test_of_two_that_are_accepted_in_the_same_turn_one_is_connected() -> None:
    """faults.md 19, variation: both found the line free, as when one had waited until a dead connection was gone. The
    guest's output was that of two, and the line was down when the first of them had gone."""
    told = Events()
    line = ChardevStream("web1", parse(f"tcp-listen:127.0.0.1:{free_port()}"))
    await line.start(told)
    pairs = [socket.socketpair() for _ in range(2)]
    for ours, theirs in pairs:
        ours.setblocking(False)
        theirs.setblocking(False)
        line._accept(ours)
    first, second = (theirs for _, theirs in pairs)
    await until(lambda: _is_closed(second) and len(told.told) > 1, lambda: told.told)
    assert [text.startswith("up: ") for text in told.told] == [False, True]
    assert not _is_closed(first)
    first.close()
    await until(lambda: told.told[-1] == "the other end closed the connection", lambda: told.told)
    second.close()
    await line.stop()


def _is_closed(one: socket.socket) -> bool:
    try:
        return not one.recv(1)
    except BlockingIOError:
        return False
