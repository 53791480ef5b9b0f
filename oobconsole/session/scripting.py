"""Verbs for scripts: send, wait, power."""

from __future__ import annotations

import argparse
import asyncio
import re
from typing import Final

import regex

from oobconsole.access import Right
from oobconsole.console.console import Console
from oobconsole.console.reader import Notice, Reader
from oobconsole.events import Kind
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request, UsageError, count, echo
from oobconsole.session.safe import SafeFilter
from oobconsole.session.switch import switch
from oobconsole.session.words import FreeText, misplaced
from oobconsole.terminal.text import plain
from oobconsole.vm.power import PowerAction, PowerError

#: A pattern is looked for in the last so many bytes, and may take so long, in seconds, each time.
WINDOW: Final = 65536
MATCH_SECONDS: Final = 0.5
PATTERN_MAX: Final = 1000
_SHOWN_LINES: Final = 10
_COLOURS: Final = re.compile(rb"\x1b\[[\d;:]*m")
_TIMEOUT_MAX: Final = 7 * 86400.0

Pattern = regex.Pattern[bytes]


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
            await request.peer.tell(f"{console.name} is {console.state.name.lower()}: {console.reason}")
            return ExitStatus.FAILED
        return ExitStatus.OK

    return await first_done(send(), _gone(request))


async def _gone(request: Request) -> ExitStatus:
    await request.peer.gone()
    return ExitStatus.FAILED


def wait_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `wait`."""
    parser.add_argument("console", metavar="CONSOLE")
    parser.add_argument("pattern", metavar="REGEX", action=FreeText, understand=_pattern)
    parser.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="then it has failed, with status 4")
    parser.add_argument("--fail", type=_pattern, metavar="REGEX", action="append", default=[], help="fails at once")
    parser.add_argument("--from", type=count, metavar="OFFSET", dest="offset", help="begin at an absolute offset")


def _pattern(text: str) -> Pattern:
    if len(text) > PATTERN_MAX:
        raise argparse.ArgumentTypeError(f"a pattern has at most {PATTERN_MAX} characters")
    try:
        return regex.compile(text.encode(), regex.MULTILINE)
    except (regex.error, OverflowError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"{echo(text)} is no regular expression: {error}") from error


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{echo(text)} is no number of seconds from 0 to {_TIMEOUT_MAX:.0f}")
    return seconds


async def handle_wait(request: Request) -> ExitStatus:
    """Wait for a pattern in what the guest prints from now on, or from an offset on."""
    console = request.console(Right.WATCH)
    _known(request, console)
    if hint := misplaced(request.args.pattern.pattern.decode(), ("--timeout", "--fail", "--from")):
        await request.peer.tell(hint)
    reader = console.attach(request.args.offset)
    try:
        async with asyncio.timeout(request.args.timeout):
            return await first_done(_search(request, console, reader), _gone(request))
    except TimeoutError:
        await request.peer.tell(f"{console.name}: it did not come in {request.args.timeout:g} s; the last lines:")
        await _show_last(request, console)
        return ExitStatus.TIMEOUT
    finally:
        reader.close()


def _known(request: Request, console: Console) -> None:
    offset = request.args.offset
    if offset is not None and offset > console.end:
        raise UsageError(f"{console.name} has printed {console.end} bytes: offset {offset} has not come yet")


async def _search(request: Request, console: Console, reader: Reader) -> ExitStatus:
    shown = SafeFilter(strict=True)
    window = b""
    while True:
        try:
            item = await reader.next()
        except EOFError:
            await request.peer.tell("the console server stops")
            return ExitStatus.FAILED
        if isinstance(item, Notice):
            await request.peer.tell(item.text)
            continue
        window = (window + _COLOURS.sub(b"", shown.feed(item))).replace(b"\r\n", b"\n")[-WINDOW:]
        wanted = await _found(request.args.pattern, window)
        for pattern in request.args.fail:
            found = await _found(pattern, window)
            if found and (wanted is None or found.start() <= wanted.start()):
                await request.peer.tell(f"{console.name}: {echo(pattern.pattern.decode())} came; the last lines:")
                await _show_last(request, console)
                return ExitStatus.FAILED
        if wanted:
            await request.print([_plain(wanted[0])])
            return ExitStatus.OK
        await asyncio.sleep(0.01)  # a guest that floods is looked at a hundred times a second


async def _found(pattern: Pattern, window: bytes) -> regex.Match[bytes] | None:
    """Look for it beside the event loop: a pattern may need all the time that it has."""
    try:
        return await asyncio.to_thread(pattern.search, window, timeout=MATCH_SECONDS, concurrent=True)
    except TimeoutError as error:
        raise UsageError(f"{echo(pattern.pattern.decode())} takes too long to match: make it simpler") from error


async def _show_last(request: Request, console: Console) -> None:
    start = console.tail(_SHOWN_LINES)
    for line in console.read_from(start, console.end - start).data.split(b"\n"):
        await request.peer.tell("  " + _plain(line))


def _plain(line: bytes) -> str:
    text = _COLOURS.sub(b"", SafeFilter(strict=True).feed(line)).decode(errors="replace")
    return plain(text)


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
