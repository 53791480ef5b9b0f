"""A script at a console: bytes in, live bytes out, nothing else on standard output."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, Final

from oobconsole.console.console import Console, ConsoleState
from oobconsole.console.reader import Notice, Reader
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.room import Member, Room
from oobconsole.session.state import Consoles

#: A pipe that has sent nothing for so long, in seconds, may be a person who forgot `ssh -t`.
HINT_SECONDS: Final = 2.0

#: After a write, output gathers this long before the next: a packet for each 16 bytes of a busy guest would cost
#: the server more time than the guest's UART does. The first byte after a pause goes out at once.
GATHER_SECONDS: Final = 0.004


async def first_done(*coroutines: Coroutine[Any, Any, ExitStatus]) -> ExitStatus:
    """Wait for the first to end, end the others; returns, or raises, what it did."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return max(task.result() for task in done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Pipe:
    """One script's session. When its input ends it stays until the guest has taken it and the output has been quiet
    for a moment.

    Args:
        offset: where output begins; None: now.
        watch: its input is not for the guest.
        as_json: tell notices as JSON, for programs (docs/sessions.md).
    """

    def __init__(self, request: Request, console: Console, *, offset: int | None, watch: bool, as_json: bool) -> None:
        self._console = console
        self._peer = request.peer
        self._settings: Consoles = request.consoles
        self._room: Room = request.consoles.room(console)
        self._reader: Reader = console.attach(offset)
        self._member: Member = self._room.join(request.who, self._reader, watch=True)
        self._asked_to_watch = watch
        self._as_json = as_json
        self._activity = asyncio.Event()

    async def run(self) -> ExitStatus:
        """To its end."""
        console = self._console
        try:
            state = console.state.name.lower()
            if self._as_json:
                await self._tell_json("attached", console=console.name, state=state, offset=self._reader.position)
            elif console.state is not ConsoleState.LIVE:
                await self._peer.tell(f"{console.name} is {state}: {console.reason}")
            return await first_done(self._show(), self._type(), self._hung_up(), self._ended())
        finally:
            self._room.leave(self._member)
            self._reader.close()

    async def _show(self) -> ExitStatus:
        """Everything the guest prints, until the server stops."""
        while True:
            try:
                item = await self._reader.next()
            except EOFError:
                return ExitStatus.FAILED
            self._activity.set()
            if isinstance(item, Notice):
                await self._tell(item)
            else:
                await self._peer.write(item)
                await asyncio.sleep(GATHER_SECONDS)

    async def _tell(self, notice: Notice) -> None:
        if self._as_json:
            await self._tell_json(notice.kind, text=notice.text, **notice.detail)
        else:
            await self._peer.tell(notice.text)

    async def _tell_json(self, kind: str, **detail: object) -> None:
        await self._peer.tell(json.dumps({"kind": kind, **detail}, ensure_ascii=False))

    async def _hung_up(self) -> ExitStatus:
        await self._peer.gone()
        return ExitStatus.OK

    async def _ended(self) -> ExitStatus:
        await self._peer.tell(await self._member.ended)
        return ExitStatus.FAILED

    # -- input --------------------------------------------------------------------------------------

    async def _type(self) -> ExitStatus:
        lost_before = self._console.input_lost
        data = await self._first_input()
        if data and (self._asked_to_watch or not self._room.claim(self._member)):
            await self._peer.tell(self._why_not())
            return ExitStatus.DENIED
        while data:
            self._room.typed(self._member)
            await self._console.write(data, self._member.who)
            data = await self._peer.read()
            if data and not self._room.may_type(self._member):
                await self._peer.tell(self._why_not())
                return ExitStatus.FAILED
        return await self._drain(lost_before)

    def _why_not(self) -> str:
        name, holder = self._console.name, self._room.holder
        if self._asked_to_watch:
            return f"{name} is only watched: what is typed goes nowhere"
        if holder is None:
            return f"you have no right to write to {name}"
        return f"{holder.who.name} has the keyboard of {name}: ask for it, or wait"

    async def _drain(self, lost_before: int) -> ExitStatus:
        """After the end of input."""
        console, settings = self._console, self._settings
        try:
            async with asyncio.timeout(settings.drain_max_s):
                await console.input_taken()
                await self._quiet(settings.drain_s)
        except TimeoutError:
            waiting = console.input_waiting
            what = f"{waiting} bytes of input still wait for the guest" if waiting else "the guest still prints"
            await self._peer.tell(
                f"{console.name}: {what} {settings.drain_max_s:g} s after the end of input; leaving"
            )
            return ExitStatus.FAILED if waiting else ExitStatus.OK
        return ExitStatus.FAILED if console.input_lost > lost_before else ExitStatus.OK

    async def _first_input(self) -> bytes:
        try:
            async with asyncio.timeout(HINT_SECONDS):
                return await self._peer.read()
        except TimeoutError:
            if not self._as_json:
                await self._peer.tell("attached as a plain byte pipe; for a terminal: ssh -t")
            return await self._peer.read()

    async def _quiet(self, seconds: float) -> None:
        """Wait until nothing has been printed for so long."""
        while True:
            self._activity.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._activity.wait()
            except TimeoutError:
                if not self._reader.behind:
                    return
