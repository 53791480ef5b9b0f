"""The verb `wait`: waits until a guest prints what matches a pattern, or prints what it must not, or the time is
up."""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from oobconsole.console.console import Console
from oobconsole.console.reader import Notice, Reader
from oobconsole.patterns import Match, Matcher, Pattern, TooSlow, wants_return
from oobconsole.session.arguments import add_console, count, multiline
from oobconsole.session.freetext import FreeText, misplaced
from oobconsole.session.lastline import text_from
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.session.safe import slices
from oobconsole.session.within import within
from oobconsole.spellings import as_typed
from oobconsole.terminal.plain import PlainLines
from oobconsole.terminal.text import plain

#: How many characters before the newest output a match may begin; and how much processor time looking for it may
#: take, in seconds.
WINDOW: Final = 65536
MATCH_SECONDS: Final = 0.5
#: How long the wait between two looks at the output is, in seconds: a guest that floods is looked at a hundred times
#: in a second.
_PAUSE_SECONDS: Final = 0.01
_SHOWN_LINES: Final = 10
_TIMEOUT_MAX: Final = 7 * 86400.0

_matcher: Final = Matcher("wait", 2)


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console, the pattern, and what ends the waiting without it."""
    add_console(parser)
    parser.add_argument(
        "pattern", metavar="REGEX", action=FreeText, understand=multiline, help="what the output must match"
    )
    parser.add_argument(
        "--timeout", type=_seconds, metavar="SECONDS", help="give up after so many seconds, with exit status 4"
    )
    parser.add_argument(
        "--fail",
        type=multiline,
        metavar="REGEX",
        action="append",
        default=[],
        help="end with exit status 1 when the output matches this; may be given several times",
    )
    parser.add_argument(
        "--from",
        type=count,
        metavar="OFFSET",
        dest="offset",
        help="look from that byte of the output on; without this, only at new output",
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _TIMEOUT_MAX:
        raise argparse.ArgumentTypeError(f"{echo(text)} is no number of seconds from 0 to {_TIMEOUT_MAX:.0f}")
    return seconds


@dataclass
class Window:
    """The text in which patterns are looked for: the newest output, and some text before it.

    Attributes:
        text: the text.
        begin: at which character looking begins. Only `^` may see the character before that.
        passed: whether there was more text than can be looked at together.
        skipped: how many bytes of output were never seen.
    """

    text: str = ""
    begin: int = 0
    passed: bool = False
    skipped: int = 0
    _lines: PlainLines = field(default_factory=PlainLines)

    async def add(self, data: bytes) -> None:
        """Add `data`, which the guest has printed. What was in the window before has been looked at already."""
        if len(self.text) > WINDOW:
            self.text, self.begin, self.passed = self.text[-WINDOW - 1 :], 1, True
        now = time.monotonic()
        self.text += "".join([self._lines.feed(part, now) async for part in slices(data)])

    def begin_behind(self, before: bytes) -> None:
        """Prepare for output that may begin in the middle of a string, which began in the bytes `before`."""
        self._lines.resume(before, time.monotonic())

    def begin_anew(self) -> None:
        """Prepare for the output of another guest, which goes on with no line and no string of the guest before."""
        self._lines = PlainLines()
        self.text += "" if self.text.endswith("\n") else "\n"

    @property
    def unseen(self) -> str:
        """What a message about a failure must say about output that was not looked at; empty: all was."""
        told = [f"{self.skipped} bytes of output were not looked at"] if self.skipped else []
        told += [f"a match of more than {WINDOW} characters would not have been found"] if self.passed else []
        return "".join(f"; {text}" for text in told)


async def handle(request: Request) -> ExitStatus:
    """Wait for a pattern in what the guest prints from now on, or from an offset on. Returns the exit status."""
    console = request.console()
    _known(request, console)
    if hint := misplaced(request.args.pattern.pattern, ("--timeout", "--fail", "--from")):
        await request.peer.tell(hint)
    if any(wants_return(pattern) for pattern in (request.args.pattern, *request.args.fail)):
        await request.peer.tell("every line ends with \\n here, however the guest ended it: \\r is found nowhere")
    reader, window = console.attach(request.args.offset), Window()
    window.begin_behind(console.before(reader.position))
    try:
        return await first_done(_search(request, console, reader, window), request.hung_up())
    finally:
        reader.close()


def _known(request: Request, console: Console) -> None:
    """Raise `UsageError` if the offset has not come yet."""
    offset = request.args.offset
    if offset is not None and offset > console.end:
        raise UsageError(f"{console.name} has printed {console.end} bytes: offset {offset} has not come yet")


async def _search(request: Request, console: Console, reader: Reader, window: Window) -> ExitStatus:
    """Look in everything that was printed before the time was up, even if it is looked at later than that."""
    clock, end = asyncio.get_running_loop().time, None
    until = None if request.args.timeout is None else clock() + request.args.timeout
    while end is None or reader.position < end:
        left = None if until is None else max(0.0, until - clock())
        try:
            item = await within(left, reader.next)
        except EOFError:
            await request.peer.tell("the console server stops")
            return ExitStatus.FAILED
        if item is None:
            break
        if left == 0 and end is None:
            end = console.end
        request.keep_right()
        if isinstance(item, Notice):
            window.skipped += int(item.detail.get("bytes", 0))
            if item.kind == "state" and "offset" in item.detail:
                window.begin_anew()
            await request.peer.tell(item.text)
            continue
        await window.add(item)
        status = await _looked_at(request, console, window)
        if status is not None:
            return status
        await asyncio.sleep(_PAUSE_SECONDS)
    request.keep_right()
    seconds = request.args.timeout
    await request.peer.tell(
        f"{console.name}: the pattern did not come in {seconds:g} s{window.unseen}; the last lines:"
    )
    await _show_last(request, console)
    return ExitStatus.TIMEOUT


async def _looked_at(request: Request, console: Console, window: Window) -> ExitStatus | None:
    """Return the exit status if one of the patterns has come; None: none has. If two patterns have come, the one
    for which there was enough output first counts (matchorder.py)."""
    wanted = await _found(request.args.pattern, window)
    for pattern in request.args.fail:
        found = await _found(pattern, window)
        if found and (wanted is None or await _comes_before(found, wanted)):
            await request.peer.tell(f"{console.name}: {echo(as_typed(pattern))} came; the last lines:")
            await _show_last(request, console)
            return ExitStatus.FAILED
    if wanted:
        return await request.print([plain(wanted[0])])
    return None


async def _found(pattern: Pattern, window: Window) -> Match | None:
    try:
        return await _matcher.find(pattern, window.text, seconds=MATCH_SECONDS, begin=window.begin)
    except TooSlow as error:
        raise UsageError(str(error)) from error


async def _comes_before(found: Match, wanted: Match) -> bool:
    try:
        return await _matcher.comes_before(found, wanted, seconds=MATCH_SECONDS)
    except TooSlow as error:
        raise UsageError(str(error)) from error


async def _show_last(request: Request, console: Console) -> None:
    start = max(console.tail(_SHOWN_LINES), console.end - WINDOW)
    text = await text_from(console, start)
    for line in text.rstrip("\n").split("\n")[-_SHOWN_LINES - 1 :]:
        await request.peer.tell("  " + plain(line))
