"""Types one text into a console, or into each of several consoles. The verb `send` and the menu both use this."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from oobconsole.access import Right
from oobconsole.console.console import Console
from oobconsole.console.reader import Reader
from oobconsole.events import Kind
from oobconsole.session.lastline import read
from oobconsole.session.pipe import PART, first_done
from oobconsole.session.request import Denied, ExitStatus, Request, UsageError
from oobconsole.session.within import within
from oobconsole.terminal.plain import PlainLines
from oobconsole.terminal.text import plain

#: How many consoles one text may be typed into; how many of these at a time; how much of each answer is shown, in
#: characters and in lines; and how many names a list of names has.
SEVERAL_MAX: Final = 256
_AT_ONCE: Final = 16
ANSWER_MAX: Final = 4096
ANSWER_LINES_MAX: Final = 200
_NAMED_MAX: Final = 20


async def send(request: Request) -> ExitStatus:
    """Type the text of the request into the console of the request, and wait until the guest has taken it. Returns
    the exit status. Raises `Denied` and `UsageError` as `Request.console` does."""
    console = request.console()
    room = request.services.seats.room(console)
    if request.args.force:
        request.console(Right.FORCE)
    elif room.holder is not None and not room.shared and not room.holder.who.is_user(request.who):
        await request.peer.tell(f"{room.holder.who.name} has the keyboard of {console.name}: nothing was typed")
        return ExitStatus.FAILED
    text = request.args.text + ("" if request.args.no_enter else "\r")
    lost_before = console.input_lost
    request.services.events.emit(Kind.SENT, console.name, request.who, characters=len(text))
    try:
        async with asyncio.timeout(request.services.drain_max_s):
            await _type(request, console, text.encode())
            await console.input_taken()
    except TimeoutError:
        await request.peer.tell(f"{console.name}: the guest has not taken all of it, and may still do so")
        return ExitStatus.FAILED
    if console.input_lost > lost_before:
        why = console.refuses or "the guest was gone, or took no input, for a moment"
        await request.peer.tell(f"{console.name}: what was typed is lost: {why}")
        return ExitStatus.FAILED
    return ExitStatus.OK


async def _type(request: Request, console: Console, data: bytes) -> None:
    """Type in parts, as long as the user has the right: each part may wait for a guest that reads slowly."""
    for at in range(0, len(data), PART):
        request.keep_right()
        await console.write(data[at : at + PART], request.who)


class Several:
    """Types one text into several consoles, a few at a time. For each console the user is told how it went, and is
    shown what its guest answered. Left out are consoles that no longer exist, whose keyboard somebody else has, or at
    which the user has no right.

    Args:
        request: whose request it is. Its arguments are those of `send`, without the console.
        names: the consoles, each once and `SEVERAL_MAX` at most.
    """

    def __init__(self, request: Request, names: Sequence[str]) -> None:
        self._request = request
        self._names = names
        self._begun: set[str] = set()
        self._left_out: set[str] = set()
        self._typed: set[str] = set()

    async def run(self) -> ExitStatus:
        """Type into all of the consoles. If the user hangs up, or the task is cancelled, the consoles that it has not
        come to get nothing."""
        return await first_done(self._send_to_all(), self._request.hung_up())

    async def _send_to_all(self) -> ExitStatus:
        few = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str) -> None:
            async with few:
                self._begun.add(name)
                await self._send_and_show(name)

        try:
            async with asyncio.TaskGroup() as group:
                for name in self._names:
                    group.create_task(one(name), name=f"a text for {name}")
        except BaseExceptionGroup as errors:  # the user has gone, and the other tasks end with that
            raise errors.exceptions[0] from None
        await self._request.peer.tell(self.summary)
        if self._left_out:
            return ExitStatus.PARTIAL if self._typed else ExitStatus.FAILED
        return ExitStatus.OK

    @property
    def summary(self) -> str:
        """How many consoles have got the text, in words."""
        unsure = sorted(self._begun - self._typed - self._left_out)
        never = [name for name in self._names if name not in self._begun]
        return (
            f"typed into {len(self._typed)} of {len(self._names)} consoles"
            + (f"; perhaps into {named(unsure)}" if unsure else "")
            + (f"; nothing was typed into {named(never)}" if never else "")
        )

    async def _send_and_show(self, name: str) -> None:
        """Type into one console. What its guest prints until it is quiet is shown if the user may see it."""
        args = argparse.Namespace(**{**vars(self._request.args), "console": name})
        request = replace(self._request, args=args)
        reader: Reader | None = None
        try:
            console = request.console()
            before = console.before(console.end)
            if request.services.access.may(request.who, Right.WATCH, name):
                reader = console.attach()
            if await send(request) is not ExitStatus.OK:
                self._left_out.add(name)
                return
            self._typed.add(name)
            if reader is not None:
                await request.print(f"{name}: {line}" for line in await _answer(request, reader, before))
        except (Denied, UsageError) as error:
            self._left_out.add(name)
            await request.peer.tell(str(error))
        finally:
            if reader is not None:
                reader.close()


def named(names: Sequence[str]) -> str:
    """Return how many consoles these are, with the names of the first of them, in words."""
    shown = ", ".join(names[:_NAMED_MAX])
    more = f", … and {len(names) - _NAMED_MAX} more" if len(names) > _NAMED_MAX else ""
    return f"{len(names)} consoles ({shown}{more})" if len(names) > 1 else shown


async def _answer(request: Request, reader: Reader, before: bytes) -> list[str]:
    """Return the lines that the guest prints until it is quiet, or has printed enough."""
    text, parser = "", PlainLines()
    parser.resume(before, time.monotonic())
    with contextlib.suppress(TimeoutError, EOFError):
        async with asyncio.timeout(request.services.drain_max_s):
            while len(text) < ANSWER_MAX:
                item = await within(request.services.drain_s, lambda: reader.next(ANSWER_MAX))
                if item is None:
                    break
                new = await read(parser, item, time.monotonic()) if isinstance(item, bytes) else f"\n[{item.text}]\n"
                text += new
    more = [f"… (more than {ANSWER_MAX} characters)"] if len(text) >= ANSWER_MAX else []
    lines = text[:ANSWER_MAX].strip("\n").split("\n")
    if len(lines) > ANSWER_LINES_MAX:
        more = [f"… (more than {ANSWER_LINES_MAX} lines)"]
    return [plain(line) for line in lines[:ANSWER_LINES_MAX]] + more
