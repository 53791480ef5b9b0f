"""One person or script at one console."""

from __future__ import annotations

import asyncio
from enum import IntEnum
from typing import Final, Protocol

from oobconsole.console.console import Console, Notice, Reader
from oobconsole.session.escape import Command, EscapeFilter
from oobconsole.session.state import Consoles

HELP: Final = "~.  detach      ~~  send one ~      ~?  this help      (after Enter)"


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


def _tail_start(console: Console, settings: Consoles) -> int:
    """How far back the last lines begin, in bytes."""
    chunk = console.read_from(max(0, console.end - settings.tail), settings.tail)
    lines = chunk.data.split(b"\n")
    shown = lines[max(0, len(lines) - settings.tail_lines - 1) :] if settings.tail_lines else [b""]
    return len(b"\n".join(shown))


async def _show(reader: Reader, peer: Peer, activity: asyncio.Event) -> None:
    """Everything the guest prints, until the console closes."""
    while True:
        try:
            item = await reader.next()
        except EOFError:
            return
        activity.set()
        if isinstance(item, Notice):
            await peer.tell(item.text)
        else:
            await peer.write(item)


async def _type_interactively(console: Console, peer: Peer) -> None:
    escape = EscapeFilter()
    while data := await peer.read():
        for item in escape.feed(data):
            if item is Command.DETACH:
                await peer.tell(f"detached from {console.name}")
                return
            if item is Command.HELP:
                await peer.tell(HELP)
            elif isinstance(item, bytes):
                await console.write(item)


async def _first_done(*coroutines: asyncio.Task[None]) -> None:
    """Wait for the first to end, end the others, and pass on what it raised."""
    try:
        done, _ = await asyncio.wait(coroutines, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in coroutines:
            task.cancel()
        await asyncio.gather(*coroutines, return_exceptions=True)


async def attend(console: Console, peer: Peer, settings: Consoles) -> ExitStatus:
    """A person's session: the scrollback's tail, then live; `~.` or the end of input detaches."""
    reader = console.attach(_tail_start(console, settings))
    try:
        state = console.state.name.lower()
        others = console.attached - 1
        await peer.tell(f"{console.name} is {state}, {others} others attached. Enter ~. detaches, Enter ~? helps")
        await _first_done(
            asyncio.ensure_future(_show(reader, peer, asyncio.Event())),
            asyncio.ensure_future(_type_interactively(console, peer)),
        )
    finally:
        reader.close()
    return ExitStatus.OK


async def pipe(console: Console, peer: Peer, settings: Consoles) -> ExitStatus:
    """A script's session: bytes in, live bytes out, nothing else. When its input ends it stays until the
    guest has taken it and the output has been quiet for a moment."""
    reader = console.attach()
    activity = asyncio.Event()
    try:
        await _first_done(
            asyncio.ensure_future(_show(reader, peer, activity)),
            asyncio.ensure_future(_type_to_end(console, peer, reader, activity, settings)),
        )
    finally:
        reader.close()
    return ExitStatus.OK


async def _type_to_end(
    console: Console, peer: Peer, reader: Reader, activity: asyncio.Event, settings: Consoles
) -> None:
    while data := await peer.read():
        await console.write(data)
    try:
        async with asyncio.timeout(settings.drain_max_s):
            await console.input_taken()
            quiet = False
            while not quiet:
                activity.clear()
                try:
                    async with asyncio.timeout(settings.drain_s):
                        await activity.wait()
                except TimeoutError:
                    quiet = not reader.behind
    except TimeoutError:
        await peer.tell(
            f"{console.name}: input ended {settings.drain_max_s:g} s ago, the guest is still busy; leaving"
        )
