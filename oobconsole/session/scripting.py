"""Verbs for scripts: send, power. (wait: waiting.py.)"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Final

from oobconsole.access import Right
from oobconsole.console.console import Console
from oobconsole.console.reader import Reader
from oobconsole.events import Kind
from oobconsole.session.pipe import first_done
from oobconsole.session.request import Denied, ExitStatus, Request, UsageError, echo
from oobconsole.session.switch import switch
from oobconsole.session.words import FreeText
from oobconsole.terminal.plain import PlainLines
from oobconsole.terminal.text import plain
from oobconsole.vm.power import PowerAction, PowerError

#: So many consoles may be typed at with one text, so many of them at a time; so much of each answer is shown.
SEVERAL_MAX: Final = 256
_AT_ONCE: Final = 16
ANSWER_MAX: Final = 4096


def send_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `send`."""
    parser.add_argument("console", metavar="CONSOLE")
    parser.add_argument("text", metavar="TEXT", action=FreeText)
    parser.add_argument("--no-enter", action="store_true", help="without the Enter key at its end")
    parser.add_argument("--force", action="store_true", help="though somebody has the keyboard (right: force)")


async def handle_send(request: Request) -> ExitStatus:
    """Type a text, if nobody else has the keyboard; at several consoles, when a pattern names them."""
    return await (send_to_each if is_pattern(request.args.console) else send_to_one)(request)


async def send_to_one(request: Request) -> ExitStatus:
    """Type a text into the console that was named."""
    console = request.console(Right.WRITE)
    room = request.consoles.room(console)
    if request.args.force:
        request.console(Right.FORCE)
    elif room.holder is not None and not room.shared and not room.holder.who.is_user(request.who):
        await request.peer.tell(f"{room.holder.who.name} has the keyboard of {console.name}: nothing was typed")
        return ExitStatus.FAILED
    text = request.args.text + ("" if request.args.no_enter else "\r")
    lost_before = console.input_lost
    request.consoles.events.emit(Kind.SENT, console.name, request.who, characters=len(text))

    async def send() -> ExitStatus:
        try:
            async with asyncio.timeout(request.consoles.drain_max_s):
                await console.write(text.encode(), request.who)
                await console.input_taken()
        except TimeoutError:
            await request.peer.tell(f"{console.name}: the guest has not taken all of it, and may still do so")
            return ExitStatus.FAILED
        if console.input_lost > lost_before:
            why = console.refuses or "the guest was gone, or took no input, for a moment"
            await request.peer.tell(f"{console.name}: what was typed is lost: {why}")
            return ExitStatus.FAILED
        return ExitStatus.OK

    return await first_done(send(), _gone(request))


def is_pattern(name: str) -> bool:
    """No console's name has one of these in it."""
    return any(c in name for c in "*?[")


async def send_to_each(request: Request) -> ExitStatus:
    """Type a text into every console that a pattern names and the user can see, a few at a time; say of each by its
    name how it went, and show what its guest answered. A console that somebody else has is left out."""
    pattern = request.args.console
    found = [c for c, _ in request.consoles.visible(request.who) if fnmatchcase(c.name, pattern)]
    if not found:
        raise UsageError(f"there is no console {echo(pattern)}; 'ls' lists them")
    if len(found) > SEVERAL_MAX:
        raise UsageError(f"{echo(pattern)} names {len(found)} consoles; at most {SEVERAL_MAX} are typed at together")
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(console: Console) -> bool:
        async with few:
            return await _send_and_show(request, console)

    async def every() -> ExitStatus:
        done = await asyncio.gather(*map(one, found))
        await request.peer.tell(f"typed into {sum(done)} of {len(found)} consoles")
        return ExitStatus.OK if all(done) else ExitStatus.PARTIAL if any(done) else ExitStatus.FAILED

    return await first_done(every(), _gone(request))


async def _send_and_show(request: Request, console: Console) -> bool:
    """Was it typed? What the guest prints until it is quiet is shown to whoever may see it."""
    own = replace(request, args=argparse.Namespace(**{**vars(request.args), "console": console.name}))
    may_watch = request.consoles.access.may(request.who, Right.WATCH, console.name)
    reader = console.attach() if may_watch else None
    try:
        if await send_to_one(own) is not ExitStatus.OK:
            return False
        if reader is not None:
            await request.print(f"{console.name}: {line}" for line in await _answer(request, reader))
    except (Denied, UsageError) as error:
        await request.peer.tell(str(error))
        return False
    finally:
        if reader is not None:
            reader.close()
    return True


async def _answer(request: Request, reader: Reader) -> list[str]:
    """Lines that the guest prints until it is quiet, or has printed enough."""
    text, lines = "", PlainLines()
    with contextlib.suppress(TimeoutError, EOFError):
        async with asyncio.timeout(request.consoles.drain_max_s):
            while len(text) < ANSWER_MAX:
                async with asyncio.timeout(request.consoles.drain_s):
                    item = await reader.next(ANSWER_MAX)
                text += lines.feed(item) if isinstance(item, bytes) else f"\n[{item.text}]\n"
    more = [f"… (more than {ANSWER_MAX} characters)"] if len(text) >= ANSWER_MAX else []
    return [plain(line) for line in text[:ANSWER_MAX].strip("\n").split("\n")] + more


async def _gone(request: Request) -> ExitStatus:
    await request.peer.gone()
    return ExitStatus.FAILED


def power_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `power`."""
    parser.add_argument("console", metavar="CONSOLE")
    parser.add_argument("action", choices=list(PowerAction), type=_action, metavar="|".join(PowerAction))
    parser.add_argument("--yes", action="store_true", help="it is meant")


def _action(text: str) -> PowerAction:
    if text not in list(PowerAction):
        raise argparse.ArgumentTypeError(f"{echo(text)} is none of {', '.join(PowerAction)}")
    return PowerAction(text)


async def handle_power(request: Request) -> ExitStatus:
    """Switch a guest."""
    console = request.console(Right.POWER)
    action: PowerAction = request.args.action
    power = request.consoles.power.get(console.name)
    if power is None:
        raise UsageError(f"nothing is configured that could switch {console.name} (power = …, oobconsole.toml(5))")
    if not request.args.yes:
        raise UsageError(f"{action} of {console.name}: say it again with --yes")
    try:
        said = await switch(request.consoles, console, power, action, request.who)
    except PowerError as error:
        await request.peer.tell(f"{action} of {console.name} failed: {error}")
        return ExitStatus.FAILED
    return await request.print([said])
