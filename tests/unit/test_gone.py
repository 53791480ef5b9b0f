"""What is written in the moment in which the other end has gone, before anybody has been told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import uvloop

from oobconsole.lines.chardev import ChardevStream, parse
from oobconsole.vfio_user.link import Kind
from oobconsole.vfio_user.stream import _Connection


def to_a_keeper(transport: asyncio.Transport) -> None:
    connection = _Connection(SimpleNamespace())  # type: ignore[arg-type]
    connection.transport = transport
    connection.send(Kind.BREAK)


def to_a_chardev(transport: asyncio.Transport) -> None:
    stream = ChardevStream("web1", parse("unix:/run/web1"))
    stream._connection = SimpleNamespace(room=1, transport=transport)  # type: ignore[assignment]
    assert stream.write(b"x") == 0


@pytest.mark.parametrize("write", [to_a_keeper, to_a_chardev])
def test_it_is_no_bug_of_ours(write: Callable[[asyncio.Transport], None]) -> None:
    """uvloop's transports, unlike asyncio's own, raise `RuntimeError` then."""

    async def gone() -> None:
        ours, _theirs = socket.socketpair()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        transport.abort()
        for _ in range(10):
            await asyncio.sleep(0)
        with pytest.raises(RuntimeError):  # else this shows nothing
            transport.write(b"x")
        write(transport)
        _theirs.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(gone())
