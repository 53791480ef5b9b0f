"""A script at a console: what it sends is typed, and what the guest prints is its standard output, with nothing
else."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

from oobconsole import supervise
from oobconsole.access import Right
from oobconsole.console.console import NOBODY, Console, ConsoleState
from oobconsole.console.output import GATHER_SECONDS, GATHERED
from oobconsole.console.reader import Notice, Reader
from oobconsole.session.request import ExitStatus, Peer, Request
from oobconsole.session.room import Member, Room
from oobconsole.session.services import Services
from oobconsole.session.within import within
from oobconsole.words import as_json

#: After how many seconds without input a pipe is told about `ssh -t`: it may be a person who has forgotten that.
HINT_SECONDS: Final = 2.0

#: How many seconds a session that must end has to read why.
END_SECONDS: Final = 2.0
#: How many times in a row a guest has to be seen quiet. Why not once? A server that got no time for as long as the
#: guest has to be quiet has not looked meanwhile.
_LOOKS: Final = 10
#: How many bytes are typed between two looks at who has the keyboard.
PART: Final = 4096


async def hung_up(peer: Peer) -> ExitStatus:
    """Wait until the person or script has gone. That ends a session without a failure."""
    await peer.gone()
    return ExitStatus.OK


async def first_done(*coroutines: Coroutine[Any, Any, ExitStatus]) -> ExitStatus:
    """Run all coroutines until the first one ends, and end the others. Returns or raises what the first one did.
    Errors of the others are logged."""
    tasks = [asyncio.create_task(coroutine, name=f"a part of a session, {coroutine!r}") for coroutine in coroutines]
    raised: BaseException | None = None
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        return max(task.result() for task in done)
    except BaseException as error:
        raised = error
        raise
    finally:
        for task in tasks:
            task.cancel()
        for task, result in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
            if isinstance(result, Exception) and result is not raised and not isinstance(result, supervise.PEERS):
                supervise.tell(task.get_name(), result)


async def gather(written: bytes) -> None:
    """Let output gather for a moment, unless enough for a packet was just written. Others get a turn of the event
    loop in any case."""
    await asyncio.sleep(GATHER_SECONDS if len(written) < GATHERED else 0)


async def type_in(room: Room[Console], member: Member, data: bytes) -> bool:
    """Type `data` into the guest as long as this member may type. Returns False if that has ended before all was
    typed."""
    for at in range(0, len(data), PART):
        if not room.may_type(member):
            return False
        room.typed(member)
        await room.place.write(data[at : at + PART], member.who)
    return True


def type_at_once(room: Room[Console], member: Member, data: bytes) -> bool:
    """Type `data` into the guest without waiting. Returns False if that is not possible now, or if this member may
    not type; nothing has been done then."""
    if not room.may_type(member) or not room.place.write_at_once(data, member.who):
        return False
    room.typed(member)
    return True


class Pipe:
    """The session of one script. When its input ends, it stays until the guest has taken the input and has then been
    quiet for a moment.

    Args:
        request: what the script asked for.
        console: the console.
        offset: where in the output it begins; None: at what is printed from now on.
        watch: whether the script only watches, so that input is refused.
        as_json: tell notices as JSON, for programs (docs/sessions.md).
    """

    def __init__(self, request: Request, console: Console, *, offset: int | None, watch: bool, as_json: bool) -> None:
        self._request = request
        self._console = console
        self._peer = request.peer
        self._settings: Services = request.services
        self._room: Room[Console] = request.services.seats.room(console)
        self._reader: Reader = console.attach(offset)
        self._member: Member = self._room.join(request.who, self._reader, watch=True)
        self._asked_to_watch = watch
        self._as_json = as_json
        self._activity = asyncio.Event()
        self._sending = 0  # bytes of output that the client does not take yet

    async def run(self) -> ExitStatus:
        """Run the pipe to its end. Returns the exit status."""
        console = self._console
        try:
            state = console.state.name.lower()
            if self._as_json:
                await self._tell_json("attached", console=console.name, state=state, offset=self._reader.position)
            elif console.state is not ConsoleState.LIVE:
                why = console.reason_now if console.state in NOBODY else console.reason
                await self._peer.tell(f"{console.name} is {state}: {why}")
            return await first_done(self._show(), self._type(), hung_up(self._peer), self._ended())
        finally:
            self._room.leave(self._member, self._peer.why_gone)
            self._reader.close()

    async def _show(self) -> ExitStatus:
        """Send everything that the guest prints, until the server stops."""
        while True:
            try:
                item = await self._reader.next(at_once=self._show_at_once)
            except EOFError:
                return ExitStatus.FAILED
            self._activity.set()
            if isinstance(item, Notice):
                if self._request.may_know(item):
                    await self._tell(item)
            else:
                self._sending = len(item)
                await self._peer.write(item)
                self._sending = 0
                await gather(item)

    def _show_at_once(self, data: bytes) -> bool:
        """Do what `_show` does with output, if the client takes it now."""
        if not self._peer.takes(len(data)):
            return False
        self._activity.set()
        self._peer.put(data)
        return True

    async def _tell(self, notice: Notice) -> None:
        if self._as_json:
            await self._tell_json(notice.kind, text=notice.text, **notice.detail)
        else:
            await self._peer.tell(notice.text)

    async def _tell_json(self, kind: str, **detail: object) -> None:
        await self._peer.error(as_json({"kind": kind, **detail}).encode() + b"\n")

    async def _leave(self, status: ExitStatus, reason: str) -> ExitStatus:
        """Say why the pipe ends, and return `status`."""
        await self._tell(Notice(reason, "end", {"reason": reason}))
        return status

    async def _ended(self) -> ExitStatus:
        """End when somebody has ended the session, and tell the script why."""
        reason = await self._member.ended
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_SECONDS):
                await self._leave(ExitStatus.FAILED, reason)
        return ExitStatus.FAILED

    # -- input --------------------------------------------------------------------------------------

    async def _type(self) -> ExitStatus:
        lost_before = self._console.input_lost
        data = await self._first_input()
        if self._asked_to_watch and not data:
            await self._peer.gone()
            return ExitStatus.OK
        if data and (self._asked_to_watch or not self._room.borrow(self._member)):
            return await self._refuse()
        while data:
            if not await type_in(self._room, self._member, data):
                return await self._refuse()
            data = await self._peer.read()
        return await self._drain(lost_before)

    async def _refuse(self) -> ExitStatus:
        name, holder = self._console.name, self._room.holder
        if self._asked_to_watch:
            return await self._leave(ExitStatus.USAGE, f"{name} is only watched, and takes no input: attach to type")
        if not self._room.may(self._member.who, Right.WRITE):
            return await self._leave(
                ExitStatus.DENIED, f"you have no right to write to {name}: 'watch' takes no input"
            )
        who = f"{holder.who.name} has" if holder else "you have lost"
        return await self._leave(
            ExitStatus.FAILED, f"{who} the keyboard of {name}: the rest of the input is not typed"
        )

    async def _drain(self, lost_before: int) -> ExitStatus:
        """Wait for the rest of the guest's answer after the end of the input. Returns the exit status."""
        console, settings = self._console, self._settings
        try:
            async with asyncio.timeout(settings.drain_max_s):
                await console.input_taken()
                await self._quiet(settings.drain_s)
        except TimeoutError:
            status, what = self._left()
            text = f"{console.name}: {what} {settings.drain_max_s:g} s after the end of input; leaving"
            return await self._leave(status, text)
        return ExitStatus.FAILED if console.input_lost > lost_before else ExitStatus.OK

    def _left(self) -> tuple[ExitStatus, str]:
        """Return what is not done although the time is up, and whether that is a failure. That the guest goes on
        printing is the guest's business. But it is a failure if the script has not been sent what the guest has
        printed."""
        console = self._console
        waiting, unsent = console.input_waiting, console.end - self._reader.position + self._sending
        if waiting:
            return ExitStatus.FAILED, f"{waiting} bytes of input still wait for the guest"
        if unsent and console.is_silent(self._settings.drain_s):
            return ExitStatus.FAILED, f"{unsent} bytes of output still wait for you to read what came before them"
        rest = f", and {unsent} bytes of that are not sent" if unsent else ""
        return ExitStatus.OK, f"the guest still prints{rest}"

    async def _first_input(self) -> bytes:
        """Return the first input. If none comes for a while, tell a person about `ssh -t`."""
        data = await within(HINT_SECONDS, self._peer.read)
        if data is not None:
            return data
        if not (self._as_json or self._asked_to_watch):
            await self._peer.tell("attached as a plain byte pipe; for a terminal: ssh -t")
        return await self._peer.read()

    async def _quiet(self, seconds: float) -> None:
        """Wait until nothing has been printed for so many seconds, as far as this process had the time to look."""
        quiet = 0
        while quiet < _LOOKS:
            self._activity.clear()
            await asyncio.sleep(seconds / _LOOKS)
            is_busy = self._activity.is_set() or self._reader.behind or self._sending
            quiet = 0 if is_busy else quiet + 1
