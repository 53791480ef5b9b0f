"""Attacks that end or stop the fronts, while clients come in by them without end.

A real attacker cannot send signals. But an attacker may find a hole in a library, or a packet that costs a lot. The
front then ends, or is busy for ever. SIGKILL and SIGSTOP show what this costs everybody else at worst.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from typing import Final

from tests.attack.target import Attack, Target
from tests.support.server import Server, fronts_of

#: The pause between two signals, in seconds. A new process serves within a second, so each process serves for a
#: moment.
SIGNAL_SECONDS: Final = 0.5
#: How long a client waits whose front is stopped, in seconds.
CLIENT_SECONDS: Final = 2.0
#: How many clients come in at the same time.
CLIENTS: Final = 6


async def front_killed(target: Target) -> None:
    """One of two fronts is killed (SIGKILL) twice a second, with its spare, under 6 clients that come in without end;
    the honest person is at the other front"""
    await _send_to_fronts(target, signal.SIGKILL)


async def front_stopped(target: Target) -> None:
    """One of two fronts is stopped (SIGSTOP), and so is whatever takes its place, under 6 clients that come in
    without end; the honest person is at the other front"""
    await _send_to_fronts(target, signal.SIGSTOP)


async def only_front_killed(target: Target) -> None:
    """The only front is killed (SIGKILL) twice a second, with its spare, under 6 clients that come in without end;
    the honest person is local"""
    await _send_to_fronts(target, signal.SIGKILL)


async def only_front_stopped(target: Target) -> None:
    """The only front is stopped (SIGSTOP), and so is whatever takes its place, under 6 clients that come in without
    end; the honest person is local"""
    await _send_to_fronts(target, signal.SIGSTOP)


async def _send_to_fronts(target: Target, number: signal.Signals) -> None:
    async def send() -> None:
        while target.goes_on:
            for pid in fronts_of(target.core):
                if pid != target.spared:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            await asyncio.sleep(SIGNAL_SECONDS)

    await asyncio.gather(send(), target.again(CLIENTS, lambda: _come_in(target)))


async def _come_in(target: Target) -> None:
    async with asyncio.timeout(CLIENT_SECONDS), await target.connect() as client:
        await client.run("ls")


@contextlib.contextmanager
def only_first(server: Server) -> Iterator[int]:
    """Stop all fronts but the first one, so that whoever comes in meanwhile comes in by the first. Yields its process
    id."""
    first, *others = server.fronts()
    for pid in others:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield first
    finally:
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


ATTACKS: Final[tuple[Attack, ...]] = (front_killed, front_stopped, only_front_killed, only_front_stopped)
#: Lines for the server's configuration, by the attack's name.
SETTINGS: Final = dict.fromkeys(("front_killed", "front_stopped"), "[front]\nworkers = 2\n")
#: The attacks in which the honest person uses the local socket, because there is no other front.
LOCAL: Final = frozenset({"only_front_killed", "only_front_stopped"})
