"""Verbs for scripts: send, power. (wait: waiting.py.)"""

from __future__ import annotations

import argparse
import asyncio

from oobconsole.access import Right
from oobconsole.events import Kind
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.session.switch import switch
from oobconsole.session.words import FreeText
from oobconsole.vm.power import PowerAction, PowerError


def send_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `send`."""
    parser.add_argument("console", metavar="CONSOLE")
    parser.add_argument("text", metavar="TEXT", action=FreeText)
    parser.add_argument("--no-enter", action="store_true", help="without the Enter key at its end")
    parser.add_argument("--force", action="store_true", help="though somebody has the keyboard (right: force)")


async def handle_send(request: Request) -> ExitStatus:
    """Type a text, if nobody else has the keyboard."""
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
