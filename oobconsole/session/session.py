"""One person or script at one console."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from enum import IntEnum
from typing import Any, Final, Protocol

from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice, Reader
from oobconsole.session.escape import Command, EscapeFilter
from oobconsole.session.state import Consoles

HELP: Final = "~.  detach      ~~  send one ~      ~?  this help      (after Enter)"
#: A pipe that has sent nothing for so long, in seconds, may be a person who forgot `ssh -t`.
HINT_SECONDS: Final = 2.0

#: After a write, output gathers this long before the next: a packet for each 16 bytes of a busy guest would cost
#: the server more time than the guest's UART does. The first byte after a pause goes out at once.
GATHER_SECONDS: Final = 0.004


class ExitStatus(IntEnum):
    """What an ssh client's exit status says."""

    OK = 0
    FAILED = 1
    USAGE = 2


class Peer(Protocol):
    """The other end: an SSH channel, or anything that reads and writes bytes."""

    async def read(self) -> bytes:
        """Wait for input; empty at its end."""

    async def write(self, data: bytes) -> None:
        """Send, waiting while the other end is slow. Raises `BrokenPipeError` when it is gone."""

    async def tell(self, text: str) -> None:
        """Say something that is not the guest's: on standard error where there is one."""

    async def gone(self) -> None:
        """Wait until the other end has hung up."""


async def attend(console: Console, peer: Peer, settings: Consoles) -> ExitStatus:
    """A person's session: the scrollback's last lines, then live; `~.` or the end of input detaches."""
    others = console.attached
    reader = console.attach(console.tail_of(settings.tail_lines))
    try:
        company = f", {others} more attached" if others else ""
        await peer.tell(f"{console.name} is {console.state.name.lower()}{company}; ~. detaches, ~? helps")
        return await _first_done(_show(reader, peer), _type_interactively(console, peer), _hung_up(peer))
    finally:
        reader.close()


async def pipe(console: Console, peer: Peer, settings: Consoles) -> ExitStatus:
    """A script's session: bytes in, live bytes out, nothing else. When its input ends it stays until the
    guest has taken it and the output has been quiet for a moment."""
    reader = console.attach()
    activity = asyncio.Event()
    try:
        if console.state is not ConsoleState.LIVE:
            await peer.tell(f"{console.name} is {console.state.name.lower()}: {console.reason}")
        return await _first_done(
            _show(reader, peer, activity),
            _type_to_end(console, peer, reader, activity, settings),
            _hung_up(peer),
        )
    finally:
        reader.close()


async def _first_done(*coroutines: Coroutine[Any, Any, ExitStatus]) -> ExitStatus:
    """Wait for the first to end, end the others; returns, or raises, what it did."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return max(task.result() for task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _hung_up(peer: Peer) -> ExitStatus:
    await peer.gone()
    return ExitStatus.OK


async def _show(reader: Reader, peer: Peer, activity: asyncio.Event | None = None) -> ExitStatus:
    """Everything the guest prints, until the server stops."""
    while True:
        try:
            item = await reader.next()
        except EOFError:
            return ExitStatus.FAILED
        if activity is not None:
            activity.set()
        if isinstance(item, Notice):
            await peer.tell(item.text)
        else:
            await peer.write(item)
            await asyncio.sleep(GATHER_SECONDS)


async def _type_interactively(console: Console, peer: Peer) -> ExitStatus:
    escape = EscapeFilter()
    while data := await peer.read():
        for item in escape.feed(data):
            if item is Command.DETACH:
                await peer.tell(f"detached from {console.name}")
                return ExitStatus.OK
            if item is Command.HELP:
                await peer.tell(HELP)
            elif isinstance(item, bytes):
                await console.write(item)
    return ExitStatus.OK


async def _type_to_end(
    console: Console, peer: Peer, reader: Reader, activity: asyncio.Event, settings: Consoles
) -> ExitStatus:
    lost_before = console.input_lost
    data = await _first_input(peer)
    while data:
        await console.write(data)
        data = await peer.read()
    try:
        async with asyncio.timeout(settings.drain_max_s):
            await console.input_taken()
            await _quiet(reader, activity, settings.drain_s)
    except TimeoutError:
        waiting = console.input_waiting
        what = f"{waiting} bytes of input still wait for the guest" if waiting else "the guest still prints"
        await peer.tell(f"{console.name}: {what} {settings.drain_max_s:g} s after the end of input; leaving")
        return ExitStatus.FAILED if waiting else ExitStatus.OK
    return ExitStatus.FAILED if console.input_lost > lost_before else ExitStatus.OK


async def _first_input(peer: Peer) -> bytes:
    try:
        async with asyncio.timeout(HINT_SECONDS):
            return await peer.read()
    except TimeoutError:
        await peer.tell("attached as a plain byte pipe; for a terminal: ssh -t")
        return await peer.read()


async def _quiet(reader: Reader, activity: asyncio.Event, seconds: float) -> None:
    """Wait until nothing has been printed for so long."""
    while True:
        activity.clear()
        try:
            async with asyncio.timeout(seconds):
                await activity.wait()
        except TimeoutError:
            if not reader.behind:
                return
